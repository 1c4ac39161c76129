"""Explainability gate: does the model decide for reasons that can be shown, and the right ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability import association, faithfulness, methods, pictures, sanity
from trust_gates.explainability.faithfulness import Curves
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.subject import Subject, feature_names, of_samples
from trust_gates.samples import Samples
from trust_gates.statistics import (
    Measure,
    Requirement,
    decide,
    missing,
    proportion,
    resample_weights,
    resampled,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Table

GATE = "explainability"
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How decisions are explained, and what must be true of the explanations."""

    requirements: Sequence[Requirement]
    method: str = "integrated_gradients"
    samples: int = 64
    features: Sequence[str] = ()
    """Names of an input's features, or of an image's channels."""

    protected: Sequence[str] = ()
    """Attributes that decisions must not rest on; by default all that the samples have."""

    proxy: float = 0.5
    """From this association with one of them on, a feature counts as its proxy."""

    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in methods.METHODS:
            raise ValueError(
                f"got the method {self.method!r}, expected one of {list(methods.METHODS)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Feature:
    """One feature: how much attribution it gets, and which attribute it tells."""

    name: str
    share: Measure
    attribute: str = ""
    association: float = 0.0
    counted: bool = False
    """Whether it counts as a protected attribute or its proxy."""


def judge(target: Target, samples: Samples, policy: Policy) -> Evidence:
    """Attribute up to `policy.samples` decisions to their inputs and decide on what that shows.

    Metrics: `faithfulness`, `deletion_gain`, `insertion_gain`, `stability`; for rows of features
    `protected_share`; for detectors `attribution_inside` and `pointing_game`. Each is a mean over
    independent samples with its bootstrap interval. A decision that is attributed to nothing
    counts with the worst value.

    Raises:
        GateError: the attributions do not depend on the model, or it gives no gradients.
        ValueError: the policy's metric or attribute is unknown, or there are no samples.
    """
    if not len(samples):
        raise ValueError("got no samples to explain decisions on, expected at least one")
    names = feature_names(policy.features, samples.inputs)
    subject = of_samples(target, samples, policy.samples, policy.seed)
    parts = Parts.of(samples.inputs.shape[1:])
    if not len(subject):
        return _nothing(samples, policy)
    attributions = methods.attribute(policy.method, subject, parts, seed=policy.seed)
    relevance = parts.total(attributions)
    similarity = sanity.check_depends_on_weights(
        policy.method, subject, parts, relevance, policy.seed
    )
    curves = faithfulness.measure(subject, parts, relevance, policy.seed)
    weights = resample_weights(len(subject), policy.seed) / len(subject)
    stable = sanity.stability(policy.method, subject, parts, relevance, policy.seed)
    measures = {
        "faithfulness": _mean(curves.faithfulness, weights),
        "deletion_gain": _mean(curves.deletion_gain, weights),
        "insertion_gain": _mean(curves.insertion_gain, weights),
        "stability": _mean(stable, weights),
    }
    notes = [f"explained {len(subject)} decisions by {policy.method.replace('_', ' ')}"]
    figures = {"random_weights_similarity": similarity}
    features = _features(samples, attributions, weights, names, policy)
    if subject.boxes is not None:
        inside = _inside(subject, attributions)
        measures |= {
            "attribution_inside": _mean(_energy(attributions, inside), weights),
            "pointing_game": _pointing(attributions, inside),
        }
        figures["object_area"] = float(inside.mean())
    if samples.inputs.ndim == 2:
        counted = np.array([feature.counted for feature in features])
        measures["protected_share"] = _mean(_share(attributions, counted), weights)
        notes += _named(features, policy)
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=policy.confidence),
        figures={**{name: measure.value for name, measure in measures.items()}, **figures},
        pictures=_pictures(subject, samples, attributions, curves, features, policy),
        captions=_CAPTIONS,
        tables=[_table(features, policy.confidence)],
        notes=notes,
    )


_CAPTIONS = {
    "explainability-faithfulness": (
        "How certain the model stays while parts of the input are taken out, and becomes while "
        "they are put back: in the attribution's order, and in a random one."
    ),
    "explainability-maps": (
        "Inputs, and what speaks for the decision (red) and against it (blue)."
    ),
    "explainability-features": (
        "Each feature's share of the attribution; protected attributes and proxies in red."
    ),
    "explainability-samples": (
        "Single decisions: what speaks for the class that was decided for, and against it."
    ),
}


def _nothing(samples: Samples, policy: Policy) -> Evidence:
    """A detector that finds no object leaves nothing to explain, which passes no check."""
    names = ("faithfulness", "deletion_gain", "insertion_gain", "stability")
    why = "the detector found no object in any of the images"
    measures = {name: missing(why) for name in (*names, "attribution_inside", "pointing_game")}
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=policy.confidence),
        notes=[f"{why}: there is nothing to explain"],
    )


def _mean(values: Array, weights: Array) -> Measure:
    return resampled(float(values.mean()), len(values), weights @ values)


def _share(attributions: Array, chosen: NDArray[np.bool_]) -> Array:
    """(n,): the share of each attribution (n, F) on the chosen features."""
    size = np.abs(attributions)
    total = size.sum(axis=1)
    share: Array = np.divide(
        size[:, chosen].sum(axis=1), total, out=np.ones(len(size)), where=total > 0
    )
    return share


