"""Fairness gate: are favorable outcomes shared evenly between groups?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trust_gates.company import as_served
from trust_gates.fairness import (
    asked,
    distortion,
    hidden,
    known_bad,
    picture,
    regression,
    rows,
    shown,
)
from trust_gates.fairness.groups import Grouping, grouping
from trust_gates.fairness.measured import View, measure, suffixed
from trust_gates.fairness.policy import Fairness
from trust_gates.fairness.rows import Rows
from trust_gates.metric import plain
from trust_gates.png import Drawn
from trust_gates.policy import Setting
from trust_gates.samples import Floats, Ints, Samples
from trust_gates.self_test import proved, refuses
from trust_gates.statistics import Measure, Requirement, decide, missing
from trust_gates.target import Answering, numbers
from trust_gates.verdict import Check, Evidence, Table

GATE = "fairness"


@as_served(GATE)
def judge(
    target: Answering,
    samples: Samples,
    policy: Fairness,
    setting: Setting = Setting(),
) -> Evidence:
    """Compare the groups by AIF360's figures (`fairness.metrics`) and decide.

    Numbers of a regression are compared by those of `fairness.metrics.REGRESSION`.

    Every comparison of groups, and with one-vs-rest every class, has a check of its own named
    `metric[comparison]`; all of them must pass, with one correction for all of them.

    Raises:
        PolicyError: the data do not have the policy's attribute, group or class, or decisions that
            are known to be unfair would pass.
        ValueError: a metric is unknown.
    """
    policy.check_names(setting.known(samples))
    groups = grouping(samples.groups, policy.attributes)
    left_out = asked.left_out(samples, policy)
    if samples.targets is not None:
        evidence = judge_numbers(samples.targets, numbers(target, samples), groups, policy, setting)
        return replace(
            evidence,
            asked=[*evidence.asked, ("samples", str(len(samples)))],
            warnings=[*evidence.warnings, *(asked.warning(name, samples) for name in left_out)],
        )
    favored = "an object that is found"
    if samples.detection:
        views = [View(rows=rows.of_detector(target.claims(samples.inputs), samples, groups.member))]
    else:
        logits, favorable = target.answers(samples), _favorable(samples, policy)
        views = [
            View(
                name=name,
                rows=rows.of_classifier(
                    logits,
                    samples,
                    groups.member,
                    classes,
                    alike=bool(setting.features)
                    and samples.inputs.ndim == 2
                    and samples.inputs.dtype.kind == "f",
                ),
                features=setting.features,
            )
            for name, classes in favorable.items()
        ]
        favored = ", ".join(samples.classes[one] for of in favorable.values() for one in of)
        favored += ", each against the rest" if len(views) > 1 else ""
    repairs = _distortion(target, samples, groups, setting.seed)
    evidence = _judge(views, groups, policy, setting, *repairs)
    tables = [one for view in views for one in asked.left_out_table(view, left_out, samples)]
    return replace(
        evidence,
        asked=[("favorable class", favored), *evidence.asked, ("samples", str(len(samples)))],
        warnings=[*evidence.warnings, *(asked.warning(name, samples) for name in left_out)],
        tables=[*evidence.tables, *tables],
    )


def judge_rows(
    decisions: Rows,
    groups: Grouping,
    policy: Fairness,
    setting: Setting = Setting(),
) -> Evidence:
    """The same, of decisions made already."""
    return _judge([View(rows=decisions)], groups, policy, setting, {}, {})


def judge_numbers(
    truth: Floats,
    predicted: Floats,
    groups: Grouping,
    policy: Fairness,
    setting: Setting = Setting(),
) -> Evidence:
    """Compare the groups by what numbers (n,) a regression predicts for them.

    Where one of them is no number, nothing is measured, which no check passes.

    Raises:
        ValueError: as `regression.measures`, or a metric is unknown.
    """
    if np.isfinite(predicted).all():
        measures = _numbers(truth, predicted, groups, setting.seed)
    else:
        why = "the model answered a sample with something that is no number"
        measures = {name: missing(why) for name in _numbers(truth, truth, groups, setting.seed)}
    top = np.isin(groups.member, groups.comparisons[0].privileged)
    bad = {
        words: _numbers(truth, wrong, groups, setting.seed)
        for words, wrong in known_bad.numbers(truth, top).items()
    }
    return _evidence(
        measures,
        bad,
        groups,
        policy,
        setting,
        tables=[shown.number_table(truth, predicted, groups)],
        notes=[],
        member=groups.member,
        whole=len(truth),
    )


def _numbers(truth: Floats, predicted: Floats, groups: Grouping, seed: int) -> dict[str, Measure]:
    measures: dict[str, Measure] = {}
    for comparison in groups.comparisons:
        rows_of = [
            np.isin(groups.member, side)
            for side in (comparison.unprivileged, comparison.privileged)
        ]
        compared = rows_of[0] | rows_of[1]
        found = regression.measures(
            truth[compared], predicted[compared], rows_of[1][compared], seed=seed
        )
        measures |= suffixed(found, comparison.name)
    return measures


def _judge(
    views: Sequence[View],
    groups: Grouping,
    policy: Fairness,
    setting: Setting,
    repaired: Mapping[str, Measure],
    repaired_badly: Mapping[str, Measure],
) -> Evidence:
    found = [measure(view, groups, alpha=policy.alpha, seed=setting.seed) for view in views]
    measures = {n: one for each in found for n, one in each.measures.items()} | dict(repaired)
    required = {one.metric: one.required for one in policy.requirements}
    wanted = frozenset(required)
    bad = {
        words: {
            name: one
            for view in wrong
            for name, one in measure(
                view, groups, alpha=policy.alpha, seed=setting.seed, wanted=wanted
            ).measures.items()
        }
        | dict(repaired_badly)
        for words, wrong in known_bad.views(views, groups, wanted, seed=setting.seed).items()
    }
    cancelled = list(hidden.cancelled(measures, required, setting.confidence))
    outvoted = [
        words
        for view in views
        for words in hidden.outvoted(
            view,
            groups,
            required,
            minimum=policy.minimum_group,
            confidence=setting.confidence,
            alpha=policy.alpha,
        )
    ]
    return _evidence(
        measures,
        bad,
        groups,
        policy,
        setting,
        tables=[shown.group_table(view, groups) for view in views],
        notes=[
            *(note for each in found for note in each.notes),
            *(words for words, wanted_too in cancelled if not wanted_too),
        ],
        warnings=[*(words for words, wanted_too in cancelled if wanted_too), *outvoted],
        member=views[0].rows.group,
        whole=len(np.unique(views[0].rows.unit)),
    )


def _evidence(
    measures: Mapping[str, Measure],
    bad: Mapping[str, Mapping[str, Measure]],
    groups: Grouping,
    policy: Fairness,
    setting: Setting,
    *,
    tables: Sequence[Table],
    notes: Sequence[str],
    member: Ints,
    whole: int,
    warnings: Sequence[str] = (),
) -> Evidence:
    """Decide on what was measured, and on what is known to be `bad`, which must be refused.

    `member` is each row's group; `whole` how many samples the rows are of.
    """

    def decided(of: Mapping[str, Measure]) -> list[Check]:
        return decide(
            GATE,
            of,
            _expanded(policy.requirements, of),
            confidence=setting.confidence,
            minimum=policy.minimum_group,
            whole=whole,
        )

    checks = decided(measures)
    tried = proved(GATE, {words: refuses(decided(of)) for words, of in bad.items()})
    sizes = np.bincount(member, minlength=len(groups.names))
    worst = shown.worst({name: one.value for name, one in measures.items()})
    required = {check.name: check.required for check in checks}
    drawn = {name: measures[name] for name in shown.pictured(list(required), worst)}
    who = " and ".join(one.name for one in policy.attributes)
    named = ", ".join(f"{n} {size}" for n, size in zip(groups.names, sizes, strict=True))
    together = [f"groups by {who}: {named}"] if len(policy.attributes) > 1 else []
    return Evidence(
        gate=GATE,
        checks=checks,
        figures={
            **{name: measures[full].value for name, full in worst.items()},
            "smallest_group": float(sizes.min(initial=len(member))),
        },
        pictures=Drawn({"fairness": lambda: picture.draw(drawn, required, setting.confidence)}),
        captions={
            "fairness": (
                "Fairness figures with their intervals on the required range, which is dotted: a "
                "filled mark lies in it, a hollow one cannot be told, a cross lies outside."
            )
        },
        tables=[*tables, *shown.worst_table(measures, setting.confidence)],
        notes=[*together, *shown.worst_notes(checks), *notes, tried],
        asked=asked.pairs(groups, policy, setting, sizes),
        warnings=warnings,
    )


def _favorable(samples: Samples, policy: Fairness) -> dict[str, list[int]]:
    """The favorable classes' indices; by the class's name where each has its turn."""
    classes = list(samples.classes)
    if not policy.wanted:
        return {name: [index] for index, name in enumerate(classes)}
    return {"": [classes.index(name) for name in policy.wanted]}


def _distortion(
    target: Answering, samples: Samples, groups: Grouping, seed: int
) -> tuple[dict[str, Measure], dict[str, Measure]]:
    """How far the model's own repair moves its inputs, where it has one; and how far a bad one."""
    repaired = target.repaired(samples)
    if repaired is None:
        return {}, {}
    first = np.isin(groups.member, groups.comparisons[0].privileged)
    before, after = (values.reshape(len(samples), -1) for values in (samples.inputs, repaired))
    worst = known_bad.repaired(before, first, low=target.low, high=target.high)
    good, bad = (distortion.measures(before, each, first, seed=seed) for each in (after, worst))
    return good, bad


def _expanded(
    requirements: Sequence[Requirement], measures: Mapping[str, Measure]
) -> list[Requirement]:
    """Each requirement, once for every comparison that has the figure."""
    expanded = []
    for requirement in requirements:
        names = [name for name in measures if plain(name) == requirement.metric]
        expanded += [replace(requirement, metric=name) for name in names or [requirement.metric]]
    return expanded
