"""Was a backdoor planted in the training data? Detectors that first have to find some of ours.

A detector that finds nothing may be blind. So backdoors of known kinds of mark are planted into a
copy of the data, a copy of the weights learns them, and what the detectors find of them is
measured. Only detectors that find enough of every kind that was asked for can clear the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trust_gates.integrity.poison import inversion
from trust_gates.integrity.poison.marks import carried
from trust_gates.integrity.poison.plant import TOOK, learned, plant, rounds
from trust_gates.integrity.poison.suspects import DETECTORS, Suspects, View
from trust_gates.integrity.policy import FALSE_ALARMS, Poisoning
from trust_gates.policy import Setting
from trust_gates.samples import Bools, Samples
from trust_gates.statistics import exact, proportion, samples_needed
from trust_gates.target import Target
from trust_gates.verdict import Check, Evidence, Interval, Outcome, Required, Table

GATE = "integrity"
_FEWEST = 50
"""With fewer training samples no planted backdoor is large enough to measure recall on."""

_RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
"""False-positive rates of the points of the ROC curves."""


def scan(
    target: Target,
    training: Samples,
    policy: Poisoning = Poisoning(),
    setting: Setting = Setting(),
) -> Evidence:
    """Look for a backdoor in a classifier's training samples, and measure how well it looked."""
    if training.labels is None or len(np.unique(training.labels)) < 2:
        why = "the search for backdoors is for classifiers with two classes or more"
        return unscanned(why, policy)
    if len(training) < _FEWEST:
        why = f"{len(training)} samples are too few, expected at least {_FEWEST}"
        return unscanned(why, policy)
    kinds = carried(policy.marks, training.inputs)
    if not kinds:
        asked = ", ".join(policy.marks)
        return unscanned(f"rows of features carry none of the marks {asked}", policy)
    samples = training.take(
        np.random.default_rng(setting.seed).permutation(len(training))[: policy.samples]
    )
    names = [name for name in policy.detectors if name in DETECTORS]
    found = _by_detectors(target, samples, names, kinds, policy, setting) if names else None
    turned = None
    if inversion.INVERSION in policy.detectors:
        turned = _by_inversion(target, samples, kinds, setting)
    parts = [part for part in (found, turned) if part is not None]
    left = [kind for kind in policy.marks if kind not in kinds]
    return Evidence(
        gate=GATE,
        checks=[check for part in parts for check in part.checks],
        figures={name: value for part in parts for name, value in part.figures.items()},
        tables=[table for part in parts for table in part.tables],
        notes=[
            f"{len(samples)} of {len(training)} training samples were searched for a backdoor",
            *(note for part in parts for note in part.notes),
            *(f"rows of features carry no {kind} mark: none was planted" for kind in left),
        ],
        asked=[
            ("backdoors searched by", ", ".join(policy.detectors)),
            ("kinds of mark that must be found", ", ".join(policy.marks)),
            ("of a planted backdoor must be found", f"{policy.recall:.0%}"),
            ("training samples searched", f"{len(samples)} of {len(training)}"),
        ],
        warnings=list(_weak(policy)),
    )


