"""Whole searches whose runs are at URLs: uploaded, killed and gone on with elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl_img import list_runs, load_run, resume
from automl_img.errors import RunError
from automl_img.events import Event, Notice, TrialEnded, TrialStarted
from automl_img.mirror import background, driver
from automl_img.mirror.address import Address
from automl_img.mirror.driver import Hold
from automl_img.mirror.snapshot import files_of
from automl_img.runs import Run
from tests.data.servers import Bucket, Gate
from tests.pictures import class_folders
from tests.search.searches import small_search
from tests.search.test_resume import check_whole

pytestmark = pytest.mark.slow

_SEARCH = """
import sys, time
from pathlib import Path
from automl_img.events import TrialEnded
from automl_img.mirror import background
from tests.search.searches import small_search

background.BETWEEN_ROUNDS, background.LEAST_BETWEEN = 0.5, 0.2

def wait_for_uploads(event):
    time.sleep(isinstance(event, TrialEnded))

photos, url = Path(sys.argv[1]), sys.argv[2]
small_search(photos, url, wait_for_uploads, budget=6, max_epochs=4, name="run")
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "photos", per_class=40)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads follow each other, and nobody waits long for a dead driver."""
    monkeypatch.setattr(background, "BETWEEN_ROUNDS", 0.5)
    monkeypatch.setattr(background, "LEAST_BETWEEN", 0.2)
    monkeypatch.setattr(driver, "SETTLING", 0.1)


@pytest.fixture
def gate(s3_address: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The only way to the bucket."""
    found = Gate(s3_address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
    yield found
    found.end()


def same_as_there(run: Run, bucket: Bucket, prefix: str) -> None:
    """What is at the URL is what is here, byte for byte but for the study."""
    here = files_of(run.path)
    own = ("mirror.json", "driver.json")
    there = {key.removeprefix(f"{prefix}/") for key in bucket.keys(f"{prefix}/")} - {*own}
    assert there == set(here)
    for name, path in here.items():
        if name != "study.db":
            assert bucket.get(f"{prefix}/{name}") == path.read_bytes(), name


def test_a_search_goes_on_while_its_url_is_away_and_leaves_its_whole_run_there(
    images: Path,
    gate: Gate,
    bucket: Bucket,
    impatient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = bucket.url("runs")
    events: list[Event] = []

    def hear(event: Event) -> None:
        events.append(event)
        ended = sum(isinstance(each, TrialEnded) for each in events)
        if isinstance(event, TrialEnded) and ended == 1:
            gate.close()
            # A round of uploads comes when it comes.
            until = time.monotonic() + 15
            while time.monotonic() < until and not any(
                isinstance(each, Notice) and "uploads fail" in each.text for each in events
            ):
                time.sleep(0.1)
        if isinstance(event, TrialEnded) and ended == 3:
            gate.open()
            time.sleep(1.5)

    run = small_search(images, url, hear, budget=4, name="run")
    said = [event.text for event in events if isinstance(event, Notice)]
    [away] = [text for text in said if "uploads fail and are tried again" in text]
    assert str(run.path) in away
    assert [text for text in said if text.endswith("work again")]
    assert (run.url, run.info["status"]) == (bucket.url("runs/run"), "finished")
    same_as_there(run, bucket, "runs/run")
    assert bucket.keys("runs/run/driver.json") == []
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(tmp_path / "elsewhere"))
    [listed] = list_runs(url)
    assert (listed.name, listed.url) == ("run", run.url)
    read = load_run(run.url)
    assert read.path != run.path
    assert read.read_json("test.json") == run.read_json("test.json")
    assert read.model.read_bytes() == run.model.read_bytes()
    with pytest.raises(RunError, match=r"has come to its end; give it more with --budget"):
        resume("run", out=url)
    with pytest.raises(RunError, match=rf"resume {run.url}"):
        small_search(images, url, name="run")


def test_a_killed_search_goes_on_from_its_url_on_another_machine(
    images: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.url("runs")
    command = [sys.executable, "-c", _SEARCH, str(images), url]
    with subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None:
            if _records(bucket):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.2)
    assert process.returncode == -signal.SIGKILL
    there = _records(bucket)
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(RunError, match=r"is being searched on .*process \d+.*sign of life"):
        resume(f"{url}/run")
    monkeypatch.setattr(driver, "FRESH", 0.0)
    events: list[Event] = []
    run = resume(f"{url}/run", listener=events.append)
    assert run.path.is_relative_to(tmp_path / "elsewhere")
    check_whole(run, trials=6)
    same_as_there(run, bucket, "runs/run")
    kept = {record["number"]: record for record in _records(bucket)}
    for record in there:
        assert kept[record["number"]] == record
    said = [event.text for event in events if isinstance(event, Notice)]
    assert not [text for text in said if "uploads fail" in text]
    again = {event.number for event in events if isinstance(event, TrialStarted)}
    assert not again & {record["number"] for record in there}


def _records(bucket: Bucket) -> list[dict[str, object]]:
    key = "runs/run/trials.jsonl"
    if key not in bucket.keys(key):
        return []
    return [json.loads(line) for line in bucket.get(key).splitlines()]


def test_what_cannot_be_uploaded_is_kept_and_resume_uploads_it(
    images: Path, gate: Gate, bucket: Bucket, impatient: None
) -> None:
    url = bucket.url("runs")

    def hear(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.record.number == 1:
            gate.close()

    with pytest.raises(RunError, match=rf"not all of it could be uploaded.*resume {url}/run"):
        small_search(images, url, hear, budget=3, name="run")
    gate.open()
    events: list[Event] = []
    run = resume("run", out=url, listener=events.append)
    assert not [event for event in events if isinstance(event, TrialStarted)]
    same_as_there(run, bucket, "runs/run")
    check_whole(run, trials=3)


def test_a_driver_that_was_taken_over_stops_and_leaves_the_run_to_the_other(
    images: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "BETWEEN_SIGNS", 0.2)
    other = {"session": "other", "host": "elsewhere", "process": 7, "time": time.time()}
    ended: list[int] = []
    seen, renew = threading.Event(), Hold.renew

    def renew_and_tell(hold: Hold) -> None:
        renew(hold)
        if hold.lost is not None:
            seen.set()

    monkeypatch.setattr(Hold, "renew", renew_and_tell)

    def hear(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ended.append(event.record.number)
            while len(ended) == 2 and not seen.wait(1.0):
                bucket.put("runs/run/driver.json", json.dumps(other).encode())

    with pytest.raises(RunError, match=r"has ended, as elsewhere \(process 7\) goes on with"):
        small_search(images, bucket.url("runs"), hear, budget=8, name="run")
    assert json.loads(bucket.get("runs/run/driver.json")) == other
    here = Run(Address(bucket.url("runs")).folder / "run")
    assert {*ended} <= {record.number for record in here.trials()}
    assert len(ended) == 2
    assert json.loads(bucket.get("runs/run/run.json"))["status"] == "running"
