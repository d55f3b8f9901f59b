"""Searches on a real head, sent from a machine that is none of its nodes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from automl_img.runs import open_run
from tests.data.servers import ENVIRONMENT, Bucket
from tests.jobs.heads import Laptop, RunningHead, laptop, running_head

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow
SPACE = """
search:
  optimizer.learning_rate: 1.0e-3..1.0e-1:log
fix: {backbone: cnn, cnn.depth: 1, cnn.filters: 8, cnn.convolutions: 1, batch_size: 64}
"""
SMALL = ("--space", "mine.yaml", "--workers", "1", "--limit-per-class", "20")
SAID = "this is the code of the laptop"


@pytest.fixture(scope="module")
def keys(s3_address: str) -> dict[str, str]:
    """What the environment of the head has for buckets, and that of the laptop."""
    return {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_address, "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]) -> Iterator[RunningHead]:
    with running_head(tmp_path_factory.mktemp("cache"), keys) as running:
        yield running


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, head: RunningHead, keys: dict[str, str]
) -> Laptop:
    """A laptop whose code is not what is installed where the head runs."""
    folder = tmp_path_factory.mktemp("laptop")
    code = folder / "code"
    for name in ("automl_img", "search_spaces", "reports"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (code / "automl_img" / "search" / "study.py").open("a") as stream:
        stream.write(f"\nprint({SAID!r}, __file__)\n")
    (folder / "mine.yaml").write_text(SPACE)
    return laptop(folder, head, code, {**keys, "AUTOML_IMG_CACHE": str(folder / "cache")})


@pytest.fixture(scope="module")
def sent(here: Laptop) -> tuple[str, str]:
    """What was said of a search that was sent, followed and fetched: stdout and stderr."""
    words = ["search", "digits", *SMALL, "--budget", "2", "--max-epochs", "2", "--name", "sent"]
    done = here.run("submit", "--", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def id_in(text: str) -> str:
    found = re.search(r"automl-img-[0-9a-f]{8}", text)
    assert found, text
    return found[0]


def wait_for(happened: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def listed(here: Laptop, run: str) -> str:
    """The line of the newest job that has to do with ``run``."""
    lines = here.run("jobs", "list").stdout.splitlines()
    return next(line for line in lines if run in line.split())


def test_a_search_runs_with_the_code_of_the_sender_and_its_run_comes_back(
    head: RunningHead, here: Laptop, sent: tuple[str, str]
) -> None:
    out, said = sent
    (where,) = re.findall(rf"{SAID} (\S+)", said)
    assert "py_modules_files" in where
    assert re.search(r"trial 1 finished: .*2 of 2 trials", said)
    assert "Running entrypoint" not in said
    assert "packaging.py" not in said
    assert out.startswith("Test accuracy")
    run = open_run(here.folder / "runs" / "sent")
    assert "<html" in run.report.read_text(encoding="utf-8")
    assert run.model.stat().st_size > 10_000
    assert [trial.number for trial in run.trials()] == [0, 1]
    assert {trial.params["cnn.filters"] for trial in run.trials()} == {8}
    assert (head.runs / "sent" / "report.html").exists()


def test_neither_the_token_nor_an_archive_is_left_anywhere(
    head: RunningHead, here: Laptop, sent: tuple[str, str]
) -> None:
    assert head.token not in "".join(sent)
    for folder in (here.folder / "runs", head.runs):
        for path in folder.rglob("*"):
            assert path.is_dir() or head.token.encode() not in path.read_bytes(), path
    packed = list(head.logs.glob("job-driver-automl-img-fetch-*.log"))
    assert packed
    wait_for(lambda: all(b"automl-img archive" not in path.read_bytes() for path in packed))
    jobs = list((here.folder / "runs").iterdir())
    assert [path.name for path in jobs] == ["sent"]


def test_its_job_is_listed_read_and_fetched_again(here: Laptop, sent: tuple[str, str]) -> None:
    line = listed(here, "sent")
    job = id_in(sent[1])
    assert line.split()[:2] == [job, "succeeded"]
    assert "search digits --budget 2" in line
    log = here.run("jobs", "logs", "--no-follow", job)
    assert log.stdout.startswith("[") or log.stdout.startswith(SAID)
    assert "2 of 2 trials" in log.stdout
    again = here.run("jobs", "fetch", job)
    assert again.returncode == 1
    assert "has a run sent already" in again.stderr
    assert here.run("jobs", "fetch", job, "--out", "other").returncode == 0
    assert (here.folder / "other" / "sent" / "report.html").exists()


def test_a_run_at_a_url_is_searched_by_the_head_and_read_with_the_keys_of_the_laptop(
    head: RunningHead, here: Laptop, bucket: Bucket
) -> None:
    words = ["search", "digits", *SMALL, "--budget", "1", "--max-epochs", "1", "--name", "far"]
    words += ["--out", bucket.url("runs")]
    # At first the laptop has none.
    sent = here.run("submit", "--", *words, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    job, url = id_in(sent.stderr), bucket.url("runs/far")
    last = sent.stderr.splitlines()[-1]
    assert sent.returncode == 1
    assert f"the run of {job} is at {url}, which cannot be read from here: " in last
    assert "no credentials were found" in last
    assert f"automl-img jobs fetch {job}" in last
    assert not (here.folder / "runs" / "far").exists()
    assert not (head.runs / "far").exists()
    fetched = here.run("jobs", "fetch", job)
    assert fetched.returncode == 0, fetched.stderr
    run = open_run(here.folder / "runs" / "far")
    assert [trial.number for trial in run.trials()] == [0]
    assert run.info["status"] == "finished"
    assert run.model.read_bytes() == bucket.get("runs/far/model.keras")


def test_ctrl_c_leaves_the_job_alone_and_a_stopped_run_goes_on(
    head: RunningHead, here: Laptop
) -> None:
    # Trials that take some seconds, so that the job is stopped in the midst of one.
    words = ["search", "digits", "--space", "mine.yaml", "--workers", "1", "--name", "left"]
    words += ["--budget", "40", "--max-epochs", "60", "--fix", "early_stopping.patience=60"]
    submitting = here.start("submit", "--", *words)
    try:
        records = head.runs / "left" / "trials.jsonl"
        wait_for(lambda: records.exists() and records.stat().st_size > 0)
        submitting.send_signal(signal.SIGINT)
        _, said = submitting.communicate(timeout=100)
    finally:
        submitting.kill()
        submitting.wait()
    job = id_in(said)
    assert submitting.returncode == 130
    for back in ("logs", "stop", "fetch"):
        assert f"automl-img jobs {back} {job}" in " ".join(said.split())
    assert listed(here, "left").split()[:2] == [job, "running"]

    stopped = here.run("jobs", "stop", job)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{job} is stopped" in stopped.stdout
    assert "stopped at once" in here.run("jobs", "logs", "--no-follow", job).stdout
    assert json.loads((head.runs / "left" / "run.json").read_text())["status"] == "interrupted"
    before = records.read_text().splitlines()
    assert 0 < len(before) < 40

    again = here.run("submit", "--detach", "--", "resume", "left")
    assert again.returncode == 0, again.stderr
    wait_for(lambda: len(records.read_text().splitlines()) > len(before))
    assert here.run("jobs", "stop", again.stdout.strip()).returncode == 0
    assert records.read_text().splitlines()[: len(before)] == before
    numbers = [json.loads(line)["number"] for line in records.read_text().splitlines()]
    assert numbers == sorted(set(numbers))


def test_a_search_that_fails_there_says_why_in_a_sentence(here: Laptop) -> None:
    failed = here.run("submit", "--", "search", "/not/there", "--name", "failed")
    assert failed.returncode == 1
    last = failed.stderr.splitlines()[-1]
    assert re.match(r"error: the job automl-img-\w+ failed: '/not/there' does not exist", last)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"RAY_AUTH_TOKEN": "0" * 64}, "has another token than RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_MODE": ""}, "asks for a token; set RAY_AUTH_MODE=token"),
        ({"RAY_AUTH_TOKEN_PATH": "/not/there"}, "there is none; put it into /not/there"),
        ({"HOME": "/not/there"}, "there is none; put it into ~/.ray/auth_token"),
        ({"RAY_ADDRESS": "http://127.0.0.1:9"}, "no Ray head answers at http://127.0.0.1:9"),
    ],
)
def test_without_a_way_to_the_head_one_sentence_says_which(
    here: Laptop, changed: dict[str, str], says: str
) -> None:
    refused = here.run("submit", "--", "search", "digits", **changed)
    assert refused.returncode == 1
    assert says in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert refused.stdout == ""


def test_a_job_that_is_not_there_is_one_sentence(here: Laptop) -> None:
    refused = here.run("jobs", "stop", "automl-img-00000000")
    assert refused.returncode == 1
    assert "there is no job 'automl-img-00000000'" in refused.stderr
