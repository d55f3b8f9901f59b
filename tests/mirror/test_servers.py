"""What holds of runs at URLs with each kind of server, whole: what ``open_out`` gives a search."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from automl_img.errors import RunError
from automl_img.events import Event, Notice, Phase
from automl_img.mirror import background, driver
from automl_img.mirror.driver import TakenOver, check_writable
from automl_img.mirror.snapshot import files_of
from automl_img.runs import Run
from automl_img.search.out import Driven, Out, open_out
from tests.data.servers import AnyBucket, Gate, try_at_once
from tests.mirror.folders import INFO, begin, check_can_go_on, record, write

# Trials without end, in place of a search.
_DRIVER = """
import sys, time
from automl_img.events import ignore
from automl_img.mirror import background, driver
from automl_img.search.out import open_out
from tests.mirror.folders import INFO, searching

background.BETWEEN_ROUNDS, background.LEAST_BETWEEN, driver.SETTLING = 0.05, 0.01, 0.0
with open_out(sys.argv[1]).begin("run", INFO, ignore) as driven:
    for _ in searching(driven.run, seed=1, trials=10_000):
        time.sleep(0.01)
"""


class Machine:
    """One with a cache of its own.

    Attributes:
        said: to the user.
    """

    def __init__(self, cache: Path, bucket: AnyBucket, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cache, self._url, self._monkeypatch = cache, bucket.url("runs"), monkeypatch
        self.said: list[str] = []

    def begins(self) -> AbstractContextManager[Driven]:
        return self._out().begin("run", INFO, self._hear)

    def goes_on(self) -> AbstractContextManager[Driven]:
        return self._out().go_on("run", self._hear)

    def _out(self) -> Out:
        self._monkeypatch.setenv("AUTOML_IMG_CACHE", str(self._cache))
        return open_out(self._url)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.said.append(event.text)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BETWEEN_ROUNDS", 0.1)
    monkeypatch.setattr(background, "LEAST_BETWEEN", 0.01)


@pytest.fixture
def one(any_bucket: AnyBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "one", any_bucket, monkeypatch)


@pytest.fixture
def two(any_bucket: AnyBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "two", any_bucket, monkeypatch)


@pytest.fixture
def gate(any_bucket: AnyBucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The only way to the bucket of the code that is tested."""
    try_at_once(monkeypatch)
    found = Gate(os.environ[any_bucket.ENDPOINT])
    monkeypatch.setenv(any_bucket.ENDPOINT, found.address)
    yield found
    found.end()


def until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_there(bucket: AnyBucket, name: str) -> bool:
    return f"runs/run/{name}" in bucket.keys("runs/run/")


def is_told(bucket: AnyBucket, name: str) -> bool:
    """Whether a round that uploaded the file is over."""
    told = "mirror.json"
    return is_there(bucket, told) and name.encode() in bucket.get(f"runs/run/{told}")


def same_as_there(run: Run, bucket: AnyBucket) -> None:
    """What is at the URL is what is here, and who drives it is not said any more."""
    there = {key.removeprefix("runs/run/") for key in bucket.keys("runs/run/")}
    assert there == {*files_of(run.path), "mirror.json"}
    for name, path in files_of(run.path).items():
        assert bucket.get(f"runs/run/{name}") == path.read_bytes(), name


def test_a_run_is_uploaded_as_it_goes_and_comes_whole_to_another_machine(
    one: Machine, two: Machine, any_bucket: AnyBucket
) -> None:
    with one.begins() as driven:
        write(driven.run, "space.yaml", "space")
        write(driven.run, "trials/00001/checkpoint.npz", "of a trial that goes on")
        until(lambda: is_there(any_bucket, "trials/00001/checkpoint.npz"), "it was not uploaded")
        (driven.run.path / "trials" / "00001" / "checkpoint.npz").unlink()
        until(lambda: not is_there(any_bucket, "trials/00001/checkpoint.npz"), "it stays there")
        # Larger than what is sent at once.
        write(driven.run, "model.keras", os.urandom(6_000_000))
        write(driven.run, "errors.log", b"")
    same_as_there(driven.run, any_bucket)
    with two.goes_on() as other:
        assert not other.behind
        assert other.run.path != driven.run.path
        here, there = files_of(driven.run.path), files_of(other.run.path)
        assert here.keys() == there.keys()
        for name, path in here.items():
            assert there[name].read_bytes() == path.read_bytes()
            assert there[name].stat().st_mtime_ns == path.stat().st_mtime_ns
        # As each session does.
        other.run.update_info(sessions=[[2.0, None]])
        write(other.run, "space.yaml", "another")
    same_as_there(other.run, any_bucket)
    with one.goes_on() as driven:
        assert (driven.run.path / "space.yaml").read_text() == "another"
    assert one.said == two.said == []


