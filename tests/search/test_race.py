from __future__ import annotations

import numpy as np
import pytest

from automl_img.search.race import FEWEST_TRIES, Race


def run(race: Race, scores: dict[str, list[float]]) -> None:
    """Give each family its scores, in turns."""
    for tries in zip(*scores.values(), strict=True):
        for family, score in zip(scores, tries, strict=True):
            race.tried(family)
            race.ended(family, score)


def test_the_family_with_the_fewest_tries_is_next_and_the_order_decides_among_equals() -> None:
    race = Race(("b", "a", "c"))
    order = []
    for _ in range(6):
        family = race.next()
        assert family is not None
        order.append(family)
        race.tried(family)
    assert order == ["b", "a", "c", "b", "a", "c"]


def test_tries_that_others_chose_count_too() -> None:
    race = Race(("a", "b"))
    race.tried("a")
    race.tried("a")
    assert race.next() == "b"


def test_a_family_that_is_shown_to_be_worse_is_dropped_with_its_evidence() -> None:
    race = Race(("good", "bad"))
    run(race, {"good": [0.8, 0.81, 0.82, 0.83, 0.84], "bad": [0.1, 0.2, 0.3, 0.2, 0.1]})
    assert list(race.dropped) == ["bad"]
    assert "after 5 trials: worse than good (Mann-Whitney p = " in race.dropped["bad"]
    assert race.next() == "good"


def test_nobody_is_dropped_on_few_tries() -> None:
    race = Race(("good", "bad"))
    few = FEWEST_TRIES - 1
    run(race, {"good": [0.9] * few, "bad": [0.1] * few})
    assert not race.dropped


@pytest.mark.parametrize("families", [2, 8])
def test_of_equal_families_few_are_dropped(families: int) -> None:
    dropped = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        names = [f"f{place}" for place in range(families)]
        race = Race(names)
        run(race, {name: list(rng.uniform(size=40)) for name in names})
        dropped += bool(race.dropped)
    # 2 are expected at the level of 5 %; of as many as these chance gives more in 1 of 200.
    assert dropped <= 6


def test_a_family_is_looked_at_again_when_the_tries_have_doubled() -> None:
    race = Race(("good", "bad"))
    run(race, {"good": [0.5, 0.9, 0.5, 0.5, 0.5], "bad": [0.5] * 5})
    run(race, {"good": [0.9] * 4, "bad": [0.1] * 4})
    assert not race.dropped
    run(race, {"good": [0.9], "bad": [0.1]})
    assert list(race.dropped) == ["bad"]


def test_a_spent_family_leaves_its_tries_to_the_others() -> None:
    race = Race(("a", "b"))
    race.spent("a")
    assert race.next() == "b"
    race.spent("b")
    assert race.next() is None
