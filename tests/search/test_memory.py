from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from automl_img.events import Event, TrialStarted
from automl_img.search import session
from automl_img.search.hardware import core_count
from automl_img.search.memory import MemoryBounds
from automl_img.search.storage import open_studies
from automl_img.training.costs import Footprint
from automl_img.trials import Params, TrialRecord, TrialState
from tests.search.searches import small_search
from tests.search.spaces import TINY, record

GB = 10**9


def bounds(share: int = 4 * GB) -> MemoryBounds:
    def estimate(params: Params) -> Footprint:
        return Footprint(10**6, 10**8 if params["backbone"] == "vgg16" else 10**6)

    return MemoryBounds(share, GB, lambda params: str(params["cnn.depth"]), estimate, 10**6)


def test_a_batch_has_at_most_all_images() -> None:
    memory = MemoryBounds(
        4 * GB, GB, lambda params: "one", lambda params: Footprint(10**6, 10**6), images=1000
    )
    assert memory.refusal(params(1000)) is None
    assert memory.refusal(params(1_000_000)) is None


def params(batch: int, depth: int = 2, backbone: str = "cnn") -> Params:
    return {"backbone": backbone, "cnn.depth": depth, "batch_size": batch}


def ended(own: Params, reason: str = "finished", **memory: float) -> TrialRecord:
    state = TrialState.COMPLETE if reason == "finished" else TrialState.FAILED
    return TrialRecord(0, state, reason, own, 0, 0.0, 1.0, memory=memory)


def test_what_is_told_from_its_size_not_to_fit_is_refused_before_its_network_was_built() -> None:
    memory = bounds()
    assert memory.refusal(params(1000)) is None
    assert memory.refusal(params(10_000)) is not None
    assert memory.refusal(params(1000, backbone="vgg16")) is not None
    assert memory.estimated(params(1000)) == {"fixed_bytes": 10**6, "image_bytes": 10**6}


def test_what_is_known_of_a_network_holds_for_every_batch_size() -> None:
    memory = bounds()
    memory.restore(ended(params(8), fixed_bytes=10**6, image_bytes=10**8))
    assert memory.refusal(params(32)) is None
    sentence = memory.refusal(params(128))
    assert sentence is not None
    assert "12801.0 MB" in sentence
    assert "batch_size" in sentence
    assert memory.refusal(params(128, depth=3)) is None


def test_what_a_process_grew_by_corrects_the_estimate_of_its_backbone_alone() -> None:
    memory = bounds()
    before = memory.allowance(params(8))
    # 4 GB were estimated and all of it was needed.
    memory.restore(ended(params(40), fixed_bytes=0, image_bytes=10**8, grown_bytes=4 * GB))
    assert memory.allowance(params(8)) == pytest.approx(0.75 * before)
    assert memory.allowance(params(8, backbone="vgg16")) == before
    # The next trial of the process found that memory there already, which says nothing.
    memory.restore(ended(params(40), fixed_bytes=0, image_bytes=10**8, grown_bytes=10**7))
    assert memory.allowance(params(8)) == pytest.approx(0.75 * before)


def test_a_small_network_says_nothing_of_the_estimate() -> None:
    memory = bounds()
    before = memory.allowance(params(8))
    memory.restore(ended(params(8), fixed_bytes=0, image_bytes=10**6, grown_bytes=10**8))
    assert memory.allowance(params(8)) == before


def test_after_a_trial_ran_out_of_memory_no_larger_one_starts_and_after_two_none_as_large() -> None:
    memory = bounds()
    memory.ended(ended(params(32), "out of memory", fixed_bytes=0, image_bytes=10**8))
    assert memory.refusal(params(33)) is not None
    assert memory.refusal(params(32)) is None
    memory.ended(ended(params(32), "out of memory", fixed_bytes=0, image_bytes=10**8))
    assert memory.refusal(params(32)) is not None
    assert memory.refusal(params(16)) is None


def test_a_trial_that_trained_shows_that_its_size_fits() -> None:
    memory = bounds()
    for _ in range(2):
        memory.ended(ended(params(32), "out of memory", fixed_bytes=0, image_bytes=10**8))
    trained = ended(params(40), fixed_bytes=0, image_bytes=10**8)
    memory.ended(replace(trained, epochs=record(0, (0.5,)).epochs))
    assert memory.refusal(params(40)) is None


