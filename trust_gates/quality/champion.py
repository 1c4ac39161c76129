"""Is it at least nearly as good as the version that is served? Both on the same samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trust_gates.samples import Bools
from trust_gates.statistics import Measure
from trust_gates.verdict import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Discordant:
    """Two classifiers on the same samples: those that only one of them gets right."""

    gained: int
    """Right now, wrong before."""

    lost: int
    """Wrong now, right before."""

    samples: int

    @classmethod
    def of(cls, now: Bools, before: Bools) -> Discordant:
        """Compare what each got right, (N,)."""
        return cls(
            gained=int((now & ~before).sum()), lost=int((before & ~now).sum()), samples=len(now)
        )

    @property
    def mcnemar(self) -> float:
        """McNemar's exact p-value (1947): how likely so uneven a split is if both are as good."""
        if not self.gained + self.lost:
            return 1.0
        from scipy.stats import binomtest

        return float(binomtest(self.gained, self.gained + self.lost).pvalue)

    @property
    def gain(self) -> Measure:
        """The difference of the accuracies, with its score interval."""
        return Measure(
            value=(self.gained - self.lost) / self.samples if self.samples else math.nan,
            samples=self.samples,
            interval=self._interval,
            missing="" if self.samples else "there were no samples to measure it on",
        )

    def _interval(self, confidence: float) -> Interval:
        """Tango's score interval for a paired difference (Statistics in Medicine 17, 1998).

        It keeps its confidence where few samples differ, which is where Wald's interval, and a
        bootstrap, have no width. Its lower bound above -margin is a non-inferiority test.
        """
        from scipy.optimize import brentq
        from scipy.stats import norm

        z = float(norm.ppf(1 - (1 - confidence) / 2))
        value = (self.gained - self.lost) / self.samples

        def bound(sign: float, edge: float) -> float:
            if value == edge:
                return edge
            return float(brentq(lambda delta: self._score(delta) - sign * z, value, edge))

        return Interval(low=bound(1, -1.0), high=bound(-1, 1.0), confidence=confidence)

    def _score(self, delta: float) -> float:
        """Tango's statistic for a difference `delta`: 0 at the measured one, falling."""
        n, gained, lost = self.samples, self.gained, self.lost
        a, b = 2 * n, -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1 - delta)
        chance = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        spread = n * (2 * chance + delta * (1 - delta))
        apart = gained - lost - n * delta
        if not apart:
            return 0.0
        # At the very ends nothing varies any more: any distance is infinitely unlikely.
        return apart / math.sqrt(spread) if spread > 1e-12 else math.copysign(math.inf, apart)
