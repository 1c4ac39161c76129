"""Was a backdoor planted in the training data? Detectors that first have to find some of ours.

A detector that finds nothing may be blind. So backdoors of known kinds of mark are planted into a
copy of the data, a copy of the weights learns them, and what the detectors find of them is
measured. Only detectors that find enough of every kind that was asked for can clear the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trust_gates.integrity import tokens
from trust_gates.integrity.findings import GATE
from trust_gates.integrity.poison import inversion
from trust_gates.integrity.poison.calibration import calibrated, tables
from trust_gates.integrity.poison.marks import carried
from trust_gates.integrity.poison.plant import TOOK, learned, plant
from trust_gates.integrity.poison.suspects import DETECTORS, detect
from trust_gates.integrity.policy import Poisoning
from trust_gates.policy import Setting
from trust_gates.samples import Samples
from trust_gates.statistics import exact
from trust_gates.target import Target
from trust_gates.verdict import Check, Evidence, Interval, Outcome, Required

_FEWEST = 50
"""With fewer training samples no planted backdoor is large enough to measure recall on."""


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
    if tokens.are(training):
        return unscanned("the search for backdoors knows no marks that tokens carry", policy)
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
        turned = _by_inversion(target, samples, setting)
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


def _by_detectors(
    target: Target,
    samples: Samples,
    names: Sequence[str],
    kinds: Sequence[str],
    policy: Poisoning,
    setting: Setting,
) -> Evidence:
    found = detect(target, samples, names, seed=setting.seed)
    tried = calibrated(target, samples, names, kinds, seed=setting.seed)
    checks = tried.checks(policy.recall, setting.confidence)
    blind = [check.reason for check in checks if check.outcome is not Outcome.PASSED]
    count = int(np.any([one.flagged for one in found.values()], axis=0).sum())
    clean = tried.of("")
    return Evidence(
        gate=GATE,
        checks=[
            _check("poisoned_samples", count, len(samples), not blind, "; ".join(blind)),
            *checks,
        ],
        figures={
            "planted_success": min(tried.took.values()),
            "planted_recall": float(tried.flagged[~clean].mean()),
            "planted_false_positive_rate": float(tried.flagged[clean].mean()),
        },
        tables=tables(found, tried),
        notes=[
            f"{tried.marks} marks of ours ({', '.join(kinds)}) were planted into"
            f" {int((~clean).sum())} samples to calibrate the detectors"
        ],
    )


def _by_inversion(target: Target, samples: Samples, setting: Setting) -> Evidence:
    why, figures, odd, trusted = _too_dear(samples), {}, 0, False
    if not why:
        sizes = _invert(target, samples, setting.seed)
        planted = plant(
            samples, ["corner"], target.low, target.high, seed=[setting.seed], classes=1
        )
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
