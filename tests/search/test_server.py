"""Samplers on a real PostgreSQL server: what drivers share, and what becomes of it when it is away.

Whole searches are in ``test_shared_search.py``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from automl_img import search
from automl_img.errors import RunError, SearchError, SettingsError
from automl_img.events import Event, Notice
from automl_img.search import arm, server
from automl_img.search.arm import Arm
from automl_img.search.elsewhere import Elsewhere
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, arms_of
from automl_img.search.server import ServerStudies, facts_on
from automl_img.space.dimensions import SearchSpace
from automl_img.trials import TrialState
from tests.pictures import class_folders
from tests.search.postgresql import PostgreSQL
from tests.search.spaces import TINY, epoch, record, space

WIDE = {"optimizer.learning_rate": "1e-4..1e-1:log", "cnn.filters": "8..64", "batch_size": "32,64"}


class Drivers:
    """Drivers of the study ``a`` on one database."""

    def __init__(self, url: str, searched: SearchSpace, kind: str = "random") -> None:
        self.url, self.space, self.kind = url, searched, kind
        self.said: list[str] = []
        self._open: list[Sampler] = []
        first = self.studies("a")
        first.begin(list(arms_of(searched, kind, ())), ["maximize"], {"driver": "a"})
        first.close()

    def studies(self, driver: str) -> ServerStudies:
        def hear(event: Event) -> None:
            if isinstance(event, Notice):
                self.said.append(event.text)

        return ServerStudies(self.url, "a", driver, driver, driver != "a", hear)

    def sampler(self, driver: str, **more: Any) -> Sampler:
        made = Sampler(self.studies(driver), self.space, self.kind, 0, **more)
        self._open.append(made)
        return made

    @property
    def trials(self) -> list[Any]:
        [study] = [self.sampler("nobody")._arms["search"]._study]
        return study.get_trials()

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def drivers(postgres: PostgreSQL) -> Iterator[Drivers]:
    made = Drivers(postgres.database(), space(WIDE))
    yield made
    made.close()


def trial(sampler: Sampler, score: float = 0.5) -> dict[str, Any]:
    """The point of one trial, asked and told."""
    asked = sampler.ask(sampler.next_number)
    assert asked is not None
    sampler.report(asked.number, epoch(1, score))
    sampler.tell(record(asked.number, (score,), params=asked.params))
    return {"number": asked.number, "seed": asked.seed, **asked.params}


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_seed_gives_the_suggestions_that_it_gives_in_a_file(
    postgres: PostgreSQL, tmp_path: Path, kind: str
) -> None:
    local = Sampler(tmp_path / "study.db", space(WIDE), kind, 0)
    made = Drivers(postgres.database(), space(WIDE), kind)
    there = made.sampler("a")
    scores = [0.1 * number for number in range(10)] + [0.3, 0.7]
    assert [trial(local, each) for each in scores] == [trial(there, each) for each in scores]
    local.close()
    made.close()


def test_drivers_that_ask_at_once_try_each_point_of_a_space_once(
    postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm, "_MOST_TWINS", 3)
    begin = Arm._begin

    def slowly(*args: Any) -> Any:
        # Meanwhile another driver would not see that the point is taken.
        time.sleep(0.05)
        return begin(*args)

    monkeypatch.setattr(Arm, "_begin", slowly)
    made = Drivers(postgres.database(), space({"batch_size": "16,32,64", "cnn.depth": "1..4"}))
    start = threading.Barrier(2)
    samplers = []
    for name in ("a", "b"):
        studies = made.studies(name)
        # Both suggest the same, so that each point is asked for by both.
        studies.salt = b""
        samplers.append(Sampler(studies, made.space, "random", 0))

    def until_spent(sampler: Sampler) -> list[str]:
        points = []
        start.wait()
        while (asked := sampler.ask(len(points))) is not None:
            points.append(str(asked.params))
            sampler.report(asked.number, epoch(1, 0.5))
            sampler.tell(record(asked.number, (0.5,), params=asked.params))
        return points

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(until_spent, samplers)
    assert len({*one, *other}) == len(one + other) == 12
    for sampler in samplers:
        sampler.close()


def test_joined_drivers_with_one_seed_have_other_suggestions(drivers: Drivers) -> None:
    for sampler in [drivers.sampler(name) for name in ("a", "b", "c")]:
        trial(sampler)
    # A point that comes again is a trial too, which is told at once.
    assert len(drivers.trials) == 3


def test_a_driver_hears_of_the_trials_of_others(drivers: Drivers) -> None:
    heard: list[Elsewhere] = []
    here, there = drivers.sampler("a", heard=heard.append), drivers.sampler("b")
    asked = there.ask(0)
    assert asked is not None
    there.report(0, epoch(1, 0.6))
    mine = here.ask(0)
    assert mine is not None
    assert here.place(1, asked.params, "start set") is None, "another driver is trying it"
    there.report(0, epoch(2, 0.9))
    there.tell(record(0, (0.6, 0.9), params=asked.params))
    assert here.place(1, asked.params, "start set") is None
    assert [each.values for each in heard] == [(0.6,), (0.6, 0.9)]
    assert {(each.run, each.number, each.key < 0) for each in heard} == {("b", 0, True)}
    assert all(each.params == asked.params for each in heard)
    best = here.best_elsewhere
    assert best is not None
    assert (best.values, best.score) == ((0.6, 0.9), 0.9)
    # Of its own trials it hears nothing.
    here.report(0, epoch(1, 0.95))
    here.tell(record(0, (0.95,), params=mine.params))
    here.hear()
    assert here.best_elsewhere == best


def test_what_others_reached_counts_at_the_rungs() -> None:
    rungs, alone = Rungs(9), Rungs(9)
    for key in (-1, -2, -3):
        rungs.take_in(key, {}, (0.8, 0.8))
    assert not rungs.goes_on(0, 2, 0.5, "from scratch")
    assert alone.goes_on(0, 2, 0.5, "from scratch")


def test_a_family_that_loses_elsewhere_is_given_up_here_too(postgres: PostgreSQL) -> None:
    families = space({**WIDE, "backbone": "cnn,vgg19"})
    made = Drivers(postgres.database(), families, "tpe")
    here, there = made.sampler("a"), made.sampler("b")
    for number in range(10):
        asked = there.ask(number)
        assert asked is not None
        accuracy = (0.3 if asked.params["backbone"] == "vgg19" else 0.8) + number / 1000
        there.report(number, epoch(1, accuracy))
        there.tell(record(number, (accuracy,), params=asked.params))
    asked = here.ask(0)
    assert asked is not None
    assert asked.params["backbone"] == "cnn"
    assert here.dropped[0].startswith("vgg was given up after")
    made.close()


def test_a_driver_that_goes_on_settles_its_own_trials_alone(drivers: Drivers) -> None:
    first, other = drivers.sampler("a"), drivers.sampler("b")
    own = [first.ask(number) for number in range(3)]
    theirs = other.ask(0)
    assert theirs is not None
    again = drivers.sampler("a")
    assert again.next_number == 3
    assert drivers.sampler("b").next_number == 1
    # Of its own: the first had ended, the second goes on, the third was never handed to a worker.
    assert own[0] is not None
    again.restore([record(0, (0.7,), params=own[0].params)], {1})
    by_driver = [(each.user_attrs["driver"], each.state.name) for each in drivers.trials]
    assert by_driver == [("a", "COMPLETE"), ("a", "RUNNING"), ("a", "FAIL"), ("b", "RUNNING")]
    other.report(0, epoch(1, 0.4))
    other.tell(record(0, (0.4,), params=theirs.params))
    assert drivers.trials[3].value == 0.4


def test_a_restart_of_the_server_loses_nothing_and_repeats_nothing(
    drivers: Drivers, postgres: PostgreSQL
) -> None:
    here, there = drivers.sampler("a"), drivers.sampler("b")
    over = threading.Event()

    def restart() -> None:
        for _ in range(4):
            time.sleep(0.4)
            postgres.stop()
            postgres.start()
        over.set()

    def work(sampler: Sampler) -> int:
        count = 0
        while not over.is_set() or count < 5:
            trial(sampler)
            count += 1
        return count

    with ThreadPoolExecutor(3) as threads:
        restarting = threads.submit(restart)
        counts = [
            each.result() for each in [threads.submit(work, here), threads.submit(work, there)]
        ]
        restarting.result()
    found = drivers.trials
    assert Counter(each.user_attrs["driver"] for each in found) == dict(
        zip("ab", counts, strict=True)
    )
    assert all(each.state is OptunaState.COMPLETE for each in found)
    numbers = {(each.user_attrs["driver"], each.user_attrs["number"]) for each in found}
    assert len(numbers) == len(found) == sum(counts)
    assert len({str(each.params) for each in found}) == len(found)
    assert any("is away" in text for text in drivers.said)
    assert drivers.said[-1] == "the server of the study is back"


@pytest.mark.parametrize("operation", ["_create_new_trial", "set_trial_state_values"])
def test_what_was_committed_as_the_server_went_away_is_not_done_twice(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    sampler = drivers.sampler("a")
    storage, broken = sampler._studies._database, []
    real = getattr(storage, operation)

    def done_but_not_told(*args: Any, **kwargs: Any) -> Any:
        answer = real(*args, **kwargs)
        if not broken:
            broken.append(answer)
            raise server._Away("server closed the connection unexpectedly")
        return answer

    monkeypatch.setattr(storage, operation, done_but_not_told)
    points = [trial(sampler) for _ in range(2)]
    assert broken
    assert [each.state.name for each in drivers.trials] == ["COMPLETE", "COMPLETE"]
    assert [each.params["cnn.filters"] for each in drivers.trials] == [
        each["cnn.filters"] for each in points
    ]


def test_a_server_that_stays_away_is_one_sentence_and_its_records_settle_the_study_later(
    drivers: Drivers, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    sampler = drivers.sampler("a")
    asked = sampler.ask(0)
    assert asked is not None
    postgres.stop()
    began = time.monotonic()
    rule = (
        r"the server postgresql://\S+ was away for 0.5 s .*; what was trained is kept: .* resume a"
    )
    with pytest.raises(SearchError, match=rule):
        sampler.tell(record(0, (0.7,), params=asked.params))
    assert 0.4 < time.monotonic() - began < 20
    # Whoever asks again does not wait again.
    began = time.monotonic()
    with pytest.raises(SearchError, match=rule):
        sampler.ask(1)
    assert time.monotonic() - began < 0.1
    postgres.start()
    again = drivers.sampler("a")
    again.restore([record(0, (0.7,), params=asked.params)], set())
    assert [(each.state.name, each.value) for each in drivers.trials] == [("COMPLETE", 0.7)]


def test_a_study_that_was_removed_meanwhile_is_one_sentence(drivers: Drivers) -> None:
    sampler = drivers.sampler("a")
    trial(sampler)
    there = drivers.url.replace("postgresql:", "postgresql+psycopg:")
    optuna.delete_study(study_name="a/search", storage=there)
    with pytest.raises(SearchError, match="has the study of this run no more; what was trained"):
        trial(sampler)
    assert facts_on(drivers.url) == {}


def test_who_was_frozen_while_it_asked_does_not_stop_the_others(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LOCK", server._LOCK.replace("20s", "1s"))
    here, frozen = drivers.sampler("a"), drivers.studies("b")
    with frozen.alone():
        began = time.monotonic()
        trial(here)
        assert 0.5 < time.monotonic() - began < 10
    frozen.close()


def test_tables_are_made_once_where_two_come_first(postgres: PostgreSQL) -> None:
    url = postgres.database()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(facts_on, [url] * 4)) == [{}] * 4


def test_a_study_in_a_file_says_nothing_of_drivers(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "study.db", space(WIDE), "random", 0)
    trial(sampler)
    [found] = sampler._arms["search"]._study.get_trials()
    assert found.user_attrs.keys() == {"number", "stop_reason"}
    sampler.close()


def asked_for(url: str | None, images: Path, out: Path, **more: Any) -> None:
    settings = {"budget": 2, "max_epochs": 2, "workers": 1, "fix": TINY, "storage": url, **more}
    search(images, out=str(out), **settings)


@pytest.fixture
def begun(postgres: PostgreSQL, photos: Path, tmp_path: Path, monkeypatch: Any) -> str:
    """The URL of a server with the study ``first`` of photos; it stops before its first trial."""
    url = postgres.database()

    def stop(*_: Any) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr("automl_img.search.session.Session._conductor", stop)
        with pytest.raises(InterruptedError):
            asked_for(url, photos, tmp_path / "runs", name="first")
    assert [*facts_on(url)] == ["first"]
    return url


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"seed": 1}, r"the same split of the images \(--seed"),
        (
            {"fix": {**TINY, "batch_size": "16"}},
            "search space, .*batch_size is 8 there and 16 here",
        ),
        (
            {"search": {"head.dropout": "0..0.3"}},
            r"head\.dropout is 0.* there and 0.*0\.3 here",
        ),
        ({"objective": "val_loss"}, "one --objective, .*val_accuracy there and val_loss here"),
        ({"max_epochs": 3}, "one --max-epochs, .*2 there and 3 here"),
        ({"max_size": "10MB"}, "the same limits"),
        ({"image_size": 24}, "one --image-size, .*16 there and 24 here"),
    ],
)
def test_who_asks_for_something_else_may_not_join(
    begun: str, photos: Path, tmp_path: Path, more: dict[str, Any], rule: str
) -> None:
    with pytest.raises(SettingsError, match=f"who joins the study first must have .*{rule}"):
        asked_for(begun, photos, tmp_path / "others", join="first", **more)
    assert not (tmp_path / "others").exists()


def test_who_has_other_images_or_classes_may_not_join(begun: str, tmp_path: Path) -> None:
    out = tmp_path / "others"
    other = class_folders(tmp_path / "other", seed=1)
    with pytest.raises(SettingsError, match="must have the same images; ask"):
        asked_for(begun, other, out, join="first")
    (other / "red").rename(other / "crimson")
    with pytest.raises(SettingsError, match="the same classes"):
        asked_for(begun, other, out, join="first")


def test_a_name_on_the_server_is_taken_and_a_study_to_join_must_be_there(
    begun: str, tmp_path: Path
) -> None:
    nowhere = tmp_path / "no images"
    with pytest.raises(RunError, match=r"a study named 'first' is on the server already; .*--join"):
        asked_for(begun, nowhere, tmp_path / "others", name="first")
    with pytest.raises(SettingsError, match=r"must name a study on the server.*'second'; there: f"):
        asked_for(begun, nowhere, tmp_path / "others", join="second")


def test_a_server_that_cannot_be_used_is_told_before_an_image_is_read(
    postgres: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere, out = tmp_path / "no images", tmp_path / "runs"
    url = postgres.database()
    name = url.rpartition("/")[2]
    for bad, why in (
        (f"{url}_", "does not exist"),
        (url.replace(f":{postgres.port}", ":1"), "Connection refused"),
        (url.replace("tests@", "nobody@"), "password authentication failed"),
    ):
        with pytest.raises(SettingsError, match=f"a database that can be reached, but .*{why}"):
            asked_for(bad, nowhere, out)
    postgres.ask("CREATE ROLE reader LOGIN PASSWORD '" + postgres.password + "'")
    postgres.ask(f"GRANT CONNECT ON DATABASE {name} TO reader")
    with pytest.raises(SettingsError, match=r"a database to write to, but .*permission denied"):
        asked_for(url.replace("tests@", "reader@"), nowhere, out)
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs the package psycopg.*automl-img\[postgres\]"):
        asked_for(url, nowhere, out)
    assert not out.exists()


def test_how_a_trial_ended_is_known_to_all(drivers: Drivers) -> None:
    here, there = drivers.sampler("a"), drivers.sampler("b")
    asked = there.ask(0)
    assert asked is not None
    there.tell(record(0, (), TrialState.FAILED, "diverged", params=asked.params))
    here.hear()
    [trial_there] = here._elsewhere.values()
    assert trial_there.score == 0.0
    assert here.best_elsewhere is None
    assert here.place(0, asked.params, "start set") is None
