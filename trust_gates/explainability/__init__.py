"""Explainability gate: does the model decide for reasons that can be shown, and the right ones?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trust_gates import embedded
from trust_gates.company import as_served
from trust_gates.embedded import Space
from trust_gates.explainability import (
    faithfulness,
    features,
    inside,
    known_bad,
    methods,
    pictures,
    sanity,
)
from trust_gates.explainability.faithfulness import Curves
from trust_gates.explainability.features import Feature
from trust_gates.explainability.metrics import METRICS
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.policy import Explainability
from trust_gates.explainability.subject import Subject, feature_names, of_samples
from trust_gates.explainability.words import Bag
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

_SHOWN_WORDS = 30
_OF_A_GROUP = 32
"""Decisions of each group that are explained at least, where there are so many."""


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
        rule, rows_of, sizes = policy.protection(setting.seed), everything, attributions
        bag = None
        if space is not None:
            bag = Bag.of(space, subject, relevance)
            names, rows_of = bag.names, bag.samples(everything)
            sizes = bag.sizes(subject.inputs, relevance)
            notes.append(embedded.explained())
        shares, warnings, blind = features.of_rows(
            rows_of, sizes, weights, names, rule, columns=setting.columns
        )
        if setting.columns:
            tables.append(features.by_column(attributions, weights, setting))
        counted = np.array([feature.counted for feature in shares])
        share = features.share(sizes, counted)
        measures["protected_share"] = mean(share, weights)
        notes.append(features.note(shares, policy.proxy))
        if counted.any():
            further, more = _of_small_groups(
                target, samples, policy, subject, parts, setting.seed, space
            )
            if bag is not None:
                more = bag.sizes(further.inputs, parts.total(more))
            else:
                more = parts.divided(more)
            measures["protected_share"], by_group = features.worst_group(
                {
                    name: values[np.concatenate([subject.rows, further.rows])]
                    for name, values in features.protected(samples, rule).items()
                },
                np.concatenate([share, features.share(more, counted)]),
                measures["protected_share"],
            )
            tables.append(by_group)
        if blind:
            whom = ", ".join(blind)
            why = f"no two values of {whom} are frequent enough to look for what tells them"
            measures["protected_share"] = missing(why, grouped=True)
    else:
        shares = features.of_channels(attributions, weights, names)
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=setting.confidence),
        figures={**{name: measure.value for name, measure in measures.items()}, **figures},
        pictures=_pictures(
            subject, samples, attributions, relevance, curves, shares, setting.confidence, space
        ),
        captions=pictures.CAPTIONS,
        tables=[features.table(_largest(shares, space), setting.confidence), *tables],
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


def _of_small_groups(
    target: Target,
    samples: Samples,
    policy: Explainability,
    subject: Subject,
    parts: Parts,
    seed: int,
    space: Space | None,
) -> tuple[Subject, Array]:
    """Further decisions, of groups that few of those explained are of, and attributions (n, F).

    The smallest groups come first, and all together are at most twice as many as the policy's
    samples.
    """
    order = np.random.default_rng(seed).permutation(len(samples))
    known, chosen = set(subject.rows.tolist()), list[int]()
    for values in features.protected(samples, policy.protection(seed)).values():
        names, sizes = np.unique(values, return_counts=True)
        for name in names[np.argsort(sizes)]:
            inside = order[values[order] == name].tolist()
            lacking = _OF_A_GROUP - len(known.intersection(inside))
            further = [row for row in inside if row not in known][: max(lacking, 0)]
            further = further[: 2 * policy.samples - len(chosen)]
            known.update(further)
            chosen += further
    rows = np.array(chosen, dtype=np.int64)
    if not len(rows):
        return subject.take(rows), np.zeros((0, samples.inputs.shape[1]))
    more = of_samples(target, samples.take(rows), len(rows), seed, space)
    baseline = np.broadcast_to(subject.baseline[:1], more.inputs.shape).copy()
    if space is not None:
        baseline = space.beside(baseline, more.inputs)
    more = replace(more, baseline=baseline, rows=rows[more.rows])
    return more, methods.attribute(policy.method, more, parts, seed=seed)


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


def _largest(shares: Sequence[Feature], space: Space | None) -> Sequence[Feature]:
    """Of a table's features all of them; of words those that decide the most, and what counts."""
    if space is None:
        return shares
    first = sorted(shares, key=lambda one: -one.share.value)[:_SHOWN_WORDS]
    return [one for one in shares if one in first or one.counted]


def _pictures(
    subject: Subject,
    samples: Samples,
    attributions: Array,
    relevance: Array,
    curves: Curves,
    shares: Sequence[Feature],
    confidence: float,
    space: Space | None,
) -> dict[str, bytes]:
    shown = subject.take(subject.numbers[: pictures.SHOWN])
    some = attributions[: len(shown)]
    if shown.told is None:
        titles = [samples.classes[label] for label in shown.labels]
    else:
        titles = [
            f"{number(float(told), 4)}, {'above' if told > usual else 'below'} {number(usual, 4)}"
            for told, usual in shown.told.tolist()
        ]
    found = {"explainability-faithfulness": pictures.curves(curves)}
    if subject.inputs.ndim == 2:
        if space is None:
            names = [
                [f"{one.name} = {number(value, 3)}" for one, value in zip(shares, row, strict=True)]
                for row in shown.inputs
            ]
        else:
            some = relevance[: len(shown)]
            some = some[:, : np.flatnonzero(some.any(axis=0)).max(initial=0) + 1]
            places = space.tokens(shown.inputs)[:, : some.shape[1]]
            names = [[space.word(int(token)) for token in row] for row in places]
        found["explainability-features"] = pictures.shares(_largest(shares, space), confidence)
        found["explainability-samples"] = pictures.bars(names, some, titles)
    else:
        low, high = subject.target.low, subject.target.high
        images = (shown.inputs - low) / (high - low)
        found["explainability-maps"] = pictures.maps(images, some, titles, shown.boxes)
    return found
