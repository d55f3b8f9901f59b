from __future__ import annotations

from collections.abc import Callable

from automl_img.search.growth import Growth

MB = 10**6


class Process:
    """A worker that holds so many bytes, and graphs of 100 MB that come back when let go of."""

    def __init__(self, share: int, graphs: int = 0, comes_back: int = 100 * MB) -> None:
        self.held = 0
        self.graphs = graphs
        self.comes_back = comes_back
        self.growth = Growth(share, lambda: self.held)

    def let_go(self) -> bool:
        if not self.graphs:
            return False
        self.graphs -= 1
        self.held -= self.comes_back
        return True

    def trials(self, count: int, held: Callable[[int], int]) -> list[bool]:
        """Whether the process was too large before each of ``count`` trials."""
        found = []
        for trial in range(count):
            self.held = held(trial)
            found.append(self.growth.too_large(self.let_go))
        return found


def test_a_process_that_has_run_nothing_is_never_too_large() -> None:
    assert Process(share=1).trials(2, lambda trial: 500 * MB) == [False, True]


def test_a_process_within_half_of_its_share_keeps_its_graphs() -> None:
    process = Process(share=2000 * MB, graphs=3)
    assert not any(process.trials(30, lambda trial: 1000 * MB))
    assert process.graphs == 3


def test_beyond_half_of_its_share_a_process_lets_go_of_one_graph_before_each_trial() -> None:
    process = Process(share=2000 * MB, graphs=5, comes_back=0)
    assert process.trials(4, lambda trial: 1150 * MB) == [False] * 4
    assert process.graphs == 2


def test_a_process_past_its_share_is_spared_where_graphs_bring_it_back() -> None:
    process = Process(share=1000 * MB, graphs=9)
    assert process.trials(2, lambda trial: 1350 * MB) == [False, False]
    assert process.graphs == 5
    assert Process(share=1000 * MB, graphs=0).trials(2, lambda t: 1100 * MB) == [False, True]


def test_a_process_that_grows_by_a_gigabyte_after_ten_trials_is_too_large() -> None:
    """150 MB a trial: 1,500 MB when ten are done, 2,550 MB when seventeen are."""
    found = Process(share=10**12).trials(19, lambda trial: 150 * MB * trial)
    assert found.index(True) == 17


def test_a_process_that_grows_only_at_first_is_not_too_large() -> None:
    assert not any(Process(share=10**12).trials(50, lambda trial: min(trial, 10) * 500 * MB))
