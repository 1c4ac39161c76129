"""Attack samples until every requirement is decided, and say what was left of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import PrecisionTable
from trust_gates.policy import Setting
from trust_gates.progress import tell
from trust_gates.robustness.ensemble import Attacked, Held, attack, share
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.sequential import Look, batches, sequential, settled
from trust_gates.statistics import Measure, decide, resample_weights, resampled
from trust_gates.verdict import Check

_COCO = np.linspace(0.5, 0.95, 10)
"""The overlaps that mAP50-95 is averaged over (Lin et al. 2014, "Microsoft COCO")."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What became of the samples that were attacked."""

    rows: NDArray[np.int64]
    """Which of the samples these are."""

    samples: Samples
    attacked: Attacked
    figures: Mapping[str, Measure]
    notes: Sequence[str] = ()


def measure(
    victim: Victim,
    samples: Samples,
    policy: Robustness,
    setting: Setting,
    *,
    name: str = "robust_accuracy",
) -> Measured:
    """Attack up to `policy.samples` samples, drawn at random with the run's seed.

    Only a share of samples that hold has a confidence sequence: where something else is required,
    and for detectors, all samples are attacked.

    Args:
        name: of the share that holds.
    """
    stops = all(r.metric == name for r in policy.requirements)
    order = np.random.default_rng(setting.seed).permutation(len(samples))[: policy.samples]
    if policy.sequential and stops and not victim.detection:
        found = _in_looks(victim, samples.take(order), policy, setting, name)
        return replace(found, rows=order[found.rows])
    rows = np.sort(order)
    chosen = samples.take(rows)
    attacked = attack(victim, chosen, policy.names, policy.budget(setting.seed))
    if victim.detection:
        figures = _of_detector(victim, chosen, attacked, setting.seed)
    else:
        figures = {name: share(attacked.held, chosen, setting.seed)}
    return Measured(rows=rows, samples=chosen, attacked=attacked, figures=figures)


def _in_looks(
    victim: Victim, samples: Samples, policy: Robustness, setting: Setting, name: str
) -> Measured:
    """Attack a part, look, and go on only while a requirement is open.

    Where the model fails even if all that the cheap attacks left of a part were right, the dear
    ones are spared: they could only lower the share, and a lower share fails all the more.
    """
    looks: list[Look] = []
    parts: list[Attacked] = []

    def figures(looks: Sequence[Look]) -> dict[str, Measure]:
        return {name: sequential(looks, planned=len(samples))}

    def checks(looks: Sequence[Look]) -> list[Check]:
        return decide("", figures(looks), policy.requirements, confidence=setting.confidence)

    def hopeless(held: Held) -> bool:
        hits, seen = looks[-1] if looks else (0, 0)
        partly = [*looks, (hits + int(held.sum()), seen + len(held))]
        return all(check.interval.high < check.required.low for check in checks(partly))

    for rows in batches(len(samples)):
        part = samples.take(np.arange(rows.start, rows.stop))
        parts.append(attack(victim, part, policy.names, policy.budget(setting.seed), hopeless))
        hits = looks[-1][0] if looks else 0
        looks.append((hits + int(parts[-1].held.sum()), rows.stop))
        tell("sample", rows.stop, len(samples), f"attacked: {looks[-1][0]} stand")
        if settled(checks(looks)):
            break
    used = looks[-1][1]
    notes = [f"sequential: {used} of at most {len(samples)} samples were needed"]
    attacked = Attacked.joined(parts)
    if attacked.spared:
        notes.append(
            f"sequential: the last {len(parts[-1].held)} samples were spared the dearer attacks, "
            "because the model fails without them: the share is an upper bound"
        )
    return Measured(
        rows=np.arange(used),
        samples=samples.take(np.arange(used)),
        attacked=attacked,
        figures=figures(looks),
        notes=notes,
    )


def _of_detector(
    victim: Victim, samples: Samples, attacked: Attacked, seed: int
) -> dict[str, Measure]:
    assert samples.objects is not None  # noqa: S101 (a detector's samples)
    weights = resample_weights(len(samples), seed)
    claims = victim.target.claims(attacked.inputs)
    # All images once, then their resamples.
    rows = np.concatenate([np.ones((1, len(samples))), weights])
    precisions = np.array(
        [
            PrecisionTable.of(claims, samples.objects, len(samples.classes), iou=iou).map50(rows)
            for iou in _COCO
        ]
    )
    figures = {"robust_map50": precisions[0], "robust_map50_95": precisions.mean(axis=0)}
    return {
        "robust_recall": share(attacked.held, samples, seed),
        **{n: resampled(float(p[0]), len(samples), p[1:]) for n, p in figures.items()},
    }
