"""Tekton's conformance cases: which facts does each assert, and do they hold here?

The YAML comes from the reference checkout when it is measured; the asserted facts are ours, written
down from reading `test/conformance/conformance_test.go`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.yardstick import command
from tests.yardstick.golang import Sent, sent

SOURCE = Path("test") / "conformance" / "conformance_test.go"

_REASONS = "status.steps[*].terminated.reason"
_CONDITION = {"type": "Succeeded", "status": "True", "reason": "Succeeded"}
_FAILED = {"type": "Succeeded", "status": "False", "reason": "Failed"}

EXPLAINED = {
    "TestStepStateContainerStateTerminated": (
        "Tekton 1.15 itself says StepFailed (getFailureInfo in pkg/pod/status.go); the case still"
        " asserts the Failed of earlier versions"
    ),
    "TestSidecarScriptFailure": (
        "Tekton 1.15 itself says SidecarFailed (getFailureInfo in pkg/pod/status.go: a sidecar"
        " that broke goes before a step); the case still asserts the Failed of earlier versions"
    ),
}
"""Misses that would be wrong to mend, and why."""

Facts = Mapping[str, Any]
"""Field path → value, or a suffix of it (`…value`), a time (`time`) or a subset of a mapping."""

FACTS: Mapping[str, Sequence[Facts]] = {
    "TestTaskRunConditions": [{"succeeded": _CONDITION}],
    "TestPipelineRunConditions": [{"succeeded": _CONDITION}],
    "TestStepScript": [
        {
            "status.steps[*].name": [
                "node",
                "perl",
                "params-applied",
                "args-allowed",
                "dollar-signs-allowed",
                "bash-variable-evaluations",
            ],
            _REASONS: ["Completed"] * 6,
        }
    ],
    "TestStepEnv": [
        {
            "status.steps[0].terminated.reason": "Completed",
            "status.taskSpec.steps[0].env[0]": {"name": "FOO", "value": "foooooooo"},
        }
    ],
    "TestStepWorkingDir": [
        {
            _REASONS: ["Completed", "Completed"],
            "status.taskSpec.steps[*].workingDir": ["/workspace", "/a/path/too/far"],
        }
    ],
    "TestStepStateImageID": [
        {
            "succeeded": _CONDITION,
            "status.steps[*].imageID": [
                "…busybox@sha256:1303dbf110c57f3edf68d9f5a16c082ec06c4cf7604831669faf2c712260b5a0"
            ],
        }
    ],
    "TestStepStateName": [{"succeeded": _CONDITION, "status.steps[*].name": ["step-foo"]}],
    "TestStepStateContainerStateTerminated": [
        {
            "succeeded": _CONDITION,
            "status.steps[*].terminated": [
                {"exitCode": 0, "reason": "Completed", "startedAt": "time", "finishedAt": "time"}
            ],
        },
        {
            "succeeded": _FAILED,
            "status.steps[*].terminated": [
                {"exitCode": 1, "reason": "Error", "startedAt": "time", "finishedAt": "time"}
            ],
        },
    ],
    "TestSidecarName": [
        {"succeeded": _CONDITION, "spec.taskSpec.sidecars[*].name": ["hello-sidecar"]}
    ],
    "TestSidecarScriptSuccess": [{"succeeded": _CONDITION}],
    "TestSidecarScriptFailure": [
        {"succeeded": _FAILED, "spec.taskSpec.sidecars[*].name": ["exit-sidecar"]}
    ],
    "TestSidecarArgAndCommand": [
        {"succeeded": _CONDITION, "spec.taskSpec.sidecars[*].name": ["slow-sidecar"]}
    ],
    "TestStringTaskParam": [{"succeeded": _CONDITION, "spec.params[*].name": ["string-param"]}],
    "TestArrayTaskParam": [
        {
            "spec.params[*].value": [["foo", "bar"]],
            "status.results[*].value": ["foo-bar"],
        }
    ],
    "TestTaskParamDefaults": [
        {
            "spec.params[name=array-param].value": ["array-foo", "array-bar"],
            "spec.params[name=string-param].value": "string-foo",
            "spec.params[*].name": ["array-param", "string-param"],
            "status.results[name=string-output].value": "string-foo-string-baz-default",
            "status.results[name=array-output].value": "array-foo-array-bar-default",
        }
    ],
    "TestTaskParamDescription": [
        {
            "spec.taskSpec.params[0].description": "foo param",
            "status.taskSpec.params[0].description": "foo param",
        }
    ],
    "TestTaskRunWorkspace": [
        {
            "succeeded": _CONDITION,
            "spec.workspaces[*].name": ["custom-workspace"],
            "status.taskSpec.workspaces[0].name": "custom-workspace",
        }
    ],
    "TestTaskRunTimeout": [{"succeeded": {**_FAILED, "reason": "TaskRunTimeout"}}],
    "TestConditions": [{"succeeded": _CONDITION}],
    "TestPipelineTaskParams": [
        {
            "spec.pipelineSpec.tasks[*].params": [
                [{"name": "op0", "value": "10"}, {"name": "op1", "value": "1"}]
            ]
        }
    ],
    "TestPipelineResult": [{"status.results[*].value": ["prefix:suffix"]}],
    "TestPipelineWorkspace": [
        {
            "succeeded": _CONDITION,
            "spec.workspaces[0].name": "custom-workspace",
            "status.pipelineSpec.workspaces[0].name": "custom-workspace",
        }
    ],
    "TestPipelineTaskTimeout": [{"succeeded": _FAILED}],
    "TestPipelineRunTimeout": [{"succeeded": {**_FAILED, "reason": "PipelineRunTimeout"}}],
    "TestPipelineRunTaskFinally": [
        {
            "status.conditions[*].type": ["Succeeded"],
            "status.results[name=finally-result].value": str(33 * 11 * 3 * 1),
        }
    ],
    "TestPipelineRunConditions#2": [{"succeeded": _CONDITION}],
    "TestPipelineRunChildReferences": [
        {
            "succeeded": _CONDITION,
            "status.childReferences[*].pipelineTaskName": ["pipeline-task-0", "pipeline-task-1"],
            "status.childReferences[*].name": ["…-pipeline-task-0", "…-pipeline-task-1"],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One conformance case's row of the table."""

    test: str
    miss: str
    """The first fact that does not hold; empty where all do."""

    seconds: float


