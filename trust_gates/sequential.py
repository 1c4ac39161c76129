"""How soon is a share known well enough? Looking again and again without paying for it.

A confidence sequence holds at every look together, so a gate may stop at the first one that
decides. For shares of independent samples: Robbins' mixture (Robbins 1970, "Statistical methods
related to the law of the iterated logarithm") with a beta prior, which for zeros and ones is exact
and has a closed form; Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables
by betting", appendix, places it among the betting martingales. By Ville's inequality the true
share leaves it, at any look, with at most the declared probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from trust_gates.statistics import MINIMUM_SAMPLES, Measure, proportion
from trust_gates.verdict import Check, Interval, Outcome

_PRIOR = 0.5
"""Of the beta mixture, both parameters: Jeffreys', which favours no share."""

_GROWTH = 2
"""Each look adds at least half of what was seen: attacks on few samples cost nearly as much."""

_EDGE = 1e-12
"""How near to 0 and 1 bounds are looked for."""

Look = tuple[int, int]
"""Successes, and samples seen."""


def confidence_sequence(looks: Sequence[Look], confidence: float) -> Interval:
    """The shares that no look has ruled out; may be empty (low > high) with at most 1 - confidence.

    Args:
        looks: every look so far, the samples of each containing those of the one before.
        confidence: that the true share is within, at all looks together.

    Raises:
        ValueError: successes outnumber samples, or samples shrink from look to look.
    """
    seen = 0
    low, high = 0.0, 1.0
    for successes, samples in looks:
        if not (0 <= successes <= samples and samples >= seen):
            raise ValueError(f"got looks {list(looks)}, expected successes <= samples, growing")
        seen = samples
        below, above = _mixture_bounds(successes, samples, math.log(1 / (1 - confidence)))
        low, high = max(low, below), min(high, above)
    return Interval(low=low, high=high, confidence=confidence)


def sequential(looks: Sequence[Look], *, planned: int) -> Measure:
    """A share measured in looks, of at most `planned` samples, with an interval valid at each.

    Half of the error rate is the sequence's. The other half is kept for the last look, which has
    the exact Clopper-Pearson interval as well: a model that is not decided early loses little
    against a test of all samples at once.
    """
    successes, samples = looks[-1]

    def interval(confidence: float) -> Interval:
        each = 1 - (1 - confidence) / 2
        found = confidence_sequence(looks, each)
        low, high = found.low, found.high
        if samples >= planned:
            last = proportion(successes, samples).interval(each)
            low, high = max(low, last.low), min(high, last.high)
        return Interval(low=low, high=high, confidence=confidence)

    return Measure(value=successes / samples, samples=samples, interval=interval)


def settled(checks: Sequence[Check]) -> bool:
    """Whether more samples could not change the outcome of any check: all intervals decide."""
    return all(
        check.outcome is Outcome.PASSED
        or check.interval.high < check.required.low
        or check.interval.low > check.required.high
        for check in checks
    )


def batches(planned: int) -> Iterator[slice]:
    """Which samples each look adds: few at first, then a part of what was seen."""
    seen = 0
    while seen < planned:
        more = max(MINIMUM_SAMPLES, seen // _GROWTH)
        yield slice(seen, min(seen + more, planned))
        seen += more


def _mixture_bounds(successes: int, samples: int, limit: float) -> tuple[float, float]:
    """The shares p at which the mixture's log likelihood ratio against p stays below `limit`."""
    from scipy.optimize import brentq
    from scipy.special import betaln, xlog1py, xlogy

    failures = samples - successes
    mixed = betaln(successes + _PRIOR, failures + _PRIOR) - betaln(_PRIOR, _PRIOR)

    def excess(share: float) -> float:
        return float(mixed - xlogy(successes, share) - xlog1py(failures, -share) - limit)

    middle = successes / samples if samples else 0.5
    low, high = 0.0, 1.0
    # Between the share seen and an end of the scale the ratio only grows.
    if excess(middle) < 0:
        if successes and excess(_EDGE) > 0:
            low = brentq(excess, _EDGE, middle)
        if failures and excess(1 - _EDGE) > 0:
            high = brentq(excess, middle, 1 - _EDGE)
    return low, high
