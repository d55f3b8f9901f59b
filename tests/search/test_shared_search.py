"""Whole searches whose study is on a PostgreSQL server."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from automl_img import resume, write_report
from automl_img.errors import SearchError, SettingsError
from automl_img.events import Event, Notice, TrialStarted
from automl_img.runs import Run
from automl_img.search import server
from tests.pictures import class_folders
from tests.search.postgresql import PostgreSQL
from tests.search.searches import small_search

pytestmark = pytest.mark.slow

_SEARCH = """
import sys
from pathlib import Path
from tests.search.searches import small_search
name, join = sys.argv[4], sys.argv[5] if len(sys.argv) > 5 else None
about = {"storage": sys.argv[3], "name": name, "join": join, "budget": 3, "max_epochs": 3}
small_search(Path(sys.argv[1]), Path(sys.argv[2]), **about)
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "photos", per_class=40)


def at_trial(number: int, act: Callable[[], None], said: list[str]) -> Callable[[Event], None]:
    """A listener that acts as a trial has begun, and keeps what a search says."""

    def hear(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == number:
            act()
        if isinstance(event, Notice):
            said.append(event.text)

    return hear


def trials_on(url: str) -> list[optuna.trial.FrozenTrial]:
    there = optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"))
    [name] = optuna.get_all_study_names(there)
    found = optuna.load_study(study_name=name, storage=there).trials
    there.engine.dispose()
    return found


def whole(run: Run, url: str, trials: int) -> None:
    """Each trial was begun, ended and told once, and the winner was tested."""
    numbers = [each.number for each in run.trials()]
    assert len(numbers) == trials
    assert {start.number for start in run.starts()} == set(numbers)
    own = [
        t for t in trials_on(url) if t.user_attrs["run"] == run.name and "number" in t.user_attrs
    ]
    begun = [each for each in own if each.user_attrs.get("stop_reason") != "not started"]
    assert sorted(each.user_attrs["number"] for each in begun) == numbers
    assert all(each.state.is_finished() for each in own)
    assert run.info["status"] == "finished"
    assert run.report.exists()
    assert run.model.exists()


def test_a_search_whose_server_is_restarted_ends_as_one_in_a_file_does(
    images: Path, tmp_path: Path, postgres: PostgreSQL
) -> None:
    settings: dict[str, Any] = {"budget": 3, "max_epochs": 3}
    local = small_search(images, tmp_path / "runs", **settings)
    url, said = postgres.database(), []

    def restart() -> None:
        postgres.stop()
        time.sleep(1)
        postgres.start()

    away = threading.Thread(target=restart)
    hear = at_trial(1, away.start, said)
    run = small_search(images, tmp_path / "runs", hear, storage=url, name="there", **settings)
    away.join()
    assert any("the server of the study is away" in text for text in said)
    assert "the server of the study is back" in said
    whole(run, url, 3)

    def told(run: Run) -> list[object]:
        return [(each.number, each.params, each.seed, each.origin) for each in run.trials()]

    assert told(run) == told(local)
    # What comes after needs no server.
    assert not run.study.exists()
    postgres.stop()
    page = write_report("there", out=tmp_path / "runs").read_text()
    assert f"127.0.0.1:{postgres.port}" not in page
    assert postgres.password not in (run.path / "run.json").read_text()


@contextmanager
def driver(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _SEARCH, *map(str, words)]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[bytes], holds: Callable[[], bool]) -> None:
    while not holds():
        assert process.poll() is None, "it has come to its end"
        time.sleep(0.02)


def test_two_drivers_try_nothing_twice_and_one_that_was_killed_goes_on_with_its_own(
    images: Path, tmp_path: Path, postgres: PostgreSQL
) -> None:
    out, url = tmp_path / "runs", postgres.database()
    first, joined = Run(out / "a"), Run(out / "b")
    with driver(images, out, url, "a") as one:
        until(one, lambda: bool(first.starts()))
        with driver(images, out, url, "b", "a") as other:
            until(other, lambda: bool(joined.trials()) and len(joined.starts()) > 1)
            other.send_signal(signal.SIGKILL)
        assert one.wait(timeout=300) == 0
    left = {each.number for each in joined.starts()} - {each.number for each in joined.trials()}
    ended = joined.trials()
    whole(first, url, 3)
    events: list[Event] = []
    resume("b", out=out, listener=events.append)
    begun = {event.number for event in events if isinstance(event, TrialStarted)}
    whole(joined, url, 3)
    whole(first, url, 3)
    assert joined.trials()[: len(ended)] == ended
    assert left <= begun
    points = [str(each.params) for run in (first, joined) for each in run.trials()]
    assert len(set(points)) == len(points)
    assert joined.info["study"]["name"] == "a"


def test_a_server_that_is_gone_ends_the_search_in_one_sentence_and_it_goes_on_later(
    images: Path, tmp_path: Path, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, url = tmp_path / "runs", postgres.database()
    settings: dict[str, Any] = {"budget": 3, "max_epochs": 3, "name": "run", "storage": url}
    hear = at_trial(1, postgres.stop, [])
    with monkeypatch.context() as patch:
        patch.setattr(server, "PATIENCE", 1.0)
        with pytest.raises(SearchError, match=r"was away for 1 s .* automl-img resume run goes on"):
            small_search(images, out, hear, **settings)
    run = Run(out / "run")
    kept = run.trials()
    assert kept[0].number == 0
    assert run.info["status"] == "failed"
    assert run.report.exists()
    with pytest.raises(SettingsError, match="a database that can be reached"):
        resume("run", out=out)
    postgres.start()
    resume("run", out=out)
    whole(run, url, 3)
    assert run.trials()[: len(kept)] == kept
