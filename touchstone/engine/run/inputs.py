"""Everything that a TaskRun reads, as one document whose digest is its key in the cache.

Only a Task that says so by an annotation has a key: the annotation promises that its results
follow from what is named here. Whatever could change the results without changing the document
makes the TaskRun one that cannot be cached, with the reason; see docs/reference/runs.md.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.artifacts.store import digest_bytes, digest_stream
from touchstone.beneath import NotPlainError
from touchstone.engine.language.substitute import Key, Scope, references, scope_of
from touchstone.engine.language.values import task_params
from touchstone.engine.pod.credentials import files_of
from touchstone.engine.pod.images import stand_in_for
from touchstone.engine.pod.steps import inherited, name_of, with_template
from touchstone.engine.pod.workspaces import Folders, sub_folder
from touchstone.engine.run.task_run import PlannedTaskRun
from touchstone.engine.run.tools import tools
from touchstone.engine.text.fields_pod import POD_TEMPLATE
from touchstone.engine.text.shapes import INERT
from touchstone.runs.record import Json

CACHE = "touchstone.dev/cache"
"""Annotation of a Task: `results` promises that its results follow from its inputs."""

STORE = "touchstone.dev/cache-store"
"""Annotation: the workspace that is a content-addressed store (touchstone.artifacts.store)."""

SCRATCH = "touchstone.dev/cache-scratch"
"""Annotation: the workspace that makes a repeated attempt shorter and decides no result."""

_FORMAT = 1
_PER_RUN = {("context", "taskRun"), ("context", "pipelineRun"), ("context", "task", "retry-count")}
_LOCATIONS = {"results", "steps", "step", "workspaces"}
_TOLD = {
    *("description", "displayName", "metadata", "params", "workspaces", "results", "steps"),
    "stepTemplate",
}
_TOLD_IN_STEP = {
    *("name", "displayName", "image", "imagePullPolicy", "command", "args", "script", "env"),
    *("workingDir", "onError", "timeout", "securityContext", "computeResources", "resources"),
    *("results", "when", "stdoutConfig", "stderrConfig", "workspaces"),
}
_TOLD_IN_ORDER = {
    *("task", "task_name", "taskrun", "spec", "params", "bindings", "surroundings", "timeout"),
    *("retries", "source", "ignored", "metadata", "account", "pod"),
}
"""What is in the document, or has no say in the results. Whatever else there is, is refused."""

_WITHOUT_EFFECT = {name for name, shape in POD_TEMPLATE.fields.items() if shape is INERT}
"""What a podTemplate may say that means nothing to a local process."""

_IRRELEVANT = {"HOME", "USER", "LOGNAME", "TMPDIR"}


class UncacheableError(Exception):
    """Why a TaskRun has no key."""


def key_of(planned: PlannedTaskRun, annotations: Mapping[str, str], folders: Folders) -> str:
    """The digest of all that the TaskRun reads.

    Raises:
        UncacheableError: it reads something that cannot be told, or leaves more than results.
        ManifestError: a param or workspace is wrong.
    """
    document = _document(planned, annotations, folders)
    return digest_bytes(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def _document(planned: PlannedTaskRun, annotations: Mapping[str, str], folders: Folders) -> Json:
    spec = planned.spec
    if not spec.get("results"):
        raise UncacheableError("it has no results, so all it leaves are effects")
    _refuse_unknown(planned)
    if files_of(planned.account, folders.objects, ""):
        raise UncacheableError(f"its ServiceAccount {planned.account} brings credentials")
    _refuse(planned.pod, _WITHOUT_EFFECT, of="its podTemplate")
    _refuse(spec, _TOLD)
    params = task_params(spec.get("params", []), planned.params, of=f"Task {planned.task_name}")
    scope = planned.surroundings.then(scope_of(("params",), params))
    template = spec.get("stepTemplate", {})
    steps = [
        (name_of(step, index), with_template(step, template))
        for index, step in enumerate(spec["steps"])
    ]
    for _, step in steps:
        _refuse(step, _TOLD_IN_STEP)
        if any("valueFrom" in item for item in step.get("env", [])):
            raise UncacheableError("a step takes env from a Secret, a ConfigMap or a field")
    around = {key: planned.surroundings.find(key) for key in set(references(spec))}
    # What a value brings along is read too, once the value is put in.
    referred = sorted({*around, *references(params), *references([*around.values()])})
    return {
        "format": _FORMAT,
        "task": planned.task if _is_embedded(planned) else planned.task_name,
        "spec": {key: value for key, value in spec.items() if key != "metadata"},
        "params": params,
        "references": _references(referred, planned),
        "workspaces": _workspaces(planned, referred, annotations, folders),
        "steps": {name: _step(step, scope) for name, step in steps},
        "environment": {k: v for k, v in inherited().items() if _matters(k)},
        "tools": tools(),
    }


def _refuse(holder: Mapping[str, Any], told: Collection[str], *, of: str = "it") -> None:
    for name, value in holder.items():
        if value and name not in told:
            raise UncacheableError(f"{of} has {name}, which the cache cannot look into")


def _refuse_unknown(planned: PlannedTaskRun) -> None:
    """A plan that one day says more must not be taken for one that says less."""
    plain = type(planned)(task="", task_name="", taskrun="", spec={}, params={}, bindings={})
    for item in fields(planned):
        if item.name not in _TOLD_IN_ORDER and getattr(planned, item.name) != getattr(
            plain, item.name
        ):
            raise UncacheableError(f"its plan has {item.name}, which the cache does not know")


def _references(referred: Iterable[Key], planned: PlannedTaskRun) -> dict[str, Any]:
    """What stands for references to the pipeline around an embedded spec."""
    found: dict[str, Any] = {}
    per_run = _PER_RUN | ({("context", "task", "name")} if _is_embedded(planned) else set())
    for key in referred:
        if key[:2] in per_run or key[:3] in per_run or key[0] in ("credentials", "artifacts"):
            raise UncacheableError(f"it reads $({'.'.join(key)}), which differs from run to run")
        if key[0] == "workspaces" and key[-1] in ("claim", "volume"):
            raise UncacheableError(f"it reads $({'.'.join(key)}), which names a place")
        if key[0] not in _LOCATIONS:
            found[".".join(key)] = planned.surroundings.find(key)
    return found


def _is_embedded(planned: PlannedTaskRun) -> bool:
    """Whether the Task has no name but its TaskRun's."""
    return planned.task_name == planned.taskrun


