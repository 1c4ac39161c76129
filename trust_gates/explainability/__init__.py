"""Explainability gate: does the model decide for reasons that can be shown, and the right ones?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability import faithfulness, features, inside, methods, pictures, sanity
from trust_gates.explainability.faithfulness import Curves
from trust_gates.explainability.features import Feature
from trust_gates.explainability.metrics import METRICS
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.policy import Explainability
from trust_gates.explainability.subject import Subject, feature_names, of_samples
from trust_gates.policy import Setting
from trust_gates.samples import Samples
from trust_gates.statistics import (
    decide,
    mean,
    missing,
    resample_weights,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence

GATE = "explainability"
Array = NDArray[np.float64]


def judge(
    target: Target,
    samples: Samples,
    policy: Explainability,
    setting: Setting = Setting(),
) -> Evidence:
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
    policy.check_names(setting.known(samples))
    names = feature_names(setting.features, samples.inputs)
    subject = of_samples(target, samples, policy.samples, setting.seed)
    parts = Parts.of(samples.inputs.shape[1:])
    if not len(subject):
        return _nothing(samples, policy, setting)
    attributions = methods.attribute(policy.method, subject, parts, seed=setting.seed)
    relevance = parts.total(attributions)
    similarity = sanity.check_depends_on_weights(
        policy.method, subject, parts, relevance, setting.seed
    )
    curves = faithfulness.measure(subject, parts, relevance, setting.seed)
    weights = resample_weights(len(subject), setting.seed)
    stable = sanity.stability(policy.method, subject, parts, relevance, setting.seed)
    measures = {
        "faithfulness": mean(curves.faithfulness, weights),
        "deletion_gain": mean(curves.deletion_gain, weights),
        "insertion_gain": mean(curves.insertion_gain, weights),
        "stability": mean(stable, weights),
    }
    method = policy.method.replace("_", " ")
    source = methods.METHODS[policy.method].source
    notes = [f"explained {len(subject)} decisions by {method} ({source})"]
    figures = {"random_weights_similarity": similarity}
    if subject.boxes is not None:
        within = inside.pixels(subject.boxes, *attributions.shape[2:])
        measures |= {
            "attribution_inside": mean(inside.energy(attributions, within), weights),
            "pointing_game": inside.pointing(attributions, within),
        }
        figures["object_area"] = float(within.mean())
    if samples.inputs.ndim == 2:
        shares = features.of_rows(
            samples, attributions, weights, names, policy.protection(setting.seed)
        )
        counted = np.array([feature.counted for feature in shares])
        measures["protected_share"] = mean(features.share(attributions, counted), weights)
        notes.append(features.note(shares, policy.proxy))
    else:
        shares = features.of_channels(attributions, weights, names)
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=setting.confidence),
        figures={**{name: measure.value for name, measure in measures.items()}, **figures},
        pictures=_pictures(subject, samples, attributions, curves, shares, setting.confidence),
        captions=pictures.CAPTIONS,
        tables=[features.table(shares, setting.confidence)],
        notes=notes,
    )


def _nothing(samples: Samples, policy: Explainability, setting: Setting) -> Evidence:
    """A model that decides nothing leaves nothing to explain, which passes no check."""
    why = "the model decided nothing that could be explained: "
    if samples.detection:
        why += "it found no object in any of the images"
    else:
        why += "it answered every sample with something that is no number"
    measures = {metric.name: missing(why) for metric in METRICS}
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=setting.confidence),
        notes=[why],
    )


def _pictures(
    subject: Subject,
    samples: Samples,
    attributions: Array,
    curves: Curves,
    shares: Sequence[Feature],
    confidence: float,
) -> dict[str, bytes]:
    shown = subject.take(subject.numbers[: pictures.SHOWN])
    some = attributions[: len(shown)]
    titles = [samples.classes[label] for label in shown.labels]
    found = {"explainability-faithfulness": pictures.curves(curves)}
    if subject.inputs.ndim == 2:
        names = [feature.name for feature in shares]
        found["explainability-features"] = pictures.shares(shares, confidence)
        found["explainability-samples"] = pictures.bars(names, shown.inputs, some, titles)
    else:
        low, high = subject.target.low, subject.target.high
        images = (shown.inputs - low) / (high - low)
        found["explainability-maps"] = pictures.maps(images, some, titles, shown.boxes)
    return found