def test_what_ran_out_of_memory_in_an_earlier_session_may_have_room_now() -> None:
    memory = bounds()
    memory.restore(ended(params(32), "out of memory", fixed_bytes=0, image_bytes=10**8))
    assert memory.refusal(params(33)) is None


def test_what_is_too_large_for_one_share_gets_as_many_as_it_needs() -> None:
    memory = bounds()
    memory.restore(ended(params(8), fixed_bytes=0, image_bytes=10**8))
    # A share has 4 GB of room, one of two has 9.3, of three 14.7: what is held anyway counts once.
    assert [memory.shares(params(batch), 4) for batch in (40, 41, 93, 94, 146, 1000)] == [
        1, 2, 2, 3, 3, 4,
    ]  # fmt: skip
    assert memory.refusal(params(93)) is not None
    assert memory.refusal(params(93), most_shares=2) is None
    assert memory.refusal(params(1000), most_shares=4) is not None
    assert bounds(share=0).shares(params(1000), 4) == 1


def test_what_ran_out_of_memory_with_several_shares_tells_what_one_has_room_for() -> None:
    memory = bounds()
    memory.ended(ended(params(70), "out of memory", fixed_bytes=0, image_bytes=10**8), shares=2)
    # Seven GB of room for seven: with three for one share it ends at three.
    assert memory.refusal(params(70), most_shares=2) is None
    assert memory.refusal(params(71), most_shares=2) is not None
    assert memory.shares(params(30), 2) == 1
    assert memory.shares(params(31), 2) == 2


def test_without_a_share_nothing_is_refused() -> None:
    memory = bounds(share=0)
    memory.ended(ended(params(8), fixed_bytes=10**12, image_bytes=10**8))
    assert memory.allowance(params(8)) == 0
    assert memory.refusal(params(8)) is None


def test_a_machine_with_little_memory_still_trains_small_networks() -> None:
    assert bounds(share=GB).allowance(params(8)) > 10**8


_BATCHES: dict[str, object] = {
    "fix": {name: value for name, value in TINY.items() if name != "batch_size"},
    "search": {"batch_size": "8,4096", "optimizer.learning_rate": "1e-3..1e-2:log"},
}


def room_for(share: int, patch: pytest.MonkeyPatch) -> None:
    """Give each trial so many bytes; of the tiny network 8 images take 0.2 MB, and all 48 of the
    photos 1.3 MB."""

    def small(
        _: int,
        held: int,
        graph_of: Callable[[Params], str],
        estimate: Callable[[Params], Footprint],
        images: int,
    ) -> MemoryBounds:
        assert images == 48
        return MemoryBounds(share, 0, graph_of, estimate, images)

    patch.setattr(session, "MemoryBounds", small)


@pytest.mark.slow
def test_what_needs_the_memory_of_two_workers_runs_by_itself_with_the_threads_of_both(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(700_000, monkeypatch)
    trials = small_search(
        photos, tmp_path / "runs", budget=4, sampler="random", workers=2, **_BATCHES
    ).trials()
    large = [trial for trial in trials if trial.params["batch_size"] == 4096]
    assert 0 < len(large) < len(trials)
    assert {trial.threads for trial in large} == {2 * max(1, core_count() // 2)}
    assert {t.threads for t in trials if t not in large} == {max(1, core_count() // 2)}
    assert all(trial.epochs for trial in trials)


@pytest.mark.slow
def test_what_does_not_fit_is_not_trained_and_told_to_the_sampler_as_a_broken_constraint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(500_000, monkeypatch)
    said: list[Event] = []
    run = small_search(
        photos,
        tmp_path / "runs",
        said.append,
        budget=6,
        sampler="random",
        **_BATCHES,
    )
    trials = run.trials()
    sizes = {trial.number: trial.params["batch_size"] for trial in trials}
    refused = [trial for trial in trials if trial.stop_reason == "infeasible"]
    assert refused
    assert all((sizes[t.number] == 4096) == (t in refused) for t in trials)
    assert all("batch_size" in (trial.error or "") for trial in refused)
    # None of them took a worker, the first one neither.
    started = {event.number for event in said if isinstance(event, TrialStarted)}
    assert not started & {trial.number for trial in refused}
    [study] = open_studies(run.study)
    told = {int(t.user_attrs["number"]): t for t in study.get_trials()}
    for trial in trials:
        broken = told[trial.number].constraints.get("memory", 0.0) > 0
        assert broken == (trial in refused)