def _weak(policy: Poisoning) -> Sequence[str]:
    usual = Poisoning()
    fewer = [kind for kind in usual.marks if kind not in policy.marks]
    found = [f"backdoors with a {kind} mark need not be found" for kind in fewer]
    if policy.recall < usual.recall:
        found.append(
            f"{policy.recall:.0%} of a planted backdoor are enough, {usual.recall:.0%} by default"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tried:
    """What detectors found of planted backdoors, and where it was; one round after another."""

    suspects: Mapping[str, Suspects]
    kind: Sequence[str]
    """(R * N,): the kind of mark on each sample, empty where none was planted."""

    took: Mapping[str, float]
    marks: int

    @property
    def flagged(self) -> Bools:
        """By any detector."""
        flagged: Bools = np.any([one.flagged for one in self.suspects.values()], axis=0)
        return flagged

    def of(self, kind: str) -> Bools:
        """The samples with a mark of that kind, none with `""`."""
        return np.array([one == kind for one in self.kind])


def _by_detectors(
    target: Target,
    samples: Samples,
    names: Sequence[str],
    kinds: Sequence[str],
    policy: Poisoning,
    setting: Setting,
) -> Evidence:
    found = _detect(target, samples, names, setting.seed)
    tried = _tried(target, samples, names, kinds, setting.seed)
    flagged, clean = tried.flagged, tried.of("")
    checks = [
        _recall(kind, flagged[tried.of(kind)], tried.took[kind], policy.recall, setting.confidence)
        for kind in kinds
    ]
    checks.append(_false_alarms(flagged[clean], setting.confidence))
    blind = [check.reason for check in checks if check.outcome is not Outcome.PASSED]
    count = int(np.any([one.flagged for one in found.values()], axis=0).sum())
    return Evidence(
        gate=GATE,
        checks=[
            _check("poisoned_samples", count, len(samples), not blind, "; ".join(blind)),
            *checks,
        ],
        figures={
            "planted_success": min(tried.took.values()),
            "planted_recall": float(flagged[~clean].mean()),
            "planted_false_positive_rate": float(flagged[clean].mean()),
        },
        tables=_tables(found, tried, kinds),
        notes=[
            f"{tried.marks} marks of ours ({', '.join(kinds)}) were planted into"
            f" {int((~clean).sum())} samples to calibrate the detectors"
        ],
    )


def _tried(
    target: Target, samples: Samples, names: Sequence[str], kinds: Sequence[str], seed: int
) -> _Tried:
    found: list[Mapping[str, Suspects]] = []
    took: list[Mapping[str, float]] = []
    kind: list[str] = []
    marks = 0
    for number in range(rounds(samples, len(kinds))):
        planted = plant(samples, kinds, target.low, target.high, seed=[seed, number])
        with learned(target, planted, seed=seed) as shares:
            found.append(_detect(target, planted.samples, names, seed))
        took.append(shares)
        kind += planted.kinds
        marks += len(planted.doors)
    return _Tried(
        suspects={name: Suspects.joined([one[name] for one in found]) for name in names},
        kind=kind,
        took={name: float(np.mean([one[name] for one in took])) for name in kinds},
        marks=marks,
    )


def _recall(kind: str, flagged: Bools, took: float, least: float, confidence: float) -> Check:
    """One kind's check: what is not shown to be found is no fault of the model's.

    Each kind is decided at the whole confidence: to clear the data all of them must pass.
    """
    count, total = int(flagged.sum()), len(flagged)
    measure, required = proportion(count, total), Required(low=least)
    interval = measure.interval(confidence)
    name, seen = f"planted_recall[{kind}]", interval.low in required
    reason = f"{name}: {count} of {total} planted samples were found"
    reason += f" (at least {interval.low:.0%}), expected at least {least:.0%}"
    if not seen:
        reason += f"; a {kind} mark might not be found here"
        if took < TOOK:
            reason += f": the model did not learn the planted backdoor ({took:.0%} of {TOOK:.0%})"
    return Check(
        gate=GATE,
        name=name,
        measured=measure.value,
        interval=interval,
        required=required,
        samples=total,
        outcome=Outcome.PASSED if seen else Outcome.INSUFFICIENT,
        reason=reason,
        samples_needed=None if seen else samples_needed(measure.value, interval, required, total),
    )


def _false_alarms(flagged: Bools, confidence: float) -> Check:
    count, total = int(flagged.sum()), len(flagged)
    measure, required = proportion(count, total), Required(high=FALSE_ALARMS)
    interval = measure.interval(confidence)
    name, few = "planted_false_positive_rate", interval.high in required
    return Check(
        gate=GATE,
        name=name,
        measured=measure.value,
        interval=interval,
        required=required,
        samples=total,
        outcome=Outcome.PASSED if few else Outcome.INSUFFICIENT,
        reason=f"{name}: {count} of {total} samples without a mark were flagged (at most"
        f" {interval.high:.1%}), expected at most {FALSE_ALARMS:.0%}",
    )


def _by_inversion(
    target: Target, samples: Samples, kinds: Sequence[str], setting: Setting
) -> Evidence:
    why, figures, odd, trusted = _too_dear(samples), {}, 0, False
    if not why:
        sizes = _invert(target, samples, setting.seed)
        planted = plant(samples, kinds[:1], target.low, target.high, seed=[setting.seed], classes=1)
        into = planted.doors[0].into
        with learned(target, planted, seed=setting.seed) as took:
            again = _invert(target, planted.samples, setting.seed)
        odd = int((sizes > inversion.ANOMALOUS).sum())
        trusted = min(took.values()) >= TOOK and bool(again[into] > inversion.ANOMALOUS)
        why = f"the planted class {samples.classes[into]} had no anomalous trigger"
        figures = {
            "trigger_anomaly_index": float(sizes.max()),
            "planted_anomaly_index": float(again[into]),
        }
    check = _check("trigger_classes", odd, len(samples.classes), trusted, why)
    return Evidence(gate=GATE, checks=[check], figures=figures)


def _detect(
    target: Target, samples: Samples, names: Sequence[str], seed: int
) -> dict[str, Suspects]:
    view = View.of(target, samples, seed=seed)
    return {name: DETECTORS[name](view) for name in names}


def _invert(target: Target, samples: Samples, seed: int) -> np.ndarray:
    sizes = inversion.mark_sizes(target, samples.inputs, len(samples.classes), seed=seed)
    return inversion.anomalies(sizes)


def _too_dear(samples: Samples) -> str:
    classes = len(samples.classes)
    if samples.inputs.ndim != 4 or classes < inversion.FEWEST_CLASSES:
        return f"triggers are inverted for images of at least {inversion.FEWEST_CLASSES} classes"
    cost = inversion.cost(samples.inputs, classes)
    if cost > inversion.LARGEST:
        return f"inverting {classes} triggers takes {cost} values, at most {inversion.LARGEST}"
    return ""


def _check(name: str, count: int, examined: int, trusted: bool, why: str) -> Check:
    required = Required(high=0)
    outcome = required.decide(count, exact(count).interval(1.0))
    reason = f"{name}: got {count} of {examined}, expected {required}"
    if outcome is Outcome.PASSED and not trusted:
        outcome = Outcome.INSUFFICIENT
        reason += f"; the detectors cannot clear it: {why}"
    return Check(
        gate=GATE,
        name=name,
        measured=float(count),
        interval=Interval(low=count, high=count, confidence=1.0),
        required=required,
        samples=examined,
        outcome=outcome,
        reason=reason,
    )


def unscanned(why: str, policy: Poisoning) -> Evidence:
    """The evidence of a search that was asked for and could not be made: it clears nothing."""
    checks = [_check(name, 0, 0, False, why) for name in policy.counted]
    return Evidence(gate=GATE, checks=checks, notes=[why])


def _tables(
    found: Mapping[str, Suspects], tried: _Tried, kinds: Sequence[str]
) -> tuple[Table, ...]:
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
                *(float(flagged[tried.of(kind)].mean()) for kind in kinds),
                float(flagged[clean].mean()),
                float(roc_auc_score(~clean, suspects.scores)),
            ]
        )
        false, true, _ = roc_curve(~clean, suspects.scores)
        curves.append([name, *(float(np.interp(rate, false, true)) for rate in _RATES)])
    recalls = [f"recall of {kind}" for kind in kinds]
    return (
        Table(
            title="Detectors of poison, and what they find of planted backdoors",
            columns=["detector", "flagged here", *recalls, "false positive rate", "ROC area"],
            rows=detectors,
        ),
        Table(
            title="How often the planted marks turn other samples",
            columns=["kind of mark", "turned"],
            rows=[[kind, tried.took[kind]] for kind in kinds],
        ),
        Table(
            title="Recall of planted samples by false positive rate (ROC)",
            columns=["detector", *(f"{rate:.1%}" for rate in _RATES)],
            rows=curves,
        ),
    )
