"""How sure can we be? Intervals for what was measured, and decisions corrected for many checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.proportions import effective, share
from trust_gates.verdict import Check, Interval, Outcome, Required
from trust_gates.written import number

MINIMUM_SAMPLES = 30
"""Below this many samples a check is never decided: intervals say too little to promote on."""

RESAMPLES = 4000
"""Several checks of several gates leave each a tail of a few thousandths, in which a thousand
resamples would have two or three."""

_LARGEST_SENSIBLE = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A check that the policy asks for: a metric by name, and the values it accepts."""

    metric: str
    required: Required


def named(required: Mapping[str, Required]) -> list[Requirement]:
    """Requirements from what is required of each metric."""
    return [Requirement(metric=name, required=one) for name, one in required.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure measured on `samples` samples, with its interval at any confidence."""

    value: float
    samples: int
    interval: Callable[[float], Interval]
    missing: str = ""
    """Why there is no figure (an empty group, no objects); then the check does not pass."""

    of: str = ""
    """Which part of the samples it is of, where that is found and not asked for."""

    grouped: bool = False
    """Whether it is of groups, whose size nobody chose: where one has too few samples, or none,
    nothing is decided, whatever the interval."""


def proportion(successes: int, total: int) -> Measure:
    """A share of independent trials with its exact interval (Clopper and Pearson 1934)."""

    def interval(confidence: float) -> Interval:
        if total == 0:
            return Interval(low=math.nan, high=math.nan, confidence=confidence)
        from scipy.special import betaincinv  # scipy.stats is slow to import

        tail, rest = (1 - confidence) / 2, total - successes
        low = betaincinv(successes, rest + 1, tail) if successes else 0.0
        high = betaincinv(successes + 1, rest, 1 - tail) if rest else 1.0
        return Interval(low=float(low), high=float(high), confidence=confidence)

    return Measure(
        value=successes / total if total else math.nan,
        samples=total,
        interval=interval,
        missing="" if total else "there were no samples to measure it on",
    )


def exact(value: float, samples: int = 0) -> Measure:
    """A figure that is counted, not estimated: its interval has no width."""
    return Measure(
        value=value,
        samples=samples,
        interval=lambda confidence: Interval(low=value, high=value, confidence=confidence),
    )


def missing(why: str, *, grouped: bool = False) -> Measure:
    """A figure that there is none of; its check says why, and fails unless a group is empty."""
    return Measure(
        value=math.nan,
        samples=0,
        interval=lambda confidence: Interval(low=math.nan, high=math.nan, confidence=confidence),
        missing=why,
        grouped=grouped,
    )


def resampled(value: float, samples: int, draws: NDArray[np.float64]) -> Measure:
    """A figure with the percentile interval of its bootstrap `draws`.

    One undefined draw in a hundred is bad luck; more mean that the figure has no known spread,
    and the interval is NaN, which fails closed. Draws that are all 0 or all 1 say nothing about
    the spread of a share: the exact interval of that many samples stands in.
    """

    def interval(confidence: float) -> Interval:
        defined = draws[~np.isnan(draws)]
        if math.isnan(value) or len(defined) < 0.99 * len(draws) or not len(defined):
            return Interval(low=math.nan, high=math.nan, confidence=confidence)
        if value in (0.0, 1.0) and (defined == value).all():
            return proportion(int(value) * samples, samples).interval(confidence)
        tail = (1 - confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Interval(low=float(low), high=float(high), confidence=confidence)

    return Measure(value=value, samples=samples, interval=interval)


def mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Measure:
    """The mean of one value a unit (n,), with the interval of `weights` (resamples, n) of them."""
    return resampled(float(values.mean()), len(values), weights @ values / len(values))


def bounded_mean(values: NDArray[np.float64], *, low: float = 0.0) -> Measure:
    """The mean of values (n,) from `low` to 1, of a group that may be small: see `proportions`.

    A bootstrap of few values that are nearly all alike promises too much.
    """
    if not len(values):
        return missing("a group has no samples", grouped=True)
    count, span = np.float64(len(values)), 1 - low
    shares = (values - low) / span
    value = np.float64(shares.mean())
    squares = np.float64(((shares - value) ** 2).sum())
    trials = effective(value, squares, count, count)

    def interval(confidence: float) -> Interval:
        found = share(value, trials, confidence, units=count)
        return Interval(
            low=low + span * float(found.low),
            high=low + span * float(found.high),
            confidence=confidence,
        )

    return Measure(value=float(values.mean()), samples=len(values), interval=interval, grouped=True)


def bootstrapped(
    figure: Callable[..., NDArray[np.float64]],
    *groups: NDArray[np.float64],
    seed: int,
    resamples: int = RESAMPLES,
) -> Measure:
    """A figure of the means of independent groups (n,), each resampled within itself.

    `figure` takes one array of means a group and gives the figure for each. Means of more than
    1000 samples are drawn from their normal limit: resampling them says the same and takes long.
    """
    if not all(len(group) for group in groups):
        return missing("a group has no samples", grouped=True)
    value = float(figure(*(np.array([group.mean()]) for group in groups))[0])
    drawn = [_means(group, [seed, index], resamples) for index, group in enumerate(groups)]
    return resampled(value, min(map(len, groups)), figure(*drawn))


def _means(values: NDArray[np.float64], seed: Sequence[int], count: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    size = len(values)
    if size > 1000:
        return generator.normal(values.mean(), values.std() / math.sqrt(size), size=count)
    return np.array([values[generator.integers(size, size=size)].mean() for _ in range(count)])


def resample_weights(units: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """(resamples, units): how often each unit is drawn in each bootstrap resample."""
    if units == 0:
        return np.zeros((resamples, 0))
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), size=resamples).astype(float)


def median(values: NDArray[np.float64]) -> Measure:
    """The median of one value a unit (n,), some perhaps infinite, with the exact interval.

    Its bounds are values of the sample itself: the number below the true median is binomial
    (David & Nagaraja 2003, "Order statistics", section 7.1), whatever the distribution. With too
    few values for the confidence asked a side is open.
    """
    ordered, count = np.sort(values), len(values)

    def interval(confidence: float) -> Interval:
        from scipy.stats import binom

        below = int(binom.ppf((1 - confidence) / 2, count, 0.5)) - 1
        bounded = below >= 0
        return Interval(
            low=float(ordered[below]) if bounded else -math.inf,
            high=float(ordered[count - 1 - below]) if bounded else math.inf,
            confidence=confidence,
        )

    return Measure(value=float(np.median(values)), samples=count, interval=interval)


def decide(
    gate: str,
    measures: Mapping[str, Measure],
    requirements: Sequence[Requirement],
    *,
    confidence: float,
    minimum: int = MINIMUM_SAMPLES,
    whole: int = 0,
) -> list[Check]:
    """Decide every requirement so that all passes together are wrong at most 1 - confidence.

    Holm's step-down, in terms of intervals: all checks start at 1 - alpha/m; each round of
    passes leaves fewer open, which are tried again at 1 - alpha/open.

    Args:
        minimum: a figure of fewer samples than this never passes; of groups, it never fails either.
        whole: how many samples there are, where figures rest on parts of them: what would decide
            is said in these.

    Raises:
        ValueError: the confidence is not between 0 and 1, or a metric is unknown.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"got confidence {confidence}, expected a number between 0 and 1")
    for requirement in requirements:
        if requirement.metric not in measures:
            raise ValueError(
                f"got the metric {requirement.metric!r} for the {gate} gate, expected one of: "
                + ", ".join(sorted(measures))
            )
    open_checks = list(range(len(requirements)))
    checks: dict[int, Check] = {}
    while open_checks:
        level = 1 - (1 - confidence) / len(open_checks)
        for index in open_checks:
            requirement = requirements[index]
            checks[index] = _check(
                gate,
                requirement,
                measures[requirement.metric],
                level,
                minimum=minimum,
                whole=whole,
            )
        still = [index for index in open_checks if checks[index].outcome is not Outcome.PASSED]
        if len(still) == len(open_checks):
            break
        open_checks = still
    return [checks[index] for index in range(len(requirements))]


