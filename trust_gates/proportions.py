"""How far apart can shares be? Limits of each, and what follows for sums and ratios of them.

Percentile bootstraps and normal limits promise too much near 0 and 1 in small groups. Here every
share has its mid-p limits (Lancaster, JASA 56, 1961; Berry and Armitage, "Mid-P confidence
intervals: a brief review", The Statistician 44, 1995, section 2). Beyond either limit it is in at
most the whole declared error: Clopper and Pearson's hold half of it, and are wider for that. They
are combined by MOVER, the method of variance estimates recovery: Zou and Donner, "Construction of
confidence limits about effect measures: a general approach", Statistics in Medicine 27 (2008),
equation 3, for sums and differences; Donner and Zou, "Closed-form confidence intervals for
functions of the normal mean and standard deviation", Statistical Methods in Medical Research 21
(2012), equation 9, for ratios. With Wilson's limits that is Newcombe's method 10 (Statistics in
Medicine 17, 1998), too bold at high confidence, as are Miettinen and Nurminen's score intervals
where one group is far smaller than the other; `tests/bench/coverage.py` counts.

All functions take arrays of any one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_HALVINGS = 45
"""Of the interval from 0 to 1, which leave less than 1e-13 of it."""

Number = TypeVar("Number", np.float64, Array)


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """A value between its limits."""

    value: Array
    low: Array
    high: Array

    @property
    def distance(self) -> Bounded:
        """Of the value from 0."""
        low = np.maximum(np.maximum(self.low, -self.high), 0)
        return Bounded(np.abs(self.value), low, np.maximum(-self.low, self.high))


def share(
    value: ArrayLike, trials: ArrayLike, confidence: float, *, units: ArrayLike = np.inf
) -> Bounded:
    """A share of trials, or a mean of values from 0 to 1, in its mid-p limits.

    Trials need not be whole: see `effective`. Where they were estimated from `units`, they count
    as less by the square of what Student's t is wider than the normal (Korn and Graubard, Survey
    Methodology 24, 1998, section 2).
    """
    from scipy.special import ndtri, stdtrit

    tail = (1 - confidence) / 2
    seen, number, of = np.broadcast_arrays(
        *(np.asarray(one, dtype=np.float64) for one in (value, trials, units))
    )
    known = np.isinf(of)
    wider = stdtrit(np.where(known, 1, np.maximum(of - 1, 1)), 1 - tail) / ndtri(1 - tail)
    number = np.where(known, number, number / wider**2)
    low = _least(seen * number, number, tail)
    high = 1 - _least((1 - seen) * number, number, tail)
    return Bounded(seen, np.minimum(low, seen), np.maximum(high, seen))


def _least(hits: Array, trials: Array, tail: float) -> Array:
    """The share at which more hits, and half of as many hits, are as likely as `tail`."""
    from scipy.special import betainc

    some = np.maximum(hits, 1e-12)
    rest = np.maximum(trials - hits, 1e-12)
    low, high = np.zeros_like(trials), np.ones_like(trials)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        as_many = betainc(some, rest + 1, middle)
        more = np.where(hits < trials, betainc(hits + 1, rest, middle), 0.0)
        below = (as_many + more) / 2 < tail
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(hits > 0, low, np.where(np.isnan(hits), np.nan, 0.0))


def effective(value: Number, squares: Number, rows: Number, units: Number) -> Number:
    """How many independent trials a share of dependent rows, or a mean of values, is worth.

    Its variance is that of a ratio of sums over units (Cochran, "Sampling Techniques", 1977,
    section 6.3). Half a unit of nothing and half a unit of everything are added to what was seen
    (Jeffreys' prior): n units that are all alike are worth n trials, however many rows they have.

    Args:
        value: the share of rows, or the mean of their values from 0 to 1.
        squares: sum over units of (sum of the unit's values - `value` x its rows) squared.
        rows: how many rows there are.
        units: how many units they come in.
    """
    prior = (value**2 + (1 - value) ** 2) / 2
    variance = squares / rows**2 + prior / units**2
    smooth = (value * units + 0.5) / (units + 1)
    return smooth * (1 - smooth) / variance


def total(parts: Sequence[Bounded], weights: Sequence[float], *, wider: float = 1.0) -> Bounded:
    """The weighted sum of independent values; of two with the weights 1 and -1: their difference.

    `wider` than independent by so much, where their errors go together.
    """
    middle, below, above = (np.zeros(()) for _ in range(3))
    for part, weight in zip(parts, weights, strict=True):
        ends = weight * (part.low - part.value), weight * (part.high - part.value)
        middle = middle + weight * part.value
        below, above = below + np.minimum(*ends) ** 2, above + np.maximum(*ends) ** 2
    return Bounded(middle, middle - wider * np.sqrt(below), middle + wider * np.sqrt(above))


def ratio(over: Bounded, under: Bounded) -> Bounded:
    """The ratio of two independent shares; without an upper limit where `under` may be 0.

    Its limits are the ratios r at which a limit of the difference `over` - r x `under` is 0.
    """
    product = over.value * under.value
    lower, upper = (end * (2 * over.value - end) for end in (over.low, over.high))
    most, least = (end * (2 * under.value - end) for end in (under.high, under.low))
    # The lower root is written so that it stays stable where the first term vanishes.
    bottom = product + np.sqrt(np.maximum(product**2 - most * lower, 0))
    top = product + np.sqrt(np.maximum(product**2 - least * upper, 0))
    return Bounded(
        _divide(over.value, under.value, np.nan),
        np.maximum(_divide(lower, bottom, 0.0), 0),
        _divide(top, least, np.inf),
    )


def _divide(a: Array, b: Array, otherwise: float) -> Array:
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    result: Array = np.full(shape, otherwise)
    np.divide(a, b, out=result, where=np.broadcast_to(b > 0, shape))
    return result
