"""A start set learned from recorded learning curves, compared with the one made by hand.

    python benchmarks/portfolio/choose.py --most 4

Reads `benchmarks/curves/*.json` (see `benchmarks/collect.py`). Files of one space record the same
points, by their numbers. Points are chosen one after the other, each so that the mean regret over
the data sets of the best point chosen so far falls the most (greedy, as in Feurer et al. 2022,
https://jmlr.org/papers/v23/21-0992.html): what one is weak at, the next is good at. Regret is the
best recorded validation accuracy of a data set minus that of the best of the set.

Each data set is left out once: points are chosen on the others and tried on it, beside the start
set made by hand for data like it, which is recorded too. The learned set is better only if its mean
regret on the data left out is lower; it is printed last, and goes nowhere by itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.models.hyperparameters import declared
from automl_img.search.start import start_set
from automl_img.space.dimensions import SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.space.presets import Preset, build_space
from automl_img.trials import Params

CURVES = Path(__file__).parents[1] / "curves"


class Incomplete(Exception):
    """A file of curves lacks what is compared here."""


@dataclass(frozen=True)
class Recorded:
    """The curves of one data set.

    Attributes:
        name: of the file.
        facts: of the data.
        space: that the points are from.
        preset: that the space was made from, as JSON; the same for all that share their points.
        points: the searched values of each trial, by its number.
        accuracies: the best validation accuracy of each trial, by its number; 0 where it failed.
        start: the same of the start set made by hand, in the order of a search.
    """

    name: str
    facts: DataFacts
    space: SearchSpace
    preset: str
    points: dict[int, Params]
    accuracies: dict[int, float]
    start: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """One data set left out.

    Attributes:
        name: of the data set.
        hand, learned: regret of the best of the first 1, 2, ... points, in accuracy.
    """

    name: str
    hand: tuple[float, ...]
    learned: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each space, and the points that were learned from all of its data sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=Path, default=CURVES, help="folder of the JSON files")
    parser.add_argument("--most", type=int, default=4, help="points to choose")
    asked = parser.parse_args(arguments)
    groups: dict[str, list[Recorded]] = {}
    for path in sorted(asked.curves.glob("*.json")):
        try:
            recorded = read(path)
        except Incomplete as error:
            print(f"left out: {error}")
            continue
        groups.setdefault(recorded.preset, []).append(recorded)
    for group in groups.values():
        _show(group, asked.most)


def read(path: Path) -> Recorded:
    """The curves in ``path``.

    Raises:
        Incomplete: a point of the start set has none.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    about = content["data"]
    facts = DataFacts(about["train"], about["classes"], about["size"], about["channels"])
    space = build_space(content["space"], Preset(**content["preset"]), declared(), {}, {})
    trials = {int(trial["number"]): trial for trial in content["trials"]}
    return Recorded(
        name=path.stem,
        facts=facts,
        space=space,
        preset=json.dumps(content["preset"], sort_keys=True),
        points={number: trial["params"] for number, trial in trials.items()},
        accuracies={number: _accuracy(trial) for number, trial in trials.items()},
        start=tuple(_made_by_hand(path.stem, space, facts, content.get("start", []))),
    )


def _made_by_hand(
    name: str, space: SearchSpace, facts: DataFacts, recorded: Sequence[dict[str, Any]]
) -> Iterator[float]:
    for point in start_set(space, facts):
        wanted = {key: point[key] for key in point if key in space.searched}
        found = [trial for trial in recorded if trial["params"] == wanted]
        if not found:
            raise Incomplete(f"{name} lacks a point of the start set; run collect.py {name}")
        yield _accuracy(found[0])


def _accuracy(trial: dict[str, Any]) -> float:
    return 0.0 if trial["failed"] else max(trial["val_accuracy"], default=0.0)


def choose(data: Sequence[Recorded], most: int) -> list[int]:
    """The numbers of at most ``most`` points that complement each other on ``data``, best first;
    only of points that all of them recorded. Of equals the one recorded first is taken."""
    shared = sorted(set.intersection(*(set(each.points) for each in data)))
    chosen: list[int] = []
    while len(chosen) < min(most, len(shared)):
        left = [number for number in shared if number not in chosen]
        chosen.append(min(left, key=lambda number: _mean_regret(data, [*chosen, number])))
    return chosen


def regret(data: Recorded, accuracies: Sequence[float]) -> float:
    """How far the best of ``accuracies`` stays behind the best that is known."""
    return max(*data.accuracies.values(), *data.start) - max(accuracies)


def compare(group: Sequence[Recorded], most: int) -> list[Comparison]:
    """Each data set left out once; as many points learned as made by hand."""
    found = []
    for held in group:
        hand = held.start[:most]
        others = [each for each in group if each is not held]
        known = [number for number in choose(others, len(held.points)) if number in held.points]
        learned = [held.accuracies[number] for number in known]
        prefixes = range(1, len(hand) + 1)
        found.append(
            Comparison(
                held.name,
                tuple(regret(held, hand[:size]) for size in prefixes),
                tuple(regret(held, learned[:size]) for size in prefixes),
            )
        )
    return found


def _show(group: Sequence[Recorded], most: int) -> None:
    space = group[0].space
    sizes = ", ".join(f"{each.name} ({len(each.points)})" for each in group)
    print(f"\nspace {space.name}: {sizes}")
    if len(group) < 2:
        print("  one data set: nothing can be left out")
        return
    table = compare(group, most)
    for row in table:
        print(f"  {row.name}: regret of the first 1, 2, ... points")
        print(f"    by hand: {_percent(row.hand)}")
        print(f"    learned: {_percent(row.learned)}")
    gains = [row.hand[-1] - row.learned[-1] for row in table]
    gain = float(np.mean(gains))
    better = sum(each > 0 for each in gains)
    verdict = "the learned set is better" if gain > 0 else "the set made by hand stays"
    print(f"  mean gain {100 * gain:+.2f} points, better on {better} of {len(gains)}: {verdict}")
    for number in choose(group, most):
        print(f"  learned from all: {group[0].points[number]}")


def _mean_regret(data: Sequence[Recorded], numbers: Sequence[int]) -> float:
    return float(np.mean([regret(d, [d.accuracies[number] for number in numbers]) for d in data]))


def _percent(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.1f} %" for value in values)


if __name__ == "__main__":
    main()
