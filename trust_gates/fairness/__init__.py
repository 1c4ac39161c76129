"""Fairness gate: are favorable outcomes shared evenly between groups?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trust_gates.fairness import distortion, picture, regression, rows, shown
from trust_gates.fairness.groups import Grouping, grouping
from trust_gates.fairness.measured import View, measure, suffixed
from trust_gates.fairness.policy import Fairness
from trust_gates.fairness.rows import Rows
from trust_gates.metric import plain
from trust_gates.policy import Setting
from trust_gates.samples import Floats, Ints, Samples
from trust_gates.statistics import Measure, Requirement, decide
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Table

GATE = "fairness"


def judge(
    target: Target,
    samples: Samples,
    policy: Fairness,
    setting: Setting = Setting(),
) -> Evidence:
    """Compare the groups by AIF360's figures (`fairness.metrics`) and decide.

    Every comparison of groups, and with one-vs-rest every class, has a check of its own named
    `metric[comparison]`; all of them must pass, with one correction for all of them.

    Raises:
        PolicyError: the data do not have the policy's attribute, group or class.
        ValueError: a metric is unknown.
    """
    policy.check_names(setting.known(samples))
    groups = grouping(samples.groups, policy.attributes)
    if samples.detection:
        views = [View(rows=rows.of_detector(target.claims(samples.inputs), samples, groups.member))]
    else:
        logits = target.answers(samples)
        views = [
            View(
                name=name,
                rows=rows.of_classifier(
                    logits,
                    samples,
                    groups.member,
                    classes,
                    alike=bool(setting.features) and samples.inputs.ndim == 2,
                ),
                features=setting.features,
            )
            for name, classes in _favorable(samples, policy).items()
        ]
    return _judge(
        views, groups, policy, setting, _distortion(target, samples, groups, setting.seed)
    )


def judge_rows(
    decisions: Rows,
    groups: Grouping,
    policy: Fairness,
    setting: Setting = Setting(),
) -> Evidence:
    """The same, of decisions made already."""
    return _judge([View(rows=decisions)], groups, policy, setting, {})


def judge_numbers(
    truth: Floats,
    predicted: Floats,
    groups: Grouping,
    policy: Fairness,
    setting: Setting = Setting(),
) -> Evidence:
    """Compare the groups by what numbers (n,) a regression predicts for them.

    Raises:
        ValueError: as `regression.measures`, or a metric is unknown.
    """
    measures: dict[str, Measure] = {}
    for comparison in groups.comparisons:
        rows_of = [
            np.isin(groups.member, side)
            for side in (comparison.unprivileged, comparison.privileged)
        ]
        compared = rows_of[0] | rows_of[1]
        found = regression.measures(
            truth[compared], predicted[compared], rows_of[1][compared], seed=setting.seed
        )
        measures |= suffixed(found, comparison.name)
    return _evidence(measures, groups, policy, setting, tables=[], notes=[])


def _judge(
    views: Sequence[View],
    groups: Grouping,
    policy: Fairness,
    setting: Setting,
    further: Mapping[str, Measure],
) -> Evidence:
    found = [measure(view, groups, alpha=policy.alpha, seed=setting.seed) for view in views]
    measures = {n: one for each in found for n, one in each.measures.items()} | dict(further)
    return _evidence(
        measures,
        groups,
        policy,
        setting,
        tables=[shown.group_table(view, groups) for view in views],
        notes=[note for each in found for note in each.notes],
        member=views[0].rows.group,
    )


def _evidence(
    measures: Mapping[str, Measure],
    groups: Grouping,
    policy: Fairness,
    setting: Setting,
    *,
    tables: Sequence[Table],
    notes: Sequence[str],
    member: Ints | None = None,
) -> Evidence:
    """Decide on what was measured; `member` is each row's group, where rows are not samples."""
    requirements = _expanded(policy.requirements, measures)
    checks = decide(
        GATE,
        measures,
        requirements,
        confidence=setting.confidence,
        minimum=policy.minimum_group,
    )
    rows_of = groups.member if member is None else member
    sizes = np.bincount(rows_of, minlength=len(groups.names))
    worst = shown.worst({name: one.value for name, one in measures.items()})
    required = {one.metric: one.required for one in requirements}
    drawn = {name: measures[name] for name in shown.pictured(list(required), worst)}
    who = " and ".join(one.name for one in policy.attributes)
    named = ", ".join(f"{n} {size}" for n, size in zip(groups.names, sizes, strict=True))
    return Evidence(
        gate=GATE,
        checks=checks,
        figures={
            **{name: measures[full].value for name, full in worst.items()},
            "smallest_group": float(sizes.min(initial=len(rows_of))),
        },
        pictures={"fairness": picture.draw(drawn, required, setting.confidence)},
        captions={
            "fairness": "Fairness figures with their intervals; the required range in green."
        },
        tables=[*tables, *shown.worst_table(measures, setting.confidence)],
        notes=[f"protected attribute {who}: {named}", *shown.worst_notes(checks), *notes],
    )


def _favorable(samples: Samples, policy: Fairness) -> dict[str, list[int]]:
    """The favorable classes' indices; by the class's name where each has its turn."""
    classes = list(samples.classes)
    if not policy.wanted:
        return {name: [index] for index, name in enumerate(classes)}
    return {"": [classes.index(name) for name in policy.wanted]}


def _distortion(
    target: Target, samples: Samples, groups: Grouping, seed: int
) -> dict[str, Measure]:
    """How far the model's own repair moves its inputs, where it has one."""
    repaired = target.repaired(samples)
    if repaired is None:
        return {}
    first = np.isin(groups.member, groups.comparisons[0].privileged)
    before, after = (values.reshape(len(samples), -1) for values in (samples.inputs, repaired))
    return distortion.measures(before, after, first, seed=seed)


def _expanded(
    requirements: Sequence[Requirement], measures: Mapping[str, Measure]
) -> list[Requirement]:
    """Each requirement, once for every comparison that has the figure."""
    expanded = []
    for requirement in requirements:
        names = [name for name in measures if plain(name) == requirement.metric]
        expanded += [replace(requirement, metric=name) for name in names or [requirement.metric]]
    return expanded
