"""Quality gate: does the model do its task well enough on samples it has never seen?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trust_gates.company import as_served
from trust_gates.errors import GateError
from trust_gates.png import Drawn
from trust_gates.policy import Setting
from trust_gates.quality import (
    bootstrap,
    calibration,
    classification,
    detection,
    encoded,
    regression,
    slices,
)
from trust_gates.quality.champion import Discordant
from trust_gates.quality.policy import ENCODED, GAIN, Quality
from trust_gates.quality.slices import Slices
from trust_gates.samples import Bools, Boxes, Ints, Samples, Task
from trust_gates.self_test import proved, refuses
from trust_gates.statistics import (
    Measure,
    decide,
    exact,
    missing,
    named,
    proportion,
)
from trust_gates.target import Answering, numbers
from trust_gates.verdict import Evidence
from trust_gates.written import number

GATE = "quality"

Answers = NDArray[np.float64] | Sequence[Boxes]
"""What a model says of some samples: logits (N, K), numbers (N, 1), or a detector's claims."""

Resampled = Callable[[bootstrap.Figures, int | Ints, int], dict[str, Measure]]
"""Figures, the number of units (of each kind) and a seed to measures, with their intervals or
without."""

CLASSIFICATION = ("accuracy", "balanced_accuracy", "f1_macro", "auc", "log_loss", "brier", "ece")
DETECTION = ("map50", "map50_95", "recall", "ece")
REGRESSION = (
    "r2", "explained_variance", "mean_absolute_error", "root_mean_squared_error",
    "median_absolute_error", "mean_absolute_percentage_error",
)  # fmt: skip

_FIGURES: Mapping[Task, tuple[str, ...]] = {
    "classification": (*CLASSIFICATION, "worst_slice_accuracy"),
    "detection": (*DETECTION, "worst_slice_recall"),
    "regression": (*REGRESSION, "worst_slice_mean_absolute_error"),
}

_CAPTIONS = {
    "quality-calibration": (
        "How often answers are right, by how sure the model is; on the line it is as right as it "
        "is sure."
    ),
    "quality-predictions": "What is predicted, by what is true; on the line both agree.",
}

_VARIES = 1e-3
"""Numbers that vary by less than this part of the truth's range are always the same."""

_PICTURE = "quality-calibration"

_DEALT = "the right answers, each given to another sample"

_CERTAIN = 30.0
"""The logit of an answer without doubt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Champion:
    """The served version, asked about the same samples."""

    version: str
    answers: Answers | None = None
    missing: str = ""
    """Why it could not be asked; then no new version can be shown to be no worse."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    measures: Mapping[str, Measure]
    slices: Slices
    sure: tuple[NDArray[np.float64], Bools] | None = None
    """How sure each answer, or claim, is, and whether it is right."""

    numbers: regression.Answers | None = None
    """Of a regression."""

    figures: Mapping[str, float] = field(default_factory=dict)


def ask(target: Answering, samples: Samples) -> Answers:
    """What the model says of the samples.

    Raises:
        GateError: it answers in another form, or about another number of classes.
    """
    if samples.detection:
        return target.claims(samples.inputs)
    if samples.targets is not None:
        return numbers(target, samples)[:, None]
    logits = target.answers(samples)
    if logits.shape[1] != len(samples.classes):
        raise GateError(
            f"got logits for {logits.shape[1]} classes, expected {len(samples.classes)}: "
            + ", ".join(samples.classes)
        )
    return logits


@as_served(GATE)
def judge(
    target: Answering,
    samples: Samples,
    policy: Quality,
    setting: Setting = Setting(),
    champion: Champion | None = None,
) -> Evidence:
    """Measure on all samples and decide.

    Metrics of classifiers: those of `CLASSIFICATION` and `worst_slice_accuracy`; of detectors:
    those of `DETECTION` and `worst_slice_recall`; of regressions those of `REGRESSION` and
    `worst_slice_mean_absolute_error`. Checks that answers are finite, not always the same and no
    matter of company are always added, `gain_over_champion` where the policy compares with a
    champion, and `encoded_otherwise` where the model is served raw values.

    Raises:
        GateError: the model does not answer as promised.
        PolicyError: the policy's checks pass the answers to other samples.
        ValueError: the policy names an unknown metric.
    """
    answers = ask(target, samples) if len(samples) else []
    evidence = judge_answers(answers, samples, policy, setting, champion)
    other = encoded.otherwise(target, samples, setting.seed)
    if other is None:
        return evidence
    required = named({ENCODED: policy.sometimes[ENCODED]})
    checks = decide(GATE, {ENCODED: other}, required, confidence=setting.confidence, minimum=0)
    return replace(
        evidence,
        checks=[*evidence.checks, *checks],
        figures={**evidence.figures, ENCODED: other.value},
        notes=[*evidence.notes, encoded.NOTE],
    )


