"""Integrity gate: did anyone tamper with the model's files, its data or its labels?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from trust_gates.integrity import (
    data,
    executables,
    files,
    labels,
    pickles,
    pinning,
    poison,
    specimens,
    tokens,
    tree,
)
from trust_gates.integrity.findings import GATE, Finding
from trust_gates.integrity.policy import DEFAULTS, Integrity, Poisoning
from trust_gates.policy import Setting
from trust_gates.progress import tell
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, decide, exact, named
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Outcome, Required
from trust_gates.written import number

_PARTS = 4
"""Of the examination, as `progress` counts them; the search for backdoors is the last one."""


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

    packages: Mapping[str, str] = field(default_factory=dict)
    """Version of each package that the repository brings, by name."""

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
    there = tree.walk(subject.model)
    found, irregular = there.files, {"model": there.irregular}
    notes = [f"examined {len(found)} files of the model", specimens.of_files()]
    loose, examined = ["there is no model repository to look into"], 0
    packages: set[str] = set()
    if subject.source is not None:
        loose, examined = pinning.unpinned(subject.source)
        packages = pinning.packages(subject.source)
        irregular["repository"] = tree.walk(subject.source, hidden=False).irregular
    of_files = [
        files.free_of("pickle_files", subject.model, found, pickles.reason),
        files.free_of(
            "executable_files",
            subject.model,
            found,
            partial(executables.reason, packages=packages),
        ),
        files.irregular(irregular),
        files.digests(subject.expected, subject.actual),
        *files.weights(subject.model, found),
    ]
    tell("part", 1, _PARTS, f"{len(found)} files are examined")
    schema = data.schema(subject.splits, subject.low, subject.high)
    groups = data.empty_groups(subject.splits, subject.groups)
    own = {requirement.metric: requirement.required for requirement in policy.requirements}
    leaked = data.leaked(subject.splits, setting.seed)
    leaked = replace(leaked, required=own.pop(leaked.name, leaked.required))
    findings = [*of_files, schema, groups, leaked]
    if policy.pinned:
        findings.append(Finding("unpinned_dependencies", loose, examined))
    elif subject.source is not None:
        notes += [f"not pinned: {what}" for what in loose]
    # What broke the schema would break the arithmetic too; the gate has failed already.
    measures = {} if schema.items else _measures(subject, setting.seed, notes)
    required = named({**{n: one for n, one in DEFAULTS.items() if n in measures}, **own})
    tell("part", 2, _PARTS, "data and labels are measured")
    tried, warnings = _specimens(subject, leaked, measures, own, setting)
    measures |= {r.metric: _missing() for r in required if r.metric not in measures}
    tell("part", 3, _PARTS, "faults of ours were tried on them")
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
        notes=[*notes, *tried, *(scanned.notes if scanned else ())],
        asked=[*_asked(subject, found, policy), *(scanned.asked if scanned else ())],
        warnings=[*warnings, *(scanned.warnings if scanned else ())],
    )


def _measures(subject: Subject, seed: int, notes: list[str]) -> dict[str, Measure]:
    splits = subject.splits
    train, test = splits.get("train"), splits.get(data.TEST)
    if train is None or test is None or not len(train) or not len(test):
        return {}
    near = data.near_duplicates(splits, subject.low, subject.high, seed)
    found = {"near_duplicate_rate": near}
    if train.detection:
        notes.append("label leaks and label noise are measured for classifiers only")
        return found
    names = subject.features
    if tokens.are(train):
        kept = tokens.frequent(train)
        names = tuple(f"token {token}" for token in kept)
        train, test = (tokens.present(one, kept) for one in (train, test))
        notes.append("of tokens a feature is whether one is there, at any place")
    if train.targets is not None:
        notes.append("label noise is estimated for classifiers only")
        found["single_feature_r2"] = labels.single_feature_r2(train, test, names, seed)
        return found
    found["single_feature_accuracy"] = labels.single_feature(train, test, names, seed)
    found["label_noise"] = labels.noise(train, train.inputs, seed)
    return found


def _specimens(
    subject: Subject,
    leaked: Finding,
    measures: Mapping[str, Measure],
    own: Mapping[str, Required],
    setting: Setting,
) -> tuple[list[str], list[str]]:
    """What is refused of these data with a fault in them; only what passes as it is needs that."""
    noise = specimens.NOISE
    wanted: dict[str, Required] = {}
    if noise in own and noise in measures:
        found = measures[noise]
        decided = own[noise].decide(found.value, found.interval(setting.confidence))
        if decided is Outcome.PASSED:
            wanted[noise] = own[noise]
    if measures and leaked.check().outcome is Outcome.PASSED:
        wanted[leaked.name] = leaked.required
    return specimens.of_data(
        subject.splits, wanted, confidence=setting.confidence, seed=setting.seed
    )


def _asked(subject: Subject, found: Sequence[Path], policy: Integrity) -> Iterator[tuple[str, str]]:
    """What was examined and held against what, in words."""
    yield "files of the model", str(len(found))
    yield "digests expected", ", ".join(sorted(subject.expected)) or "none"
    sizes = [f"{name} {len(samples)}" for name, samples in subject.splits.items()]
    yield "samples", ", ".join(sizes) or "none"
    yield "range of the inputs", f"{number(subject.low)} to {number(subject.high)}"
    for attribute, values in subject.groups.items():
        yield f"groups of {attribute}", ", ".join(values)
    if policy.poisoning is None:
        yield "backdoors", "not searched"
    else:
        yield "backdoors", f"searched by {', '.join(policy.poisoning.detectors)}"
    if subject.packages:
        yield "packages", ", ".join(f"{name} {one}" for name, one in subject.packages.items())
    yield "dependencies", "must be pinned" if policy.pinned else "need not be pinned"


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
    if target.averaged is not None:
        return poison.unscanned(
            "backdoors are searched in the layers of a network, and an estimator only answers: take"
            " gates.integrity.poisoning out",
            poisoning,
        )
    return poison.scan(target, train, poisoning, setting)
