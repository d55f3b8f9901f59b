"""Which family of networks is tried next: equal tries for all, until one is shown to be worse."""

from __future__ import annotations

from collections.abc import Sequence

# Of the test, before it is shared out over the families that are tested.
_LEVEL = 0.05
# With fewer tries no test says anything.
FEWEST_TRIES = 5


class Race:
    """Families compete for tries.

    The next try goes to the family that had the fewest. A family is dropped when its scores are
    worse than those of the leader, the family with the best score, by a one-sided Mann-Whitney U
    test. It is tested once both have five tries, then each time that these have doubled, and the
    level of 0.05 is shared out over the looks (a half, a quarter, ...) and over the rivals
    (Bonferroni). Failed trials score 0.

    Racing of models by statistical tests: Maron and Moore 1997, https://doi.org/10.1023/A:1006556606079;
    of algorithms: F-race, Birattari et al. 2002.

    Attributes:
        dropped: a sentence that says why, by family.
    """

    def __init__(self, families: Sequence[str]) -> None:
        """
        Args:
            families: at least one, in the order of their first tries.
        """
        self._tries = dict.fromkeys(families, 0)
        self._scores: dict[str, list[float]] = {family: [] for family in families}
        self._looks = dict.fromkeys(families, 0)
        self._next_look = dict.fromkeys(families, FEWEST_TRIES)
        self.dropped: dict[str, str] = {}
        self._spent: set[str] = set()

    def next(self) -> str | None:
        """The family of the next try; None where nothing of any family is left to try."""
        left = [name for name in self._tries if name not in self.dropped.keys() | self._spent]
        return min(left, key=self._tries.__getitem__, default=None)

    def spent(self, family: str) -> None:
        """Everything of ``family`` was tried."""
        self._spent.add(family)

    def tried(self, family: str) -> None:
        """Count a try that was started, whoever chose it."""
        self._tries[family] += 1

    def ended(self, family: str, score: float) -> None:
        """Take in the best validation accuracy of a try, 0 where it failed, and drop the families
        that are shown to be worse."""
        self._scores[family].append(score)
        leader = max(self._scores, key=lambda name: max(self._scores[name], default=0.0))
        rivals = [name for name in self._scores if name != leader and name not in self.dropped]
        for rival in rivals:
            tries = min(len(self._scores[rival]), len(self._scores[leader]))
            if tries < self._next_look[rival]:
                continue
            self._looks[rival] += 1
            self._next_look[rival] = 2 * tries
            chance = self._chance_of_equals(rival, leader)
            if chance < _LEVEL / 2 ** self._looks[rival] / len(rivals):
                self.dropped[rival] = (
                    f"{rival} was given up after {len(self._scores[rival])} trials: worse than "
                    f"{leader} (Mann-Whitney p = {chance:.2g})"
                )

    def _chance_of_equals(self, rival: str, leader: str) -> float:
        """How probable scores of ``rival`` so much below those of ``leader`` are by chance."""
        from scipy.stats import mannwhitneyu

        low, high = self._scores[rival], self._scores[leader]
        return float(mannwhitneyu(low, high, alternative="less").pvalue)
