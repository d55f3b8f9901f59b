"""A whole search whose run is at a URL: uploaded through an outage, taken over by another machine,
gone on with there, and uploaded once more.

What holds of each kind of server and of killed processes, without a search: tests/mirror.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from automl_img import list_runs, load_run, resume
from automl_img.errors import RunError
from automl_img.events import Event, Notice, TrialEnded, TrialStarted
from automl_img.mirror import background, driver
from automl_img.mirror.driver import Hold
from automl_img.mirror.snapshot import files_of
from automl_img.runs import Run
from tests.data.servers import ENVIRONMENT, Bucket, Gate, try_at_once
from tests.pictures import class_folders
from tests.search.searches import small_search
from tests.search.test_resume import check_whole

pytestmark = pytest.mark.slow
OTHER = {"session": "other", "host": "elsewhere", "process": 7, "time": 0.0}


class Signals:
    """What the threads of the uploads find, for a search that waits for it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.failing, self.working, self.lost = (threading.Event() for _ in range(3))
        attempt, renew = background.Mirror._attempt, Hold.renew

        def attempt_and_tell(mirror: background.Mirror, *upload: object) -> None:
            attempt(mirror, *upload)  # type: ignore[arg-type]
            now, before = self.failing, self.working
            if not mirror._failing:
                now, before = before, now
            before.clear()
            now.set()

        def renew_and_tell(hold: Hold) -> None:
            renew(hold)
            if hold.lost is not None:
                self.lost.set()

        patch.setattr(background.Mirror, "_attempt", attempt_and_tell)
        patch.setattr(Hold, "renew", renew_and_tell)


@dataclass
class Story:
    """What became of the run ``run`` in ``url``.

    Attributes:
        first: what the search said that was taken over, ``taken_over`` how it ended, ``left`` what
            it left at the URL: its trials, who drives it, and how it stands.
        refused: what another machine was told at once.
        second: what that said when it went on, ``away`` how it ended, as the server was away.
        third: what it said when it uploaded the rest.
        run: the copy on that machine.
    """

    url: str
    bucket: Bucket
    images: Path
    caches: Path
    first: list[Event]
    taken_over: RunError
    left: tuple[list[dict[str, object]], dict[str, object], dict[str, object]]
    refused: RunError
    second: list[Event]
    away: RunError
    third: list[Event]
    run: Run


