"""What exactly does a step run: which program, arguments, environment and folder?"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.engine.images import stand_for
from touchstone.engine.process import shell
from touchstone.engine.substitute import Scope, expand_environment
from touchstone.engine.workspaces import Folders

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_INHERITED_PREFIXES = (
    "LC_", "SSL_CERT_", "REQUESTS_CA_", "CUDA_", "NVIDIA_", "OMP_", "TOUCHSTONE_",
)  # fmt: skip
_PROXIES = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}

_PREAMBLE = "#!/bin/sh\nset -e\n"
"""What Tekton puts before a script that has no shebang."""


@dataclass(frozen=True, slots=True)
class Call:
    """A process ready to start."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


class StartError(Exception):
    """The step's program is not on this machine; the step fails with code 127."""


def name_of(step: Mapping[str, Any], index: int) -> str:
    """The step's name, or Tekton's name for one that has none."""
    return str(step.get("name") or f"unnamed-{index}")


def with_template(step: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The step with what it leaves open filled in from stepTemplate; env is merged by name."""
    merged = {**template, **step}
    names = {item["name"] for item in step.get("env", [])}
    inherited = [item for item in template.get("env", []) if item["name"] not in names]
    merged["env"] = [*inherited, *step.get("env", [])]
    return merged


def prepare(
    step: Mapping[str, Any], name: str, *, scope: Scope, folders: Folders, taskrun: str
) -> Call:
    """Resolve a step against `scope`, writing its script where it has one.

    Raises ManifestError for a reference that cannot be resolved and StartError for a program that
    is not installed.
    """
    home = folders.taskrun(taskrun)
    image = stand_for(scope.text(step.get("image", "")))
    environment = _environment(step, scope, folders, taskrun, image.path)
    folder = home / "workspace" / scope.text(step.get("workingDir", ""))
    folder.mkdir(parents=True, exist_ok=True)
    args = [expand_environment(item, environment) for item in scope.apply(step.get("args", []))]
    search = environment["PATH"]
    if step.get("script"):
        text = scope.text(step["script"])
        text = text if text.startswith("#!") else _PREAMBLE + text
        file = home / "scripts" / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o700)
        return Call((*_interpreter(text, search), str(file), *args), environment, folder)
    command = [
        expand_environment(item, environment) for item in scope.apply(step.get("command", []))
    ]
    command = image.command(command)
    return Call((*_program(command[0], search), *command[1:], *args), environment, folder)


def _interpreter(script: str, search: str) -> list[str]:
    line = script.split("\n", 1)[0][2:].strip()
    words = line.split(None, 1)
    if words and Path(words[0]).name == "env":
        words = [word for word in shlex.split(words[1]) if word != "-S"] if words[1:] else []
    if not words:
        raise StartError(f"got the shebang {line!r}, expected an interpreter")
    return [*_program(words[0], search), *words[1:]]


def _program(name: str, search: str) -> Sequence[str]:
    """An image's path may not exist here: then the program of that name on PATH is meant."""
    base = Path(name).name
    if base == "sh":
        return shell()
    if "/" in name and os.access(name, os.X_OK):
        return (name,)
    found = shutil.which(base, path=search)
    if not found:
        raise StartError(
            f"got the program {name!r}, expected one that is installed on this machine"
        )
    return (found,)


def _environment(
    step: Mapping[str, Any],
    scope: Scope,
    folders: Folders,
    taskrun: str,
    first_on_path: Sequence[str],
) -> dict[str, str]:
    environment = inherited()
    path = [*first_on_path, str(folders.root / "bin"), environment.get("PATH", os.defpath)]
    environment["PATH"] = os.pathsep.join(path)
    environment["TOUCHSTONE_HOME"] = str(folders.home)
    environment["TOUCHSTONE_RUN"] = folders.run
    environment["TOUCHSTONE_TASKRUN"] = taskrun
    for source in scope.apply(step.get("envFrom", [])):
        for field, folder in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if field in source:
                values = folders.read_all(folder, source[field])
                prefix = source.get("prefix", "")
                environment.update({prefix + key: value for key, value in values.items()})
    for item in step.get("env", []):
        value = _variable(item, scope, folders)
        if value is not None:
            environment[item["name"]] = expand_environment(value, environment)
    return environment


def _variable(item: Mapping[str, Any], scope: Scope, folders: Folders) -> str | None:
    source = scope.apply(item.get("valueFrom", {}))
    if "secretKeyRef" in source:
        return folders.read_key("secrets", source["secretKeyRef"])
    if "configMapKeyRef" in source:
        return folders.read_key("configmaps", source["configMapKeyRef"])
    return scope.text(item.get("value", ""))


def inherited() -> dict[str, str]:
    """The variables of this process that every step sees too."""
    return {key: value for key, value in os.environ.items() if _inherits(key)}


def _inherits(name: str) -> bool:
    return name in _INHERITED or name.startswith(_INHERITED_PREFIXES) or name.lower() in _PROXIES