def test_one_machine_at_a_time_drives_a_run_whatever_their_clocks_say(
    one: Machine, two: Machine, any_bucket: AnyBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clock(ahead: float) -> None:
        now = time.time() + ahead
        monkeypatch.setattr(driver, "time", SimpleNamespace(time=lambda: now, sleep=time.sleep))

    # The first one looks for others when it uploads, which it does when it hears of something.
    monkeypatch.setattr(background, "BETWEEN_ROUNDS", 1000.0)

    def meets_another(driven: Driven) -> None:
        until(lambda: is_told(any_bucket, "run.json"), "nothing was uploaded")
        for ahead in (-7200, 7200):
            clock(ahead)
            with pytest.raises(RunError, match=r"is being searched on .*sign of life \d s"):
                two.goes_on().__enter__()
        monkeypatch.setattr(driver, "time", time)
        # As if it had given none.
        monkeypatch.setattr(driver, "FRESH", 0.0)

        def sees_that() -> bool:
            with suppress(TakenOver):
                driven.listener(Phase("training"))
                return False
            return True

        with two.goes_on() as other:
            write(other.run, "space.yaml", "of two")
            write(driven.run, "space.yaml", "of one")
            until(sees_that, "the first did not see that the second drives")
        same_as_there(other.run, any_bucket)

    with pytest.raises(TakenOver, match="goes on with"), one.begins() as driven:
        meets_another(driven)
    assert any_bucket.get("runs/run/space.yaml") == b"of two"


def test_an_outage_is_said_once_and_all_is_uploaded_after_it(
    one: Machine, any_bucket: AnyBucket, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    def says(count: int) -> bool:
        driven.listener(Phase("training"))
        return len(one.said) >= count

    with one.begins() as driven:
        until(lambda: is_there(any_bucket, "run.json"), "nothing was uploaded")
        gate.close()
        write(driven.run, "space.yaml", "space")
        until(lambda: says(1), "the outage was not said")
        gate.open()
        until(lambda: says(2), "its end was not said")
        assert is_there(any_bucket, "space.yaml")
    away, back = one.said
    assert f"trials go on and are kept in {driven.run.path}: " in away
    # As the system tells it, which may see it in one way or the other.
    ways = ("the connection broke off", "no connection", "connection reset by peer")
    assert any(f"({way})" in away for way in ways)
    # Tasks of the clients that nobody waits for fail too, which is no news.
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert back == f"uploads to {any_bucket.url('runs/run')} work again"
    same_as_there(driven.run, any_bucket)


def test_what_could_not_be_uploaded_is_kept_and_the_next_session_uploads_it(
    one: Machine, any_bucket: AnyBucket, gate: Gate
) -> None:
    says = rf"not all of it could be uploaded: .*resume {any_bucket.url('runs/run')} uploads it"

    def until_it_is_away() -> None:
        until(lambda: is_there(any_bucket, "run.json"), "nothing was uploaded")
        gate.close()
        write(driven.run, "space.yaml", "space")

    with pytest.raises(RunError, match=says), one.begins() as driven:
        until_it_is_away()
    assert not is_there(any_bucket, "space.yaml")
    gate.open()
    with one.goes_on() as again:
        assert again.behind
        assert again.run.path == driven.run.path
    same_as_there(again.run, any_bucket)


def test_what_a_killed_process_has_left_there_can_be_gone_on_with_elsewhere(
    two: Machine, any_bucket: AnyBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def records() -> int:
        there = is_there(any_bucket, "trials.jsonl")
        return len(any_bucket.get("runs/run/trials.jsonl").splitlines()) if there else 0

    command = [sys.executable, "-c", _DRIVER, any_bucket.url("runs")]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            until(lambda: records() > 2, "no trial was uploaded")
        finally:
            process.send_signal(signal.SIGKILL)
    any_bucket.copy_to(tmp_path / "there", "runs/run")
    before = Run(tmp_path / "there").trials()
    check_can_go_on(tmp_path / "there")
    with pytest.raises(RunError, match=rf"is being searched on .*process {process.pid}\)"):
        two.goes_on().__enter__()
    monkeypatch.setattr(driver, "FRESH", 0.0)
    with two.goes_on() as driven:
        assert driven.run.trials() == before
        begin(driven.run, 1000)
        driven.run.append_trial(record(1000))
    same_as_there(driven.run, any_bucket)


def test_a_bucket_is_written_as_a_try_and_nothing_stays_there(any_bucket: AnyBucket) -> None:
    check_writable(any_bucket.url("runs"))
    assert any_bucket.keys() == []
    nowhere = f"{any_bucket.scheme}://test-nowhere/runs"
    with pytest.raises(RunError, match=rf"to {nowhere}: there is no such bucket; make"):
        check_writable(nowhere)
