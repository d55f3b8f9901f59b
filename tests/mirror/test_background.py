from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from automl_img.errors import RunError, Unreachable
from automl_img.events import Event, Listener, Notice, Phase
from automl_img.mirror import background, driver
from automl_img.mirror.background import Mirror, mirrored
from automl_img.mirror.driver import Hold, TakenOver
from automl_img.mirror.manifest import Manifest, Memory
from automl_img.mirror.upload import Uploads
from automl_img.runs import Run
from tests.mirror.disk import URL, Disk
from tests.mirror.folders import new_run, write


class Search:
    """What stands for one: a run that is uploaded meanwhile, and all that it says."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.run = Run(new_run(folder).path, URL)
        self.disk, self.hold = disk, Hold(disk, URL)
        self.events: list[Event] = []

    @contextmanager
    def mirrored(self) -> Iterator[Listener]:
        self.hold.claim()
        memory = Memory(URL, Manifest(self.hold.session))
        uploads = Uploads(self.disk, self.hold, self.run.path, memory, ())
        with mirrored(Mirror(self.disk, uploads, self.hold, self.run, self.events.append)) as hear:
            yield hear

    def during(self, do: Callable[[Listener], None]) -> None:
        with self.mirrored() as hear:
            do(hear)

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    def waits_for(self, name: str) -> None:
        deadline = time.monotonic() + 20
        while not (self.disk.run / name).exists():
            assert time.monotonic() < deadline, f"{name} was not uploaded"
            time.sleep(0.01)


@pytest.fixture
def search(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.setattr(background, "BETWEEN_ROUNDS", 0.1)
    monkeypatch.setattr(background, "LEAST_BETWEEN", 0.01)
    return Search(tmp_path / "runs", disk)


def unreachable(name: str) -> None:
    raise Unreachable("the bucket is away")


def test_changes_are_uploaded_as_they_come_and_the_rest_at_the_end(search: Search) -> None:
    with search.mirrored() as hear:
        write(search.run, "space.yaml", "space")
        search.waits_for("space.yaml")
        hear(Phase("testing"))
        write(search.run, "test.json", "{}")
    assert (search.disk.run / "test.json").exists()
    assert search.notices == []
    assert Phase("testing") in search.events
    kept = Memory.of(search.run.path)
    assert kept is not None
    assert kept.done


def test_what_ends_a_search_does_not_keep_the_rest_from_its_url(search: Search) -> None:
    def do(hear: Listener) -> None:
        write(search.run, "test.json", "{}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.during(do)
    assert (search.disk.run / "test.json").exists()


def test_an_outage_is_said_once_and_its_end_too(search: Search) -> None:
    with search.mirrored() as hear:
        search.waits_for("run.json")
        search.disk.before = unreachable
        write(search.run, "space.yaml", "space")
        time.sleep(0.5)
        for _ in range(3):
            hear(Phase("training"))
        assert len(search.notices) == 1
        assert f"kept in {search.run.path}: the bucket is away" in search.notices[0]
        search.disk.before = lambda name: None
        search.waits_for("space.yaml")
        time.sleep(0.2)
        hear(Phase("training"))
    assert search.notices[1:] == [f"uploads to {URL} work again"]


def test_what_the_last_round_cannot_upload_is_said_with_where_it_is(search: Search) -> None:
    says = f"the run is in {search.run.path}, but not all of it could be uploaded: the bucket"

    def do(hear: Listener) -> None:
        search.waits_for("run.json")
        search.disk.before = unreachable
        write(search.run, "space.yaml", "space")

    with pytest.raises(RunError, match=says) as failed:
        search.during(do)
    assert f"automl-img resume {URL} uploads it" in str(failed.value)


def test_another_failure_is_not_hidden_by_that_of_an_upload(search: Search) -> None:
    def do(hear: Listener) -> None:
        search.disk.before = unreachable
        raise ValueError("the search failed")

    with pytest.raises(ValueError, match="the search failed"):
        search.during(do)
    assert "not all of it could be uploaded" in search.notices[-1]


def test_a_search_hears_that_another_machine_goes_on(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "BETWEEN_SIGNS", 0.05)
    other = Hold(search.disk, URL)

    def do(hear: Listener) -> None:
        search.waits_for("run.json")
        for _ in range(200):
            if search.hold.lost is None:
                other._sign()
                time.sleep(0.1)
        write(search.run, "test.json", "{}")
        hear(Phase("testing"))

    with pytest.raises(TakenOver, match="goes on with"):
        search.during(do)
    assert not (search.disk.run / "test.json").exists()


def test_a_long_upload_does_not_keep_signs_of_life_back(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "BETWEEN_SIGNS", 0.05)

    def slowly(name: str) -> None:
        if name == "model.keras":
            signs = search.disk.wrote["driver.json"]
            deadline = time.monotonic() + 20
            while search.disk.wrote["driver.json"] < signs + 2:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    with search.mirrored():
        search.waits_for("run.json")
        search.disk.before = slowly
        write(search.run, "model.keras", "model")
    assert (search.disk.run / "model.keras").exists()
