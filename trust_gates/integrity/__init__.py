"""Integrity gate: did anyone tamper with the model's files, its data or its labels?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trust_gates.integrity import data, executables, files, labels, pickles, pinning, poison
from trust_gates.integrity.findings import GATE, Finding
from trust_gates.integrity.policy import DEFAULTS, Integrity, Poisoning
from trust_gates.policy import Setting
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, Requirement, decide, exact
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Outcome


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """What is examined."""

    model: Path
    """The model tree's folder."""

    expected: Mapping[str, str] = field(default_factory=dict)
    """Digests as the earlier stages named them, by what they are of."""

    actual: Mapping[str, str] = field(default_factory=dict)
    """The same, computed from the bytes that are here now."""

    splits: Mapping[str, Samples] = field(default_factory=dict)
    """What the model was trained and tuned on, by name, and `test`."""

    low: float = 0.0
    high: float = 1.0
    """The range that inputs are declared to be in."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each protected attribute's declared values."""

    features: tuple[str, ...] = ()
    """Names of a row's features."""

    source: Path | None = None
    """The model repository, for what its rebuild depends on."""

    target: Callable[[], Target] | None = None
    """Loads the model for the search for backdoors; not called where its files are not sound."""


def judge(
    subject: Subject,
    policy: Integrity = Integrity(),
    setting: Setting = Setting(),
) -> Evidence:
    """Count what is wrong, which must be nothing; measure what can only be estimated.

    Nothing is loaded that could run code: weights are read as safetensors only.
    """
    found = sorted(path for path in subject.model.rglob("*") if path.is_file())
    notes = [f"examined {len(found)} files of the model"]
    loose, examined = ["there is no model repository to look into"], 0
    if subject.source is not None:
        loose, examined = pinning.unpinned(subject.source)
    of_files = [
        files.free_of("pickle_files", subject.model, found, pickles.reason),
        files.free_of("executable_files", subject.model, found, executables.reason),
        files.digests(subject.expected, subject.actual),
        *files.weights(subject.model, found),
    ]
    schema = data.schema(subject.splits, subject.low, subject.high)
    groups = data.empty_groups(subject.splits, subject.groups)
    findings = [*of_files, schema, groups, data.leaked(subject.splits)]
    if policy.pinned:
        findings.append(Finding("unpinned_dependencies", loose, examined))
    elif subject.source is not None:
        notes += [f"not pinned: {what}" for what in loose]
    # What broke the schema would break the arithmetic too; the gate has failed already.
    measures = {} if schema.items else _measures(subject, setting.seed, notes)
    own = {requirement.metric for requirement in policy.requirements}
    required = [
        *policy.requirements,
        *(
            Requirement(metric=name, required=bound)
            for name, bound in DEFAULTS.items()
            if name not in own and name in measures
        ),
    ]
    measures |= {r.metric: _missing() for r in required if r.metric not in measures}
    scanned = _scan(subject, policy.poisoning, setting, notes, [*of_files, schema])
    return Evidence(
        gate=GATE,
        checks=[
            *(finding.check() for finding in findings),
            *decide(GATE, measures, required, confidence=setting.confidence),
            *(scanned.checks if scanned else ()),
        ],
        figures={
            **{finding.name: float(len(finding.items)) for finding in findings},
            **{name: measure.value for name, measure in measures.items()},
            **(scanned.figures if scanned else {}),
        },
        tables=scanned.tables if scanned else (),
        notes=[*notes, *(scanned.notes if scanned else ())],
        asked=scanned.asked if scanned else (),
        warnings=scanned.warnings if scanned else (),
    )


def _measures(subject: Subject, seed: int, notes: list[str]) -> dict[str, Measure]:
    splits = subject.splits
    train, test = splits.get("train"), splits.get(data.TEST)
    if train is None or test is None or not len(train) or not len(test):
        return {}
    near = data.near_duplicates(splits, subject.low, subject.high)
    found = {"near_duplicate_rate": near}
    if train.detection:
        notes.append("label leaks and label noise are measured for classifiers only")
        return found
    found["single_feature_accuracy"] = labels.single_feature(train, test, subject.features, seed)
    found["label_noise"] = labels.noise(train, train.inputs, seed)
    return found


def _missing() -> Measure:
    return Measure(
        value=math.nan,
        samples=0,
        interval=exact(math.nan).interval,
        missing="these samples do not have it, or are broken",
    )


def _scan(
    subject: Subject,
    poisoning: Poisoning | None,
    setting: Setting,
    notes: list[str],
    before: Sequence[Finding],
) -> Evidence | None:
    if poisoning is None:
        notes.append("the training data was not searched for backdoors (poisoning is not declared)")
        return None
    train = subject.splits.get("train")
    if train is None or subject.target is None:
        return poison.unscanned(
            "there are no training samples, or no model to ask about them", poisoning
        )
    if any(finding.check().outcome is not Outcome.PASSED for finding in before):
        return poison.unscanned(
            "a model or data that failed the checks of its files is not run", poisoning
        )
    try:
        target = subject.target()
    except ValueError as error:
        return poison.unscanned(f"the model cannot be asked: {error}", poisoning)
    return poison.scan(target, train, poisoning, setting)