def _workspaces(
    planned: PlannedTaskRun,
    referred: Iterable[Key],
    annotations: Mapping[str, str],
    folders: Folders,
) -> Json:
    declared = {item["name"]: item for item in planned.spec.get("workspaces", [])}
    names = set(declared) | {key[1] for key in referred if key[0] == "workspaces" and key[1:]}
    read: Json = {}
    for name in sorted(names):
        binding = planned.bindings.get(name)
        if binding is None:
            read[name] = None
        elif name == annotations.get(STORE):
            read[name] = "content-addressed"
        elif name == annotations.get(SCRATCH):
            read[name] = "scratch"
        elif "emptyDir" in binding:
            read[name] = "empty"
        elif "secret" in binding:
            raise UncacheableError(f"workspace {name} is a Secret")
        elif declared.get(name, {}).get("readOnly"):
            read[name] = _content(folder_of(name, planned, folders))
        else:
            raise UncacheableError(
                f"it may write to workspace {name}, which is neither readOnly nor its {STORE}"
                f" or {SCRATCH}"
            )
    return read


def folder_of(name: str, planned: PlannedTaskRun, folders: Folders) -> Path:
    """The folder that the workspace called `name` is bound to. Raises ManifestError."""
    specs, of = planned.spec.get("params", []), f"Task {planned.task_name}"
    params = scope_of(("params",), task_params(specs, planned.params, of=of))
    binding = params.apply(planned.bindings[name])
    volume = folders.workspace(name, binding, planned.taskrun)
    return sub_folder(volume, binding.get("subPath", ""), of=f"workspace {name}").path


def _content(folder: Path) -> dict[str, Any]:
    """Each file of a folder with its digest and mode, links as what they point to."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = ["link", str(path.readlink())]
            if not path.resolve().is_relative_to(folder.resolve()):
                raise UncacheableError(f"{name} links out of its workspace")
        elif path.is_file():
            try:
                with beneath.opened(folder.resolve(), name) as stream:
                    found[name] = [digest_stream(stream), os.access(path, os.X_OK)]
            except NotPlainError as error:
                raise UncacheableError(str(error)) from None
        else:
            found[name] = ["folder" if path.is_dir() else "special"]
    return found


def _step(step: Mapping[str, Any], scope: Scope) -> Json:
    """What runs: the image's stand-in, and the program that was found for it."""
    image = stand_in_for(scope.text(step.get("image", "")))
    program = ""
    if step.get("command"):
        command = image.command(scope.apply(step["command"]))
        search = os.pathsep.join([*image.path, os.environ.get("PATH", os.defpath)])
        found = shutil.which(Path(command[0]).name, path=search)
        program = _identity(Path(found)) if found else ""
    return {
        "path": list(image.path),
        "programs": {name: list(words) for name, words in image.programs.items()},
        "program": program,
    }


def _identity(path: Path) -> str:
    real = path.resolve()
    stat = real.stat()
    return f"{real} {stat.st_size} {stat.st_mtime_ns}"


def _matters(name: str) -> bool:
    private = name.startswith(("TOUCHSTONE_", "SSL_CERT_", "REQUESTS_CA_"))
    return not (name in _IRRELEVANT or private or name.lower().endswith("_proxy"))
