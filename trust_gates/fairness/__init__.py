"""Fairness gate: are favorable outcomes shared evenly between two groups?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness import counts, picture, rows
from trust_gates.fairness.rows import Rows
from trust_gates.samples import Samples
from trust_gates.statistics import (
    RESAMPLES,
    Measure,
    Requirement,
    decide,
    missing,
    resample_weights,
    resampled,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence

GATE = "fairness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom to compare, and how equal they must be."""

    requirements: Sequence[Requirement]
    protected: str
    """The attribute's name."""

    privileged: Sequence[str]
    """Its privileged values; all others are unprivileged."""

    favorable: str | int | None = None
    """A classifier's favorable class, by name or index; a detection is favorable when found."""

    minimum_group: int = 30
    """Fewer samples (or objects) than this in a group are too few to judge."""

    confidence: float = 0.95
    seed: int = 0


def judge(target: Target, samples: Samples, policy: Policy) -> Evidence:
    """Compare the groups by AIF360's figures (see `counts.METRICS`) and decide.

    Raises:
        ValueError: the policy's attribute, class or metric is unknown.
    """
    return judge_rows(_rows(target, samples, policy), policy)


def judge_rows(decisions: Rows, policy: Policy) -> Evidence:
    """The same, of decisions made already."""
    measures = _measures(decisions, policy)
    smallest = min((_sizes(decisions)).values())
    note = ", ".join(f"{name} {size}" for name, size in _sizes(decisions).items())
    return Evidence(
        gate=GATE,
        checks=decide(
            GATE,
            measures,
            policy.requirements,
            confidence=policy.confidence,
            minimum=policy.minimum_group,
        ),
        figures={
            **{name: measure.value for name, measure in measures.items()},
            "smallest_group": float(smallest),
        },
        pictures={
            "fairness": picture.draw(
                measures,
                {check.metric: check.required for check in policy.requirements},
                policy.confidence,
            )
        },
        captions={
            "fairness": "Each fairness figure with its interval; the required range in green."
        },
        notes=[f"protected attribute {policy.protected}: {note}"],
    )


def _rows(target: Target, samples: Samples, policy: Policy) -> Rows:
    if policy.protected not in samples.groups:
        raise ValueError(
            f"got the protected attribute {policy.protected!r}, expected one of the dataset's: "
            + (", ".join(sorted(samples.groups)) or "it has none")
        )
    privileged = np.isin(samples.groups[policy.protected], list(policy.privileged))
    if samples.detection:
        return rows.of_detector(target.claims(samples.inputs), samples, privileged)
    return rows.of_classifier(target, samples, privileged, _favorable(samples, policy))


def _favorable(samples: Samples, policy: Policy) -> int:
    given, classes = policy.favorable, list(samples.classes)
    if isinstance(given, str) and given in classes:
        return classes.index(given)
    if isinstance(given, int) and 0 <= given < len(classes):
        return given
    raise ValueError(f"got the favorable class {given!r}, expected one of {classes} or its index")


def _sizes(decisions: Rows) -> dict[str, int]:
    """How many rows that can be favorable or not in truth each group has."""
    privileged = decisions.privileged
    return {
        "privileged": int(privileged.sum()),
        "unprivileged": int((~privileged).sum()),
        "favorable privileged": int((privileged & decisions.truth).sum()),
        "favorable unprivileged": int((~privileged & decisions.truth).sum()),
    }


def _measures(decisions: Rows, policy: Policy) -> dict[str, Measure]:
    sizes = _sizes(decisions)
    absent = [name for name, size in sizes.items() if size == 0]
    if absent:
        why = f"there are no samples that are {' or '.join(absent)} ({policy.protected})"
        return {name: missing(why) for name in counts.METRICS}
    with _without_warnings():
        from trust_gates.fairness import reference

    values = reference.figures(decisions)
    draws = counts.figures(_resampled_counts(decisions, policy.seed))
    # The smallest group decides how much can be known, not the number of all rows.
    return {
        name: resampled(values[name], min(sizes.values()), draws[name]) for name in counts.METRICS
    }


@contextmanager
def _without_warnings() -> Iterator[None]:
    """AIF360 warns of every optional package while it is imported; none is of use here."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _resampled_counts(decisions: Rows, seed: int) -> NDArray[np.float64]:
    """(RESAMPLES, 8): counts of each bootstrap resample of whole units.

    A cell that was never seen (nobody was missed) would show no spread at all, however few the
    rows: half a row on average (Jeffreys' prior) stands for what was not seen but could be.
    """
    cell = counts.cells(decisions.privileged, decisions.truth, decisions.predicted)
    observed = np.bincount(cell, minlength=counts.CELLS).astype(np.float64)
    generator = np.random.default_rng(seed)
    unit, size = np.unique(decisions.unit, return_counts=True)
    if size.max() == 1:
        share = observed / observed.sum()
        drawn = generator.multinomial(len(unit), share, size=RESAMPLES).astype(np.float64)
    else:
        table = np.zeros((len(unit), counts.CELLS))
        np.add.at(table, (np.searchsorted(unit, decisions.unit), cell), 1.0)
        drawn = resample_weights(len(unit), seed) @ table
    unseen = observed == 0
    drawn[:, unseen] += generator.poisson(0.5, size=(RESAMPLES, int(unseen.sum())))
    return drawn