def cases(reference: Path) -> dict[str, list[Sent]]:
    """The documents of each case. Raises ValueError where our facts and the file's cases differ."""
    found: dict[str, list[Sent]] = {}
    for document in sent((reference / SOURCE).read_text(encoding="utf-8")):
        found.setdefault(document.test, []).append(document)
    sizes = {test: len(documents) for test, documents in found.items()}
    ours = {test: len(facts) for test, facts in FACTS.items()}
    if sizes != ours:
        differing = sorted(set(sizes.items()) ^ set(ours.items()))
        raise ValueError(f"got cases other than the facts written down: {differing}")
    return found


def measure(test: str, documents: Sequence[Sent], *, limit: float) -> Verdict:
    """Send a case's documents one after the other and hold the facts against what comes back."""
    seconds = 0.0
    for document, facts in zip(documents, FACTS[test], strict=True):
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            file = Path(folder) / "sent.yaml"
            file.write_text(document.yaml)
            answer = command.run(file, limit=limit)
        seconds += answer.seconds
        miss = command.awaited(answer, document.kind, "False" if document.fails else "True")
        miss = miss or _first_miss(answer.first(document.kind) or {}, facts)
        if miss:
            return Verdict(test, miss, seconds)
    return Verdict(test, "", seconds)


def _first_miss(thing: Mapping[str, Any], facts: Facts) -> str:
    for path, wanted in facts.items():
        got = command.succeeded(thing) if path == "succeeded" else look_up(thing, path)
        if not fits(got, wanted):
            return f"{path}: got {got!r}, expected {wanted!r}"
    return ""


def look_up(thing: Any, path: str) -> Any:
    """The value at a path such as `a.b[0].c`, `a[*].b` or `a[name=x].b`; None where none is."""
    for part in path.split("."):
        name, selector = re.fullmatch(r"(\w+)(?:\[(.+)\])?", part).groups()  # type: ignore[union-attr]
        thing = (
            [item.get(name) for item in thing]
            if isinstance(thing, list)
            else (thing or {}).get(name)
        )
        if selector in (None, "*") or thing is None:
            continue
        key, sign, value = selector.partition("=")
        chosen = [item for item in thing if item.get(key) == value] if sign else thing[int(key) :]
        thing = chosen[0] if chosen else None
    return thing


def fits(got: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one, as Facts describes it."""
    if isinstance(wanted, str) and wanted.startswith("…"):
        return isinstance(got, str) and got.endswith(wanted[1:])
    if wanted == "time":
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(got)))
    if isinstance(wanted, Mapping):
        return isinstance(got, Mapping) and all(fits(got.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(got, list)
            and len(got) == len(wanted)
            and all(fits(*pair) for pair in zip(got, wanted, strict=True))
        )
    return bool(got == wanted)