def samples_needed(measured: float, interval: Interval, required: Required, n: int) -> int | None:
    """About how many samples would decide: an interval narrows with the root of their number.

    A value inside must draw both bounds inside, one outside must draw its nearer bound out. None
    for a value on the border, which no number of samples decides.
    """
    if measured < required.low:
        pairs = [(interval.high, required.low)]
    elif measured > required.high:
        pairs = [(interval.low, required.high)]
    else:
        pairs = [(interval.low, required.low), (interval.high, required.high)]
        pairs = [(bound, edge) for bound, edge in pairs if bound not in required]
    if not pairs or n == 0 or any(measured == edge for _, edge in pairs):
        return None
    needed = n * max(((measured - bound) / (measured - edge)) ** 2 for bound, edge in pairs)
    return math.ceil(needed) if needed <= _LARGEST_SENSIBLE else None


def _check(
    gate: str,
    requirement: Requirement,
    measure: Measure,
    level: float,
    *,
    minimum: int,
    whole: int,
) -> Check:
    interval = measure.interval(level)
    required = requirement.required
    outcome = required.decide(measure.value, interval)
    few = measure.samples < minimum
    factor: float | None = None
    if few and (measure.grouped or (outcome is Outcome.PASSED and measure.samples)):
        outcome = Outcome.INSUFFICIENT
        factor = minimum / measure.samples if measure.samples else None
    elif outcome is Outcome.INSUFFICIENT:
        needed = samples_needed(measure.value, interval, required, measure.samples)
        factor = None if needed is None else max(needed, minimum) / measure.samples
    return Check(
        gate=gate,
        name=requirement.metric,
        measured=measure.value,
        interval=interval,
        required=required,
        samples=measure.samples,
        outcome=outcome,
        reason=_reason(requirement.metric, measure, interval, required, outcome, factor),
        samples_needed=None if factor is None else math.ceil(factor * (whole or measure.samples)),
    )