def judge_answers(
    answers: Answers,
    samples: Samples,
    policy: Quality,
    setting: Setting = Setting(),
    champion: Champion | None = None,
) -> Evidence:
    """The same, of answers that were given already."""
    found = _found(answers, samples, policy, setting, champion)
    measures = {**found.measures, **_never(answers, samples)}
    requirements = list(policy.requirements)
    notes = [*found.slices.notes, *_self_test(samples, policy, setting, champion)]
    draw = {}
    if found.sure is not None:
        draw["quality-calibration"] = partial(calibration.diagram, *found.sure, setting.confidence)
    if found.numbers is not None:
        draw["quality-predictions"] = partial(regression.diagram, found.numbers)
    if policy.champion is not None and champion is None:
        notes = [*notes, "no version is served yet: there is no champion to compare with"]
    elif policy.champion is not None:
        requirements += named({GAIN: policy.sometimes[GAIN]})
    return Evidence(
        gate=GATE,
        checks=[
            *decide(GATE, measures, requirements, confidence=setting.confidence),
            *decide(GATE, measures, named(policy.always), confidence=setting.confidence, minimum=0),
        ],
        figures={**{name: one.value for name, one in measures.items()}, **found.figures},
        pictures=Drawn(draw),
        captions={name: _CAPTIONS[name] for name in draw},
        tables=[found.slices.table("Groups and classes, the worst first", setting.confidence)],
        notes=notes,
        asked=_asked(samples, policy, setting),
    )


def _found(
    answers: Answers,
    samples: Samples,
    policy: Quality,
    setting: Setting,
    champion: Champion | None,
    resampled: Resampled = bootstrap.measure,
) -> _Found:
    if not len(samples):
        return _no_samples(samples, policy)
    return _MEASURED[samples.task](answers, samples, policy, setting, champion, resampled)


def _self_test(
    samples: Samples, policy: Quality, setting: Setting, champion: Champion | None
) -> list[str]:
    """Would the right answers, each given to some other sample, be refused by the checks alone; of
    a regression one number for all samples, too?

    A model that hardly varies is not always the same, so that only the policy can refuse it.

    Raises:
        PolicyError: they would not.
    """
    if not len(samples):
        return []
    dealt = samples.take(np.random.default_rng(setting.seed).permutation(len(samples)))
    bad: dict[str, Answers] = {}
    if dealt.targets is not None:
        truth = bad[_DEALT] = dealt.targets[:, None].astype(np.float64)
        for what, one in (("mean", np.mean(truth)), ("median", np.median(truth))):
            bad[f"the {what} for all samples"] = np.full_like(truth, one)
    elif dealt.objects is None:
        bad[_DEALT] = np.eye(len(samples.classes))[dealt.labels] * _CERTAIN
    else:
        bad[_DEALT] = [
            Boxes(boxes=one.boxes, labels=one.labels, scores=np.ones(len(one)))
            for one in dealt.objects
        ]

    def refused(answers: Answers, resampled: Resampled) -> bool:
        found = _found(answers, samples, policy, setting, champion, resampled)
        measures = {**found.measures, **_never(answers, samples)}
        checks = decide(GATE, measures, policy.requirements, confidence=setting.confidence)
        return refuses(checks)

    # A figure that would not do even if it were certain needs no interval, which is dear.
    seen = {
        what: refused(answers, bootstrap.values) or refused(answers, bootstrap.measure)
        for what, answers in bad.items()
    }
    for what, was in seen.items():
        proved(GATE, {what: was})
    return [proved(GATE, seen)]


def _asked(samples: Samples, policy: Quality, setting: Setting) -> list[tuple[str, str]]:
    """What the figures rest on, in words."""
    told = [("samples", str(len(samples)))]
    if samples.targets is not None and len(samples):
        ends = [number(float(end), 6) for end in (samples.targets.min(), samples.targets.max())]
        spread = number(float(samples.targets.std()), 3)
        told.append(("true numbers", f"{ends[0]} to {ends[1]}, standard deviation {spread}"))
    elif samples.targets is None:
        told.append(_classes(samples))
    told += [
        ("smallest slice", f"{policy.minimum_slice} samples"),
        ("confidence", number(setting.confidence, 6)),
    ]
    if policy.champion is not None:
        told.append(("may lose against the served version", number(policy.champion.margin)))
    return told


def _classes(samples: Samples) -> tuple[str, str]:
    labels, what = np.zeros(0, np.int64), "samples"
    if samples.labels is not None:
        labels = np.asarray(samples.labels, dtype=np.int64)
    elif samples.objects is not None:
        what = "objects"
        labels = np.concatenate([labels, *(one.labels for one in samples.objects)])
    counts = np.bincount(labels, minlength=len(samples.classes))
    each = ", ".join(f"{name}: {n}" for name, n in zip(samples.classes, counts, strict=True))
    return f"{what} of each class", each


