"""Which checks can no model pass, however good it is, on a split of this size?

A check passes when its whole interval meets the requirement, and an interval has a width that only
samples make narrower. What is said here is certain: figures whose narrowest interval is not known
are taken as if they had none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trust_gates.fairness import figures
from trust_gates.fairness.counts import FN, FP, TN, TP
from trust_gates.fairness.policy import Fairness, Protected
from trust_gates.gates import Gates
from trust_gates.policy import GatePolicy, Path
from trust_gates.proportions import ratio, share, total
from trust_gates.statistics import MINIMUM_SAMPLES, Measure, Requirement, decide, exact
from trust_gates.verdict import Check, Interval, Outcome, Required

_MOST, _LEAST = 10_000_000, 1e-12

_SPENT = {"accuracy": 1.0, "robust_accuracy": 0.5, "robust_within_tolerance": 0.5}
"""Shares that nothing shows better than every sample being right, by the part of the error that is
left for Clopper and Pearson's limit: the rest is a confidence sequence's (see `sequential`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the split is that a model is judged on."""

    samples: int
    groups: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    """Of a classifier: each protected attribute's values, and how many samples of each class they
    have."""

    classes: Sequence[str] = ()


def problems(gates: Gates, sizes: Sizes) -> Iterator[tuple[Path, str]]:
    """Each check that no model can pass: where it stands in the gates' policies, and why."""
    limits = {"robustness": gates.robustness, "explainability": gates.explainability}
    for gate, policy in gates.policies.items():
        if gate == "integrity":
            continue
        asked = limits.get(gate)
        samples = sizes.samples if asked is None else min(sizes.samples, asked.samples)
        if isinstance(policy, Fairness):
            found = _of_groups(policy, sizes, gates.confidence_each)
        elif samples < MINIMUM_SAMPLES:
            found = _too_few(policy, samples, sizes.samples)
        else:
            found = _of_samples(gate, policy, samples, gates.confidence_each)
        yield from (((gate, *path), problem) for path, problem in found)


def _too_few(policy: GatePolicy, samples: int, there: int) -> Iterator[tuple[Path, str]]:
    """Whatever the figure, fewer samples than these decide nothing."""
    path: Path = ("checks",) if samples == there else ("samples",)
    whose = "samples in the test split" if samples == there else f"of {there} test samples"
    names = ", ".join(requirement.metric for requirement in policy.requirements)
    yield (
        path,
        f"got {samples} {whose}, expected at least {MINIMUM_SAMPLES}: no model can pass on fewer"
        f" ({names})",
    )


def _of_samples(
    gate: str, policy: GatePolicy, samples: int, confidence: float
) -> Iterator[tuple[Path, str]]:
    """Shares of samples that are right: even all of them show only so much."""

    def tail(metric: str, level: float) -> float:
        return (1 - level) / 2 * _SPENT[metric]

    def best(metric: str, required: Required) -> Measure:
        if metric not in _SPENT:
            return _anything(required, samples)

        def interval(level: float) -> Interval:
            low = tail(metric, level) ** (1 / samples)
            return Interval(low=low, high=1.0, confidence=level)

        return Measure(value=1.0, samples=samples, interval=interval)

    measures = {one.metric: best(one.metric, one.required) for one in policy.requirements}
    for index, check in _undecided(gate, measures, policy.requirements, confidence):
        beyond, low = tail(check.name, check.interval.confidence), check.required.low
        needed = math.ceil(math.log(beyond) / math.log(low)) if low < 1 else _MOST
        more = f"about {needed} could" if needed < _MOST else "no number could"
        yield (
            ("checks", index),
            f"{check.name}: no model can pass on {samples} test samples: all of them right show"
            f" at least {check.interval.low:.3f} at confidence"
            f" {check.interval.confidence:.4g}, expected {check.required}; {more}",
        )


def _of_groups(policy: Fairness, sizes: Sizes, confidence: float) -> Iterator[tuple[Path, str]]:
    """Gaps between groups: even none at all is shown only within so much."""
    for attribute in policy.attributes:
        if attribute.name not in sizes.groups:
            continue
        measures = {}
        few = set()
        for requirement in policy.requirements:
            metric, required = requirement.metric, requirement.required
            rows = _rows(policy, attribute, sizes, metric)
            measures[metric] = _anything(required, sizes.samples)
            if rows is None:
                continue
            if min(rows) < policy.minimum_group:
                few.add(metric)
            elif (narrow := _narrowest(metric, rows, required)) is not None:
                measures[metric] = narrow
        for index, requirement in enumerate(policy.requirements):
            if requirement.metric in few:
                rows = _rows(policy, attribute, sizes, requirement.metric) or (0, 0)
                yield (
                    ("checks", index),
                    f"{requirement.metric}: no model can pass: of {attribute.name} it rests on"
                    f" {rows[0]} unprivileged and {rows[1]} privileged test samples, expected at"
                    f" least {policy.minimum_group} (minimumGroup) of each",
                )
        for index, check in _undecided("fairness", measures, policy.requirements, confidence):
            rows = _rows(policy, attribute, sizes, check.name) or (0, 0)
            yield (
                ("checks", index),
                f"{check.name}: no model can pass: where both groups of {attribute.name} fare"
                f" alike, {rows[0]} and {rows[1]} test samples show that only within"
                f" [{check.interval.low:.3f}, {check.interval.high:.3f}] at confidence"
                f" {check.interval.confidence:.4g}, expected {check.required}",
            )


def _rows(
    policy: Fairness, attribute: Protected, sizes: Sizes, metric: str
) -> tuple[int, int] | None:
    """At most so many rows a figure rests on, unprivileged and privileged; None where not known."""
    rates = figures.compared(metric)
    if not rates or (not policy.wanted and len(sizes.classes) > 2):
        return None
    favorable = np.isin(list(sizes.classes), policy.wanted)
    found = []
    for privileged in (False, True):
        counted = sum(
            np.asarray(counts)
            for value, counts in sizes.groups[attribute.name].items()
            if (value in attribute.privileged) is privileged
        )
        counted = np.broadcast_to(counted, favorable.shape)
        of = [set(figures.RATES[rate].of) for rate in rates]
        numbers = []
        for cells in of:
            sides = [counted[favorable].sum()] * bool(cells & {FN, TP})
            sides += [counted[~favorable].sum()] * bool(cells & {TN, FP})
            numbers.append(int(sum(sides)))
        found.append(min(numbers))
    return found[0], found[1]


def _narrowest(metric: str, rows: tuple[int, int], required: Required) -> Measure | None:
    """A gap that is none, in an interval as narrow as any; None where that is not known."""
    ratios = metric in figures.RATIOS
    value = 1.0 if ratios else 0.0
    if not (ratios or metric in figures.DIFFERENCES) or value not in required:
        return None

    def width(of: Interval | Required) -> float:
        return math.log(of.high / max(of.low, _LEAST)) if ratios else of.high - of.low

    def interval(level: float) -> Interval:
        # A share is known best where it is 1, of both groups.
        sides = [share(1.0, float(n), level) for n in rows]
        made = ratio(*sides) if ratios else total(sides, [1.0, -1.0])
        found = Interval(low=float(made.low), high=float(made.high), confidence=level)
        # Another gap than none may be further from one end: only the width is certain.
        fits = width(found) <= width(required)
        return Interval(low=value, high=value, confidence=level) if fits else found

    return Measure(value=value, samples=min(rows), interval=interval)


def _undecided(
    gate: str,
    measures: Mapping[str, Measure],
    requirements: Sequence[Requirement],
    confidence: float,
) -> Iterator[tuple[int, Check]]:
    """The checks that do not pass though everything is as good as it can be, by their index."""
    checks = decide(gate, measures, requirements, confidence=confidence, minimum=0)
    for index, check in enumerate(checks):
        if check.outcome is not Outcome.PASSED:
            yield index, check


def _anything(required: Required, samples: int) -> Measure:
    """A figure that passes: of its narrowest interval nothing is known."""
    inside = required.low if math.isfinite(required.low) else required.high
    return exact(inside, samples)
