"""What Ray Tune is told, by a conductor that a test holds in its hand."""

from __future__ import annotations

from typing import cast

from ray.tune.search import Searcher

from automl_img.search.conductor import Conductor
from automl_img.search.engine import _Searcher
from automl_img.trials import TrialSpec


class OneTrial:
    """A conductor with one trial, which wants the machine for itself or does not."""

    over = False

    def __init__(self, alone: bool) -> None:
        self.alone = alone

    def next(self, trial_id: str) -> TrialSpec:
        return TrialSpec(7, {}, 0, 1, "", "", False, (), (), True, "")


def test_a_trial_gets_the_threads_of_its_executor() -> None:
    for alone, threads in ((False, 1), (True, 2)):
        searcher = _Searcher(cast(Conductor, OneTrial(alone)), alone, threads)
        told = searcher.suggest("a")
        assert told["spec"]["number"] == 7
        assert told["threads"] == threads


def test_what_wants_another_share_of_the_machine_ends_the_executor() -> None:
    for alone in (False, True):
        searcher = _Searcher(cast(Conductor, OneTrial(not alone)), alone, 1)
        assert searcher.suggest("a") == Searcher.FINISHED
