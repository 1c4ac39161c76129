"""Explainability gate: does the model decide for reasons that can be shown, and the right ones?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trust_gates import embedded
from trust_gates.company import as_served
from trust_gates.explainability import (
    faithfulness,
    features,
    inside,
    known_bad,
    methods,
    pictures,
    rows,
    sanity,
)
from trust_gates.explainability.explained import Explained
from trust_gates.explainability.metrics import METRICS
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.policy import Explainability
from trust_gates.explainability.subject import feature_names, of_samples
from trust_gates.policy import Setting
from trust_gates.progress import tell
from trust_gates.samples import Samples
from trust_gates.statistics import (
    decide,
    mean,
    missing,
    resample_weights,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Table
from trust_gates.written import number

GATE = "explainability"
Array = NDArray[np.float64]

_PARTS = 4
"""Of the measuring, as `progress` counts them: each asks the model many times."""

_DRAWN = 1024
"""Samples of tokens that decisions, and those of small groups, are chosen from."""


@as_served(GATE)
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
        PolicyError: the data do not have the policy's attribute, or attributions that are known to
            be bad would pass.
        ValueError: the policy's metric is unknown, or there are no samples.
    """
    if not len(samples):
        raise ValueError("got no samples to explain decisions on, expected at least one")
    policy.check_names(setting.known(samples))
    everything, space = samples, None
    names: Sequence[str] = ()
    if embedded.of_tokens(samples):
        target, samples, space = embedded.view(
            GATE, target, samples, least=policy.samples, most=_DRAWN, seed=setting.seed
        )
        parts = Parts(space.parts())
    else:
        names = feature_names(setting.features, samples.inputs)
        parts = Parts.of(samples.inputs.shape[1:], setting.columns)
    subject = of_samples(target, samples, policy.samples, setting.seed, space)
    if not len(subject):
        return _nothing(samples, policy, setting)
    attributions = methods.attribute(policy.method, subject, parts, seed=setting.seed)
    if setting.columns:
        attributions = parts.divided(attributions)
    relevance = parts.total(attributions)
    tell("part", 1, _PARTS, f"{len(subject)} decisions are attributed by {policy.method}")
    similarity = sanity.check_depends_on_model(
        policy.method, subject, parts, relevance, setting.seed
    )
    tell("part", 2, _PARTS, "random models are attributed otherwise")
    curves = faithfulness.measure(subject, parts, relevance, setting.seed)
    tell("part", 3, _PARTS, "faithfulness is measured")
    weights = resample_weights(len(subject), setting.seed)
    explained = Explained(
        everything=everything,
        samples=samples,
        space=space,
        names=names,
        subject=subject,
        parts=parts,
        attributions=attributions,
        relevance=relevance,
        weights=weights,
    )
    stable = sanity.stability(policy.method, subject, parts, relevance, setting.seed)
    tell("part", 4, _PARTS, "stability is measured")
    measures = {**known_bad.gains(curves, weights), "stability": mean(stable, weights)}
    proof = known_bad.check_policy(
        policy.requirements,
        curves,
        relevance,
        weights,
        confidence=setting.confidence,
        seed=setting.seed,
    )
    method = policy.method.replace("_", " ")
    source = methods.METHODS[policy.method].source
    notes = [f"explained {len(subject)} decisions by {method} ({source})", proof]
    figures = {"random_weights_similarity": similarity}
    tables: list[Table] = []
    warnings: list[str] = []
    if subject.boxes is not None:
        within = inside.pixels(subject.boxes, *attributions.shape[2:])
        measures |= {
            "attribution_inside": mean(inside.energy(attributions, within), weights),
            "pointing_game": inside.pointing(attributions, within),
        }
        figures["object_area"] = float(within.mean())
    if samples.inputs.ndim == 2:
        rested = rows.rested(explained, policy, setting)
        shares = rested.features
        measures["protected_share"] = rested.protected
        tables, warnings = rested.tables, rested.warnings
        notes += rested.notes
    else:
        shares = features.of_channels(attributions, weights, names)
    shown = features.largest(shares, words=space is not None)
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=setting.confidence),
        figures={**{name: measure.value for name, measure in measures.items()}, **figures},
        pictures=pictures.drawn(explained, curves, shares, setting.confidence),
        captions=pictures.CAPTIONS,
        tables=[features.table(shown, setting.confidence), *tables],
        notes=notes,
        asked=_asked(samples, policy, setting, explained=len(subject)),
        warnings=[*warnings, *_warnings(policy, attributions)],
    )


def _asked(
    samples: Samples, policy: Explainability, setting: Setting, *, explained: int
) -> list[tuple[str, str]]:
    said = [
        ("method", policy.method),
        ("decisions explained", f"{explained} of {len(samples)}"),
        ("confidence", f"{number(setting.confidence, 6)} for all checks of this gate together"),
    ]
    if samples.inputs.ndim == 2:
        protected = features.protected(samples, policy.protection(setting.seed))
        said.append(("protected attributes", ", ".join(protected) or "none"))
        said.append(("proxy from", number(policy.proxy)))
    return said


def _warnings(policy: Explainability, attributions: Array) -> list[str]:
    found = []
    standard = type(policy).model_fields["samples"].default
    if policy.samples < standard:
        found.append(
            f"at most {policy.samples} decisions are explained, the standard is {standard}"
        )
    nothing = int((~attributions.reshape(len(attributions), -1).any(axis=1)).sum())
    if nothing:
        why = f"{nothing} of {len(attributions)} decisions are attributed to nothing"
        if not methods.METHODS[policy.method].answers_alone:
            asking = [one.name for one in methods.METHODS.values() if one.answers_alone]
            why += (
                ": a model made of steps, as trees are, has no gradient there; "
                f"{', '.join(asking)} ask for answers alone"
            )
        found.append(why)
    return found


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