def _classification(
    answers: Answers,
    samples: Samples,
    policy: Quality,
    setting: Setting,
    champion: Champion | None,
    resampled: Resampled,
) -> _Found:
    now = classification.Answers.of(np.asarray(answers), samples)
    by_slice = slices.of_classifier(now, samples, policy.minimum_slice)
    kinds, sizes = now.kinds
    measures = resampled(kinds.figures, sizes, setting.seed)
    measures |= {
        "accuracy": proportion(int(now.right.sum()), len(samples)),
        "worst_slice_accuracy": by_slice.worst,
    }
    figures = {}
    if champion is not None and champion.answers is None:
        measures[GAIN] = missing(champion.missing)
    elif champion is not None:
        before = classification.Answers.of(np.asarray(champion.answers), samples)
        pairs = Discordant.of(now.right, before.right)
        measures[GAIN] = pairs.gain
        figures = {"champion_accuracy": float(before.right.mean()), "mcnemar_p": pairs.mcnemar}
    return _Found(
        measures=measures,
        slices=by_slice,
        sure=(now.confidence, now.right),
        figures=figures,
    )


def _detection(
    answers: Answers,
    samples: Samples,
    policy: Quality,
    setting: Setting,
    champion: Champion | None,
    resampled: Resampled,
) -> _Found:
    now = detection.Answers.of(list(answers), samples)
    by_slice = slices.of_detector(now, samples, policy.minimum_slice, setting.seed)
    before = None
    if champion is not None and champion.answers is not None:
        before = detection.Answers.of(list(champion.answers), samples)

    figures = _beside(now.figures, "map50", None if before is None else before.tables[0].map50)
    measures = resampled(figures, len(samples), setting.seed)
    measures["worst_slice_recall"] = by_slice.worst
    if champion is not None and before is None:
        measures[GAIN] = missing(champion.missing)
    return _Found(
        measures=measures,
        slices=by_slice,
        sure=(now.confidence, now.right),
    )


def _regression(
    answers: Answers,
    samples: Samples,
    policy: Quality,
    setting: Setting,
    champion: Champion | None,
    resampled: Resampled,
) -> _Found:
    now = regression.Answers.of(np.asarray(answers), samples)
    by_slice = slices.of_regression(now, samples, policy.minimum_slice, setting.seed)
    before = None
    if champion is not None and champion.answers is not None:
        before = regression.Answers.of(np.asarray(champion.answers), samples)

    figures = _beside(now.figures, "r2", None if before is None else before.r2)
    measures = resampled(figures, len(samples), setting.seed)
    measures["worst_slice_mean_absolute_error"] = by_slice.worst
    if champion is not None and before is None:
        measures[GAIN] = missing(champion.missing)
    return _Found(measures=measures, slices=by_slice, numbers=now)


def _beside(
    figures: bootstrap.Figures,
    name: str,
    champion: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None,
) -> bootstrap.Figures:
    """The figures, and what the one of that name has gained over the champion's, if there is one.

    The same samples are drawn for both: what is hard about them cancels out.
    """
    if champion is None:
        return figures

    def both(weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        found, before = figures(weights), champion(weights)
        return {**found, f"champion_{name}": before, GAIN: found[name] - before}

    return both


_MEASURED: Mapping[Task, Callable[..., _Found]] = {
    "classification": _classification,
    "detection": _detection,
    "regression": _regression,
}


def _no_samples(samples: Samples, policy: Quality) -> _Found:
    why = "there were no samples to measure it on"
    return _Found(
        measures={name: missing(why) for name in (*_FIGURES[samples.task], GAIN)},
        slices=Slices(measures={}, left_out={}, minimum=policy.minimum_slice),
    )


def _never(answers: Answers, samples: Samples) -> dict[str, Measure]:
    """What no threshold can excuse: answers that are no numbers, or always the same."""
    if samples.targets is not None:
        numbers = np.asarray(answers, dtype=np.float64).reshape(len(samples))
        finite = np.asarray(np.isfinite(numbers))
        told = np.ptp(numbers[finite]) if finite.any() else 0.0
        constant = bool(told < _VARIES * np.ptp(samples.targets)) if len(samples) else False
    elif isinstance(answers, np.ndarray):
        finite = np.asarray(np.isfinite(answers).all(axis=1))
        same = len(np.unique(np.where(finite, answers.argmax(axis=1), -1))) == 1
        constant = same and len(np.unique(np.asarray(samples.labels))) > 1
    else:
        finite = np.array([_finite(image) for image in answers], dtype=bool)
        constant = len(answers) > 1 and all(_equal(image, answers[0]) for image in answers)
    return {
        "constant_prediction": exact(float(constant), len(samples)),
        "non_finite_outputs": exact(float((~finite).sum()), len(samples)),
    }


def _finite(image: Boxes) -> bool:
    parts = (image.boxes, image.scores if image.scores is not None else np.zeros(0))
    return all(bool(np.isfinite(part).all()) for part in parts)


def _equal(left: Boxes, right: Boxes) -> bool:
    return np.array_equal(left.labels, right.labels) and np.array_equal(left.boxes, right.boxes)