def _reason(
    name: str,
    measure: Measure,
    interval: Interval,
    required: Required,
    outcome: Outcome,
    factor: float | None,
) -> str:
    if measure.missing:
        return f"{name} could not be measured: {measure.missing}"
    undecided = ""
    if outcome is Outcome.INSUFFICIENT:
        many = f"about {_times(factor)} times these data would" if factor else "more data may"
        undecided = f"{measure.samples} samples cannot tell, {many} decide"
    if math.isnan(measure.value):
        where = f"{name} is not a number on these {measure.samples} samples"
        return f"{where}; {undecided}" if undecided else f"{where}, so it cannot pass"
    span = _figure(measure.value)
    if not interval.low == interval.high == measure.value:
        span = f"{measure.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    got = f"{name}{f' ({measure.of})' if measure.of else ''}: got {span}, expected {required}"
    if outcome is Outcome.PASSED:
        return got
    if undecided:
        return f"{got}; {undecided}"
    if math.isnan(interval.low) or math.isnan(interval.high):
        return f"{got}; its interval is undefined, so it cannot pass"
    short = max(required.low - measure.value, measure.value - required.high)
    return f"{got}; off by {_figure(short)}" if short > 0 else got


def _figure(value: float) -> str:
    """A count as it is, anything else by three decimals, or more where these would be zeros."""
    small = not float(value).is_integer() and abs(value) < 0.001
    return number(value, 1) if small or float(value).is_integer() else f"{value:.3f}"


def _times(factor: float) -> str:
    """Rounded up, so that it is not said that as many as there are would decide."""
    return f"{math.ceil(factor * 10) / 10:.1f}" if factor < 10 else f"{math.ceil(factor)}"
