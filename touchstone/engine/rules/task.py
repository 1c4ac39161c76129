"""Do the parts of a Task hold together? (task_validation.go, container_validation.go)"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from touchstone.documents.naming import LABEL, check_label, check_unique
from touchstone.documents.problems import Field
from touchstone.engine.pod.images import stand_in_for
from touchstone.engine.rules.params import check_params, check_results, is_result_name
from touchstone.engine.rules.refs import check_reference
from touchstone.engine.rules.variables import Names, check_variables
from touchstone.engine.rules.when import check_when

_NOT_WITH_REF = (
    "image", "command", "args", "script", "workingDir", "env", "volumeMounts", "results",
)  # fmt: skip
_STEP_RESULT = re.compile(r"\$\(steps\.(.*?)\.results\.(.*?)\)")
_RESERVED_SIDECAR = "tekton-log-results"
_RESERVED_VOLUME = "tekton-internal-"


def check_task(task: Field, names: Names) -> None:
    """A Task spec, inside which `names` are known."""
    if not task.get("steps"):
        task.refuse("got no step, expected at least one", "steps")
    check_params(task)
    check_results(task)
    for part in ("workspaces", "volumes", "steps"):
        check_unique(task.each(part))
    check_unique(task.each("sidecars"), by="embedded")
    _check_mount_paths(task)
    for step in task.each("steps"):
        _check_step(step, task.get("stepTemplate", {}))
        _check_used_workspaces(step, task)
    for sidecar in task.each("sidecars"):
        if sidecar.get("name") == _RESERVED_SIDECAR:
            sidecar.refuse(f"got {_RESERVED_SIDECAR!r}, which is reserved", "name")
        check_program(sidecar, sidecar.value)
        _check_used_workspaces(sidecar, task)
    for result in task.each("results"):
        _check_value(result)
    check_variables(task, names)


def check_program(container: Field, merged: Mapping[str, Any]) -> None:
    """An image, and not both a script and a command. `merged` also has what stepTemplate gives."""
    if not merged.get("image"):
        container.refuse("got no image, expected one", runs_here=True)
    if container.get("script") and merged.get("command"):
        container.refuse("got script and command, expected only one of them", "script")


def check_on_error(holder: Field) -> None:
    """The onError of a step or pipeline task: one of two words, or a param that gives one."""
    given = holder.get("onError", "continue")
    if given not in {"continue", "stopAndFail"} and not given.startswith("$(params"):
        holder.refuse(f"got {given!r}, expected continue or stopAndFail", "onError")


def _check_step(step: Field, template: Mapping[str, Any]) -> None:
    if step.get("name"):
        check_label(step)
    if "ref" in step.value:
        check_reference(step.at("ref"))
        check_unique(step.each("params"), by="embedded")
        for other in _NOT_WITH_REF:
            if step.get(other):
                step.refuse(f"got {other} beside ref, expected only ref", other)
    else:
        if step.get("params"):
            step.refuse("got params without ref, expected them only with ref", "params")
        _check_start(step, {**template, **step.value})
    check_on_error(step)
    check_results(step)
    check_when(step)
    for mount in step.each("volumeMounts"):
        path, name = posixpath.normpath(mount.get("mountPath", "")), mount.get("name", "")
        if path.startswith("/tekton/") and not path.startswith("/tekton/home"):
            mount.refuse(f"got {path!r}, expected a path outside /tekton/", "mountPath")
        if name.startswith(_RESERVED_VOLUME):
            mount.refuse(f"got {name!r}, expected no name with {_RESERVED_VOLUME}", "name")


def _check_start(step: Field, merged: Mapping[str, Any]) -> None:
    check_program(step, merged)
    image = merged.get("image", "")
    starts = step.get("script") or merged.get("command")
    if not starts and "$(" not in image and not stand_in_for(image).entrypoint:
        step.refuse(
            "got neither command nor script, expected one of them",
            hint="the entrypoint of an image is not known on this machine; write it out",
            by="embedded",
        )


def _check_mount_paths(task: Field) -> None:
    """No two workspaces, nor a workspace and a volume, are mounted at the same path."""
    mounts = [*task.at("stepTemplate").each("volumeMounts")]
    mounts += [mount for step in task.each("steps") for mount in step.each("volumeMounts")]
    taken = {posixpath.normpath(mount.get("mountPath", "")) for mount in mounts}
    for item in task.each("workspaces"):
        own = item.get("mountPath") or f"/workspace/{item.get('name')}"
        path = posixpath.normpath(own)
        if path in taken:
            item.refuse(f"got {path!r} twice, expected mount paths to differ", "mountPath")
        taken.add(path)


def _check_used_workspaces(container: Field, task: Field) -> None:
    declared = task.names("workspaces")
    for item in container.each("workspaces"):
        if item.get("name") not in declared:
            item.refuse(
                f"got {item.get('name')!r}, expected a workspace the Task declares"
                f" ({', '.join(declared) or 'none is'})",
                "name",
            )


def _check_value(result: Field) -> None:
    """The value of a Task's result names a result of a step."""
    value = result.get("value", "")
    found = _STEP_RESULT.search(value) if isinstance(value, str) else None
    right = found and LABEL.fullmatch(found[1]) and is_result_name(found[2])
    if value and not right:
        result.refuse(f"got {value!r}, expected $(steps.STEP.results.RESULT)", "value")