def _inside(subject: Subject, attributions: Array) -> NDArray[np.bool_]:
    """(n, H, W): the pixels whose middle lies in the object's box."""
    assert subject.boxes is not None  # noqa: S101 (only called so)
    x1, y1, x2, y2 = subject.boxes.T[:, :, None]
    height, width = (np.arange(size) + 0.5 for size in attributions.shape[2:])
    across, down = (x1 <= width) & (width < x2), (y1 <= height) & (height < y2)
    inside: NDArray[np.bool_] = down[:, :, None] & across[:, None, :]
    return inside


def _energy(attributions: Array, inside: NDArray[np.bool_]) -> Array:
    """(n,): the share of what speaks for the object that lies inside it.

    The energy-based pointing game of Wang et al., Score-CAM (CVPR workshops 2020).
    """
    speaking = np.clip(attributions.sum(axis=1), 0, None)
    total = speaking.sum(axis=(1, 2))
    energy: Array = np.divide(
        (speaking * inside).sum(axis=(1, 2)), total, out=np.zeros(len(total)), where=total > 0
    )
    return energy


def _pointing(attributions: Array, inside: NDArray[np.bool_]) -> Measure:
    """The pointing game of Zhang et al., Top-down Neural Attention (ECCV 2016), no tolerance."""
    speaking = attributions.sum(axis=1).reshape(len(attributions), -1)
    rows = np.arange(len(speaking))
    hits = inside.reshape(len(inside), -1)[rows, speaking.argmax(axis=1)]
    return proportion(int((hits & (speaking.max(axis=1) > 0)).sum()), len(hits))


def _features(
    samples: Samples,
    attributions: Array,
    weights: Array,
    names: Sequence[str],
    policy: Policy,
) -> list[_Feature]:
    """Every feature of a row, or channel of an image, with the attribute it tells best."""
    sizes = np.abs(attributions).reshape(len(attributions), len(names), -1).sum(axis=2)
    shares = [
        _mean(_share(sizes, np.arange(len(names)) == index), weights) for index in range(len(names))
    ]
    if samples.inputs.ndim != 2:
        return [_Feature(name=name, share=share) for name, share in zip(names, shares, strict=True)]
    told = _told(samples, policy)
    features = []
    for index, (name, share) in enumerate(zip(names, shares, strict=True)):
        best = max(told, key=lambda attribute: told[attribute][index], default="")
        value = float(told[best][index]) if best else 0.0
        features.append(
            _Feature(
                name=name,
                share=share,
                attribute=best,
                association=value,
                counted=value >= policy.proxy or name in told,
            )
        )
    return features


def _told(samples: Samples, policy: Policy) -> Mapping[str, Array]:
    """For each protected attribute how well each feature tells it."""
    unknown = [name for name in policy.protected if name not in samples.groups]
    if unknown:
        raise ValueError(
            f"got the protected attributes {unknown}, expected some of the dataset's: "
            + (", ".join(sorted(samples.groups)) or "it has none")
        )
    return {
        name: association.of_features(samples.inputs, samples.groups[name], policy.seed)
        for name in policy.protected or samples.groups
    }


def _named(features: Sequence[_Feature], policy: Policy) -> list[str]:
    counted = [
        f"{feature.name} (tells {feature.attribute}: {feature.association:.2f})"
        for feature in features
        if feature.counted
    ]
    if not counted:
        return [f"no feature tells a protected attribute to {policy.proxy:g} or more"]
    return ["protected attributes and their proxies: " + ", ".join(counted)]


def _table(features: Sequence[_Feature], confidence: float) -> Table:
    rows = []
    for feature in sorted(features, key=lambda feature: -feature.share.value):
        interval = feature.share.interval(confidence)
        rows.append(
            (
                feature.name,
                feature.share.value,
                interval.low,
                interval.high,
                feature.attribute or None,
                feature.association if feature.attribute else None,
            )
        )
    return Table(
        title="Share of the attribution by feature",
        columns=("feature", "share", "low", "high", "tells", "how well"),
        rows=rows,
    )


def _pictures(
    subject: Subject,
    samples: Samples,
    attributions: Array,
    curves: Curves,
    features: Sequence[_Feature],
    policy: Policy,
) -> dict[str, bytes]:
    shown = subject.take(subject.numbers[: pictures.SHOWN])
    some = attributions[: len(shown)]
    titles = [samples.classes[label] for label in shown.labels]
    found = {"explainability-faithfulness": pictures.curves(curves)}
    if subject.inputs.ndim == 4:
        found["explainability-maps"] = pictures.maps(
            shown.inputs,
            some,
            titles,
            low=subject.target.low,
            high=subject.target.high,
            boxes=shown.boxes,
        )
    if subject.inputs.ndim == 2:
        names = [feature.name for feature in features]
        found["explainability-features"] = pictures.shares(
            names,
            [feature.share for feature in features],
            [feature.counted for feature in features],
            policy.confidence,
        )
        found["explainability-samples"] = pictures.bars(names, shown.inputs, some, titles)
    return found
