from __future__ import annotations

import pytest

from automl_img.search.placement import Placement
from automl_img.search.sampler import Suggestion


def waiting(graphs: str, gpus: int = 0, gpu_bytes: int = 0) -> Placement:
    """Trials 0, 1, ... that need the graphs of the given letters."""
    placement = Placement(gpus, gpu_bytes)
    for number, graph in enumerate(graphs):
        placement.wait(Suggestion(number, {}, 0), graph)
    return placement


def started(placement: Placement, trial_id: str) -> int | None:
    suggestion = placement.start(trial_id)
    return None if suggestion is None else suggestion.number


def one_by_one(placement: Placement) -> list[int]:
    """The order in which one worker runs all that waits."""
    order: list[int] = []
    while (number := started(placement, f"t{len(order)}")) is not None:
        placement.end(f"t{len(order)}")
        order.append(number)
    return order


def test_one_worker_runs_the_trials_of_a_graph_one_after_the_other() -> None:
    assert one_by_one(waiting("abab")) == [0, 2, 1, 3]


def test_trials_without_a_graph_that_is_held_keep_their_order() -> None:
    assert one_by_one(waiting("abcd")) == [0, 1, 2, 3]


def test_the_same_trials_are_placed_the_same_every_time() -> None:
    graphs = "abcabbcaacbbcacbaabc"
    assert one_by_one(waiting(graphs)) == one_by_one(waiting(graphs))
    assert sorted(one_by_one(waiting(graphs))) == list(range(len(graphs)))


def test_two_workers_take_different_graphs_and_stay_with_them() -> None:
    placement = waiting("aabbab")
    assert [started(placement, "t0"), started(placement, "t1")] == [0, 2]
    placement.end("t1")
    assert started(placement, "t2") == 3
    placement.end("t0")
    assert started(placement, "t3") == 1


def test_a_worker_takes_a_graph_of_another_rather_than_to_wait() -> None:
    placement = waiting("aa")
    assert [started(placement, "t0"), started(placement, "t1")] == [0, 1]


def test_no_trial_is_passed_over_for_ever() -> None:
    placement = waiting("ab")
    for number in range(2, 30):
        placement.wait(Suggestion(number, {}, 0), "a")
    assert one_by_one(placement).index(1) == 9


def test_what_has_not_started_can_be_given_up() -> None:
    placement = waiting("aab")
    placement.start("t0")
    assert [suggestion.number for suggestion in placement.clear()] == [1, 2]
    assert placement.start("t1") is None


GB = 10**9


def two_running(*peaks: int) -> Placement:
    """A GPU of 10 GB on which trials of graphs a and b started before any peak was known."""
    placement = waiting("ab", gpus=1, gpu_bytes=10 * GB)
    for trial_id in ("t0", "t1"):
        placement.start(trial_id)
    for trial_id, peak in zip(("t0", "t1"), peaks, strict=True):
        placement.measured(trial_id, peak)
    return placement


def test_a_trial_that_would_not_fit_beside_those_that_run_waits_for_them() -> None:
    placement = waiting("aab", gpus=1, gpu_bytes=10 * GB)
    assert started(placement, "t0") == 0
    placement.measured("t0", 5 * GB)
    assert started(placement, "t1") is None
    assert [suggestion.number for suggestion in placement.waiting] == [1, 2]
    placement.end("t0")
    assert started(placement, "t1") == 1


def test_a_trial_of_a_small_graph_starts_where_one_of_a_large_graph_cannot() -> None:
    placement = two_running(6 * GB, 1 * GB)
    placement.end("t1")
    placement.wait(Suggestion(2, {}, 0), "a")
    assert started(placement, "t2") is None
    placement.wait(Suggestion(3, {}, 0), "b")
    assert started(placement, "t2") == 3


def test_a_graph_without_a_measure_is_taken_to_be_as_large_as_the_largest() -> None:
    placement = waiting("abc", gpus=1, gpu_bytes=10 * GB)
    placement.start("t0")
    placement.measured("t0", 4 * GB)
    assert started(placement, "t1") == 1
    assert started(placement, "t2") is None


def test_memory_that_a_worker_took_counts_after_its_trial_too_but_not_twice() -> None:
    """TensorFlow gives nothing back: a large trial fits again into the worker that ran one."""
    placement = two_running(6 * GB, 2 * GB)
    placement.end("t0")
    placement.wait(Suggestion(2, {}, 0), "a")
    assert started(placement, "t2") == 2


def test_a_new_process_for_a_trial_has_taken_no_gpu_memory() -> None:
    placement = two_running(6 * GB, 2 * GB)
    placement.end("t0")
    for number in (2, 3):
        placement.wait(Suggestion(number, {}, 0), "b")
    assert started(placement, "t2") == 2
    assert started(placement, "t3") is None
    placement.replaced("t2")
    assert started(placement, "t3") == 3


@pytest.mark.parametrize("gpus", [1, 2])
def test_one_trial_a_gpu_may_always_run(gpus: int) -> None:
    placement = waiting("aaa", gpus=gpus, gpu_bytes=10 * GB)
    for number in range(gpus):
        assert started(placement, f"t{number}") == number
        placement.measured(f"t{number}", 20 * GB)
    assert started(placement, "t9") is None


def test_without_a_shared_gpu_nothing_is_held_back() -> None:
    placement = waiting("aa")
    placement.start("t0")
    placement.measured("t0", 100 * GB)
    assert started(placement, "t1") == 1


def test_a_process_with_several_shares_keeps_no_gpu_memory_from_those_that_follow() -> None:
    placement = waiting("abcd", gpus=1, gpu_bytes=80)
    placement.start("large")
    placement.sized("large", 2)
    placement.measured("large", 70)
    placement.end("large")
    for trial in ("t1", "t2", "t3"):
        assert placement.start(trial) is not None
        placement.sized(trial, 1)
    placement.measured("t1", 30)
    placement.measured("t2", 10)
    # Of its graph so much is expected again, of others what is usual.
    placement.end("t1")
    placement.wait(Suggestion(9, {}, 0), "a")
    assert placement.start("t4") is None
