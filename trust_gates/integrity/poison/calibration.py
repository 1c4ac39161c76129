"""What do the detectors find of backdoors that we planted, and what do they flag beside them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trust_gates.integrity.findings import GATE
from trust_gates.integrity.poison.plant import TOOK, learned, plant, rounds
from trust_gates.integrity.poison.suspects import Suspects, detect
from trust_gates.integrity.policy import FALSE_ALARMS
from trust_gates.progress import tell
from trust_gates.samples import Bools, Samples
from trust_gates.statistics import proportion
from trust_gates.target import Target
from trust_gates.verdict import Check, Outcome, Required, Table

_RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
"""False-positive rates of the points of the ROC curves."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What detectors say of samples with backdoors of ours, one round after another."""

    suspects: Mapping[str, Suspects]
    kind: Sequence[str]
    """(R * N,): the kind of mark on each sample, empty where none was planted."""

    took: Mapping[str, float]
    """For each kind the share of other samples that its marks turned."""

    marks: int
    """How many were planted."""

    @property
    def flagged(self) -> Bools:
        """By any detector."""
        flagged: Bools = np.any([one.flagged for one in self.suspects.values()], axis=0)
        return flagged

    def of(self, kind: str) -> Bools:
        """(R * N,): the samples with a mark of that kind; of `""` those without any."""
        return np.array([one == kind for one in self.kind])

    def checks(self, least: float, confidence: float) -> list[Check]:
        """One of each kind's recall, and one of false alarms; what is not shown is no fault.

        Each is decided at the whole confidence: all must pass for the data to be cleared.
        """
        flagged = self.flagged
        return [
            *(
                _recall(kind, flagged[self.of(kind)], took, least, confidence)
                for kind, took in self.took.items()
            ),
            _false_alarms(flagged[self.of("")], confidence),
        ]


def calibrated(
    target: Target, samples: Samples, names: Sequence[str], kinds: Sequence[str], *, seed: int
) -> Calibration:
    """Plant every kind of mark, have the model learn them, and ask the detectors."""
    found: list[Mapping[str, Suspects]] = []
    took: list[Mapping[str, float]] = []
    kind: list[str] = []
    marks = 0
    planned = rounds(samples, len(kinds))
    for number in range(planned):
        planted = plant(samples, kinds, target.low, target.high, seed=[seed, number])
        with learned(target, planted, seed=seed) as shares:
            found.append(detect(target, planted.samples, names, seed=seed))
        took.append(shares)
        kind += planted.kinds
        marks += len(planted.doors)
        tell("calibration", number + 1, planned, "of the search for backdoors")
    return Calibration(
        suspects={name: Suspects.joined([one[name] for one in found]) for name in names},
        kind=kind,
        took={name: float(np.mean([one[name] for one in took])) for name in kinds},
        marks=marks,
    )


def _recall(kind: str, flagged: Bools, took: float, least: float, confidence: float) -> Check:
    check = _shown(f"planted_recall[{kind}]", flagged, Required(low=least), confidence)
    reason = f"{check.name}: {int(flagged.sum())} of {check.samples} planted samples were found"
    reason += f" (at least {check.interval.low:.0%}), expected at least {least:.0%}"
    if check.outcome is not Outcome.PASSED:
        reason += f"; a {kind} mark might not be found here"
        if took < TOOK:
            reason += f": the model did not learn the planted backdoor ({took:.0%} of {TOOK:.0%})"
    return replace(check, reason=reason)


def _false_alarms(flagged: Bools, confidence: float) -> Check:
    required = Required(high=FALSE_ALARMS)
    check = _shown("planted_false_positive_rate", flagged, required, confidence)
    reason = f"{check.name}: {int(flagged.sum())} of {check.samples} samples without a mark were"
    reason += f" flagged (at most {check.interval.high:.1%}), expected at most {FALSE_ALARMS:.0%}"
    return replace(check, reason=reason)


def _shown(name: str, flagged: Bools, required: Required, confidence: float) -> Check:
    """Whether the share that is flagged is surely as required; what is not shown is no fault."""
    measure = proportion(int(flagged.sum()), len(flagged))
    interval = measure.interval(confidence)
    surely = required.decide(measure.value, interval) is Outcome.PASSED
    return Check(
        gate=GATE,
        name=name,
        measured=measure.value,
        interval=interval,
        required=required,
        samples=len(flagged),
        outcome=Outcome.PASSED if surely else Outcome.INSUFFICIENT,
        reason="",
    )


def tables(found: Mapping[str, Suspects], tried: Calibration) -> tuple[Table, ...]:
    """What the detectors `found` in the data as they are, beside what they are worth."""
    from sklearn.metrics import roc_auc_score, roc_curve

    clean = tried.of("")
    detectors: list[list[str | float | int | None]] = []
    curves: list[list[str | float | int | None]] = []
    for name, suspects in tried.suspects.items():
        flagged = suspects.flagged
        detectors.append(
            [
                name,
                int(found[name].flagged.sum()),
                *(float(flagged[tried.of(kind)].mean()) for kind in tried.took),
                float(flagged[clean].mean()),
                float(roc_auc_score(~clean, suspects.scores)),
            ]
        )
        false, true, _ = roc_curve(~clean, suspects.scores)
        curves.append([name, *(float(np.interp(rate, false, true)) for rate in _RATES)])
    recalls = [f"recall of {kind}" for kind in tried.took]
    return (
        Table(
            title="Detectors of poison, and what they find of planted backdoors",
            columns=["detector", "flagged here", *recalls, "false positive rate", "ROC area"],
            rows=detectors,
        ),
        Table(
            title="How often the planted marks turn other samples",
            columns=["kind of mark", "turned"],
            rows=[list(pair) for pair in tried.took.items()],
        ),
        Table(
            title="Recall of planted samples by false positive rate (ROC)",
            columns=["detector", *(f"{rate:.1%}" for rate in _RATES)],
            rows=curves,
        ),
    )
