"""Was a backdoor planted in the training data? Detectors that first have to find one of ours.

A detector that finds nothing may be blind. So a known backdoor is planted into a copy of the data,
a copy of the weights learns it, and what the detectors find of it is measured. Only detectors
that find enough of ours can clear the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trust_gates.integrity.poison import inversion
from trust_gates.integrity.poison.plant import TOOK, Planted, learned, plant
from trust_gates.integrity.poison.suspects import DETECTORS, Suspects, View
from trust_gates.integrity.policy import Poisoning
from trust_gates.policy import Setting
from trust_gates.samples import Bools, Samples
from trust_gates.statistics import exact, proportion
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
        return unscanned("the search for backdoors is for classifiers with two classes or more")
    if len(training) < _FEWEST:
        return unscanned(f"{len(training)} samples are too few, expected at least {_FEWEST}")
    samples = training.take(
        np.random.default_rng(setting.seed).permutation(len(training))[: policy.samples]
    )
    names = [name for name in policy.detectors if name in DETECTORS]
    inverts = inversion.INVERSION in policy.detectors
    found = _detect(target, samples, names, setting.seed)
    sizes = _invert(target, samples, setting.seed) if inverts else None
    planted = plant(samples, target.low, target.high, seed=setting.seed)
    with learned(target, planted, seed=setting.seed) as took:
        calibrated = _detect(target, planted.samples, names, setting.seed)
        again = _invert(target, planted.samples, setting.seed) if sizes is not None else None
    checks, figures = [], {"planted_success": took}
    if names:
        caught = np.any([suspects.flagged for suspects in calibrated.values()], axis=0)
        recall = proportion(int(caught[planted.mask].sum()), int(planted.mask.sum()))
        interval = recall.interval(setting.confidence)
        blind = f"of {recall.samples} planted samples {recall.value:.0%} were found"
        blind += f" (at least {interval.low:.0%}), expected at least {policy.recall:.0%}"
        trusted = took >= TOOK and interval.low >= policy.recall
        count = int(np.any([suspects.flagged for suspects in found.values()], axis=0).sum())
        checks.append(_check("poisoned_samples", count, len(samples), trusted, _why(took, blind)))
        figures["planted_recall"] = recall.value
        figures["planted_false_positive_rate"] = float(caught[~planted.mask].mean())
    if inverts:
        odd = 0 if sizes is None else int((sizes > inversion.ANOMALOUS).sum())
        sees = again is not None and again[planted.into] > inversion.ANOMALOUS
        blind = f"the planted class {training.classes[planted.into]} had no anomalous trigger"
        blind = blind if sizes is not None else _too_dear(samples)
        trusted = took >= TOOK and sees
        checks.append(
            _check("trigger_classes", odd, len(samples.classes), trusted, _why(took, blind))
        )
        if sizes is not None and again is not None:
            figures["trigger_anomaly_index"] = float(sizes.max())
            figures["planted_anomaly_index"] = float(again[planted.into])
    return Evidence(
        gate=GATE,
        checks=checks,
        figures=figures,
        tables=_tables(found, calibrated, planted) if names else (),
        notes=[
            f"{len(samples)} of {len(training)} training samples were searched for a backdoor;"
            f" one of ours with {int(planted.mask.sum())} samples was planted into"
            f" {training.classes[planted.into]} to calibrate the detectors"
        ],
    )


def _detect(
    target: Target, samples: Samples, names: Sequence[str], seed: int
) -> dict[str, Suspects]:
    if not names:
        return {}
    view = View.of(target, samples, seed=seed)
    return {name: DETECTORS[name](view) for name in names}


def _invert(target: Target, samples: Samples, seed: int) -> np.ndarray | None:
    if _too_dear(samples):
        return None
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


def _why(took: float, blind: str) -> str:
    if took < TOOK:
        return f"the model did not learn the planted backdoor ({took:.0%} of {TOOK:.0%})"
    return blind


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


def unscanned(why: str) -> Evidence:
    """The evidence of a search that was asked for and could not be made: it clears nothing."""
    return Evidence(gate=GATE, checks=[_check("poisoned_samples", 0, 0, False, why)], notes=[why])


def _tables(
    found: Mapping[str, Suspects], calibrated: Mapping[str, Suspects], planted: Planted
) -> tuple[Table, ...]:
    from sklearn.metrics import roc_auc_score, roc_curve

    mask: Bools = planted.mask
    detectors: list[list[str | float | int | None]] = []
    curves: list[list[str | float | int | None]] = []
    for name, suspects in calibrated.items():
        flagged = suspects.flagged
        detectors.append(
            [
                name,
                int(found[name].flagged.sum()),
                float(flagged[mask].mean()),
                float(flagged[~mask].mean()),
                float(roc_auc_score(mask, suspects.scores)),
            ]
        )
        false, true, _ = roc_curve(mask, suspects.scores)
        curves.append([name, *(float(np.interp(rate, false, true)) for rate in _RATES)])
    return (
        Table(
            title="Detectors of poison, and what they find of a planted backdoor",
            columns=["detector", "flagged here", "recall", "false positive rate", "ROC area"],
            rows=detectors,
        ),
        Table(
            title="Recall of planted samples by false positive rate (ROC)",
            columns=["detector", *(f"{rate:.1%}" for rate in _RATES)],
            rows=curves,
        ),
    )
