"""Tekton's examples: what does each need, and does it reach the state Tekton's own test awaits?

`test/examples_test.go` creates every file below examples/ but those in no-ci/, and waits until the
first PipelineRun (below pipelineruns/) or TaskRun (below taskruns/) has Succeeded=True.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.yardstick import command

SHELL_IMAGES = {"alpine", "bash", "busybox", "python", "ubuntu"}
"""Images of which an example uses no more than a shell, its tools, or Python."""

_FEATURE_GATED = {"alpha", "beta"}
"""Folders that Tekton's CI runs with results-from: sidecar-logs (test/e2e-tests-kind-*.env)."""

RESULT_LIMIT = 64 * 1024
"""Bytes of all results of a TaskRun for these: the sidecar's limit is 4096 for each result."""

EXPLAINED = {
    "pipelineruns/beta/pipeline-with-when-expressions-using-array-results.yaml": (
        "`$(context.task2.status)` is no variable of Tekton, so the shell runs a program of that"
        " name; only busybox, whose `[[` splits words, then takes `[[ != Succeeded ]]` for an error"
        " and goes on. Here `sh` is bash, which compares the empty text, as the script says"
    ),
}
"""Misses that would be wrong to mend, and why."""

NOT_RUN = {
    "authenticating-git-commands.yaml": (
        "not run: as root it would change /etc/shadow, /etc/ssh and /root, and start an sshd; in a"
        " container they are its own, here they are the machine's"
    ),
}
"""Examples that are not even tried, by the file's name, and why."""

_TEKTON = {"Pipeline", "PipelineRun", "StepAction", "Task", "TaskRun"}
_REFERENCE = re.compile(r"\$\(params\.([\w-]+)\)")

NEEDS = ("shell or Python", "objects of its file", "an image or a cluster")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example's row of the table."""

    file: str
    needs: str
    why: str
    """What of an image or a cluster it needs; empty for the other needs."""

    miss: str
    """Why it did not reach the awaited state; empty where it did."""

    seconds: float


def files(reference: Path) -> list[Path]:
    """The examples that Tekton's own test runs."""
    folder = reference / "examples" / "v1"
    return sorted(path for path in folder.rglob("*.yaml") if "no-ci" not in path.parts)


def measure(file: Path, reference: Path, *, limit: float) -> Outcome:
    """Run one example."""
    kind = "TaskRun" if "taskruns" in file.parts else "PipelineRun"
    needs, why = needs_of(file)
    name = str(file.relative_to(reference / "examples" / "v1"))
    if file.name in NOT_RUN:
        return Outcome(name, needs, why, NOT_RUN[file.name], 0.0)
    gated = _FEATURE_GATED.intersection(file.parts)
    options = ("--result-limit", str(RESULT_LIMIT)) if gated else ()
    answer = command.run(file, limit=limit, options=options)
    return Outcome(name, needs, why, command.awaited(answer, kind), answer.seconds)


def needs_of(file: Path) -> tuple[str, str]:
    """One of NEEDS, and what exactly of an image or a cluster."""
    documents = [d for d in YAML(typ="safe").load_all(file.read_text()) if d]
    found = list(_walk(documents))
    values = {
        item["name"]: item.get("default", item.get("value"))
        for item in found
        if "name" in item and ("default" in item or "value" in item)
    }
    resolvers = {str(item["resolver"]) for item in found if "resolver" in item}
    images = {_resolved(str(item["image"]), values) for item in found if "image" in item}
    foreign = sorted(image for image in images if image.rpartition("/")[2] not in SHELL_IMAGES)
    foreign += [f"the {name} resolver" for name in sorted(resolvers)]
    if foreign:
        return NEEDS[2], ", ".join(foreign)
    if any(document.get("kind") not in _TEKTON for document in documents):
        return NEEDS[1], ""
    return NEEDS[0], ""


def _resolved(image: str, values: dict[str, Any]) -> str:
    """The image's repository, a param in it replaced by the value the file gives."""
    image = _REFERENCE.sub(lambda match: str(values.get(match[1], match[0])), image)
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _walk(item)