@pytest.fixture(scope="module")
def story(s3_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate(s3_address)
        try:
            yield _told(Bucket(s3_address, "test-story"), gate, patch, tmp_path_factory)
        finally:
            gate.end()


def _told(
    bucket: Bucket, gate: Gate, patch: pytest.MonkeyPatch, folders: pytest.TempPathFactory
) -> Story:
    images = class_folders(folders.mktemp("photos") / "photos", per_class=40)
    caches, url = folders.mktemp("caches"), bucket.url("runs")
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": gate.address}.items():
        patch.setenv(name, value)
    try_at_once(patch)
    patch.setattr(background, "BETWEEN_ROUNDS", 0.5)
    patch.setattr(background, "LEAST_BETWEEN", 0.2)
    patch.setattr(driver, "SETTLING", 0.1)
    patch.setattr(driver, "BETWEEN_SIGNS", 0.2)
    signals = Signals(patch)
    first: list[Event] = []

    def in_the_first(event: Event) -> None:
        first.append(event)
        ended = sum(isinstance(each, TrialEnded) for each in first)
        if isinstance(event, TrialEnded) and ended == 1:
            gate.close()
            assert signals.failing.wait(60)
            gate.open()
            assert signals.working.wait(60)
        if isinstance(event, TrialEnded) and ended == 2:
            deadline = time.monotonic() + 60
            while not signals.lost.wait(0.5):
                assert time.monotonic() < deadline
                bucket.put("runs/run/driver.json", json.dumps(OTHER).encode())

    patch.setenv("AUTOML_IMG_CACHE", str(caches / "first"))
    with pytest.raises(RunError) as taken_over:
        small_search(images, url, in_the_first, budget=3, name="run")
    names = ("run.json", "driver.json")
    info, driving = (json.loads(bucket.get(f"runs/run/{name}")) for name in names)
    left = records(bucket), driving, info

    patch.setenv("AUTOML_IMG_CACHE", str(caches / "second"))
    with pytest.raises(RunError) as refused:
        resume(f"{url}/run")
    # As if that had been long ago.
    patch.setattr(driver, "FRESH", 0.0)
    second: list[Event] = []

    def in_the_second(event: Event) -> None:
        second.append(event)
        if isinstance(event, TrialEnded):
            gate.close()

    with pytest.raises(RunError) as away:
        resume(f"{url}/run", listener=in_the_second)
    gate.open()
    third: list[Event] = []
    run = resume("run", out=url, listener=third.append)
    return Story(
        *(url, bucket, images, caches, first, taken_over.value, left, refused.value),
        *(second, away.value, third, run),
    )


@pytest.fixture(autouse=True)
def in_the_environment(bucket: Bucket, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(story.caches / "third"))


def records(bucket: Bucket) -> list[dict[str, object]]:
    return [json.loads(line) for line in bucket.get("runs/run/trials.jsonl").splitlines()]


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def test_a_search_goes_on_while_its_url_is_away(story: Story) -> None:
    said = [text for text in notices(story.first) if "upload" in text]
    assert "uploads fail and are tried again" in said[0]
    assert str(story.caches / "first") in said[0]
    assert said[1:] == [f"uploads to {story.url}/run work again"]


def test_a_driver_that_was_taken_over_stops_and_leaves_the_run_to_the_other(story: Story) -> None:
    assert "has ended, as elsewhere (process 7) goes on with" in str(story.taken_over)
    ended = [event for event in story.first if isinstance(event, TrialEnded)]
    assert len(ended) == 2
    trials, driving, info = story.left
    assert 0 < len(trials) <= 2
    assert (driving, info["status"]) == (OTHER, "running")


def test_another_machine_goes_on_once_the_driver_gives_no_sign_and_trains_nothing_again(
    story: Story,
) -> None:
    assert "is being searched on elsewhere (process 7)" in str(story.refused)
    assert story.run.path.is_relative_to(story.caches / "second")
    check_whole(story.run, trials=3)
    before, after = story.left[0], {each["number"]: each for each in records(story.bucket)}
    assert all(after[each["number"]] == each for each in before)
    again = {event.number for event in story.second if isinstance(event, TrialStarted)}
    assert not again & {each["number"] for each in before}


def test_what_could_not_be_uploaded_is_kept_and_resume_uploads_it(story: Story) -> None:
    assert "not all of it could be uploaded" in str(story.away)
    assert f"automl-img resume {story.url}/run uploads it" in str(story.away)
    assert not [event for event in story.third if isinstance(event, TrialStarted)]
    assert (story.run.url, story.run.info["status"]) == (f"{story.url}/run", "finished")
    here, there = files_of(story.run.path), story.bucket.keys("runs/run/")
    assert {*there} == {f"runs/run/{name}" for name in (*here, "mirror.json")}
    for name, path in here.items():
        if name != "study.db":
            assert story.bucket.get(f"runs/run/{name}") == path.read_bytes(), name


def test_a_run_that_is_done_is_read_on_a_third_machine(story: Story) -> None:
    [listed] = list_runs(story.url)
    assert (listed.name, listed.url) == ("run", story.run.url)
    read = load_run(story.run.url)
    assert read.path.is_relative_to(story.caches / "third")
    assert read.read_json("test.json") == story.run.read_json("test.json")
    assert read.model.read_bytes() == story.run.model.read_bytes()
    with pytest.raises(RunError, match=r"has come to its end; give it more with --budget"):
        resume("run", out=story.url)
    with pytest.raises(RunError, match=rf"resume {story.run.url}"):
        small_search(story.images, story.url, name="run")
