"""What exactly does a step or sidecar run: which program, arguments, environment and folder?"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.engine.language.substitute import Scope, expand_environment
from touchstone.engine.pod import downward
from touchstone.engine.pod.images import stand_in_for
from touchstone.engine.pod.pod import Container, Pod
from touchstone.engine.pod.process import Call, Mount, shell
from touchstone.errors import ManifestError

_INHERITED = ("PATH", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_INHERITED_PREFIXES = (
    "LC_", "SSL_CERT_", "REQUESTS_CA_", "CUDA_", "NVIDIA_", "OMP_", "TOUCHSTONE_",
)  # fmt: skip
_PROXIES = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}
_SHELLS = {"sh", "ash"}

_PREAMBLE = "#!/bin/sh\nset -e\n"
"""What Tekton puts before a script that has no shebang."""


@dataclass(frozen=True, slots=True)
class Left:
    """What steps that ran have left: results and artifacts, which a script may name alone."""

    results: Scope = field(default_factory=Scope)
    artifacts: Scope = field(default_factory=Scope)

    @property
    def all(self) -> Scope:
        return self.results.then(self.artifacts)

    def __or__(self, more: Left) -> Left:
        return Left(self.results.then(more.results), self.artifacts.then(more.artifacts))


class StartError(Exception):
    """The step cannot start on this machine; it fails with code 1, as where Tekton cannot."""


def name_of(step: Mapping[str, Any], index: int) -> str:
    """The step's name, or Tekton's name for one that has none."""
    return str(step.get("name") or f"unnamed-{index}")


def with_template(step: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The step with what it leaves open filled in from stepTemplate; lists are merged by key."""
    merged = {**template, **step}
    if "script" in step:
        # A script is the command; the template's would be a second one.
        merged.pop("command", None)
    for part, key in (("env", "name"), ("volumeMounts", "mountPath"), ("envFrom", "")):
        own = step.get(part, [])
        taken = {item[key] for item in own} if key else set()
        inherited = [item for item in template.get(part, []) if not key or item[key] not in taken]
        if inherited or own:
            merged[part] = [*inherited, *own]
    if "securityContext" in template or "securityContext" in step:
        merged["securityContext"] = {
            **template.get("securityContext", {}),
            **step.get("securityContext", {}),
        }
    return merged


def prepare(
    container: Container,
    name: str,
    *,
    scope: Scope,
    left: Left | None = None,
    pod: Pod,
    defaults: Mapping[str, Any],
    sidecar: bool = False,
) -> Call:
    """Resolve a container against `scope`, writing its script where it has one.

    `defaults` is the Pod's template, its references replaced. As Kubernetes does, the variables
    that the container declares, and no others, are expanded in `command` and `args`; then what
    steps have `left` is put in, which so names none of them.
    Raises ManifestError for a reference that cannot be resolved and StartError for a script
    nothing here can interpret.
    """
    left = left or Left()
    image = stand_in_for(scope.text(container.get("image", "")))
    declared = _declared(container, scope, pod, defaults)

    def words(part: str) -> list[str]:
        items = scope.apply(container.get(part, []))
        expanded = left.all.apply([expand_environment(item, declared) for item in items])
        return list(expanded)

    args, command = words("args"), words("command")
    for item in container.get("env", []):
        if "valueFrom" not in item:
            declared[item["name"]] = left.all.text(declared[item["name"]])
    environment = {**_surrounding(pod, image.path), **declared}
    if container.get("script"):
        text = left.artifacts.text(scope.text(container["script"]))
        argv = _script(text, name, pod, sidecar=sidecar)
    elif command:
        argv = image.command(command)
        argv = [*shell(), *argv[1:]] if Path(argv[0]).name in _SHELLS else argv
    else:
        argv, args = image.default_command(args, environment["PATH"]), []
        if not argv:
            raise ManifestError(
                f"{name}: got neither command nor script, and the entrypoint of the image"
                f" {container.get('image', '')!r} is not known on this machine",
                hint="write the image's entrypoint as the command",
            )
        argv = [*shell(), *argv[1:]] if argv[0] in _SHELLS else argv
    # Touchstone's own environment belongs to whoever runs it, and so does what it stores: another
    # user could use neither. Where it stands for an image, the step runs as that person.
    user, group = (None, None) if image.path else _user(container, defaults)
    mounts = pod.mounts(container, name, scope, sidecar=sidecar)
    folder = _folder(scope.text(container.get("workingDir", "")), pod)
    return Call(
        argv=(*argv, *args),
        environment=environment,
        folder=folder,
        mounts=_with_folder(mounts, folder, pod),
        user=user if pod.real else None,
        group=group if pod.real else None,
    )


def _script(text: str, name: str, pod: Pod, *, sidecar: bool) -> list[str]:
    """Write a script where its container sees it; the words that run it."""
    text = text if text.startswith("#!") else _PREAMBLE + text
    kind = "sidecar-script" if sidecar else "script"
    file = pod.folder / "scripts" / f"{kind}-{name}"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    file.chmod(0o755)
    return [*_interpreter(text), f"{pod.path('scripts')}/{file.name}"]


def _folder(working_dir: str, pod: Pod) -> str:
    return posixpath.normpath(posixpath.join(pod.path("workspace"), working_dir))


def _with_folder(
    mounts: tuple[Mount, ...] | None, folder: str, pod: Pod
) -> tuple[Mount, ...] | None:
    """Make sure the working folder is there, without changing this machine."""
    place = pod.host_path(folder, mounts)
    if mounts is None or place is not None:
        if place is not None:
            # Where a step left a link, this one goes through it or not with its own rights.
            with suppress(NotPlainError):
                beneath.make_folder(*place, mode=0o777)
        return mounts
    # What this machine has at Tekton's own paths is not shown to a process.
    hidden = Path(folder).parts[1:2] in (("workspace",), ("tekton",))
    return mounts if Path(folder).is_dir() and not hidden else (*mounts, Mount(folder))


def _interpreter(script: str) -> list[str]:
    line = script.split("\n", 1)[0][2:].strip()
    words = line.split(None, 1)
    if words and Path(words[0]).name == "env":
        words = [word for word in shlex.split(words[1]) if word != "-S"] if words[1:] else []
    if not words:
        raise StartError(f"got the shebang {line!r}, expected an interpreter")
    return [*shell(), *words[1:]] if Path(words[0]).name in _SHELLS else words


def _user(container: Container, defaults: Mapping[str, Any]) -> tuple[int | None, int | None]:
    pod, own = defaults.get("securityContext", {}), container.get("securityContext", {})
    found = {**pod, **own}
    return found.get("runAsUser"), found.get("runAsGroup")


def _surrounding(pod: Pod, first_on_path: Sequence[str]) -> dict[str, str]:
    """The variables that a process has of this machine and its run; no reference names them."""
    folders = pod.folders
    environment = inherited()
    path = [*first_on_path, str(folders.root / "bin"), environment.get("PATH", os.defpath)]
    environment["PATH"] = os.pathsep.join(path)
    environment["HOME"] = pod.path("home")
    environment["HOSTNAME"] = downward.hostname(pod.fields)
    environment["TOUCHSTONE_HOME"] = str(folders.home)
    environment["TOUCHSTONE_RUN"] = folders.run
    environment["TOUCHSTONE_TASKRUN"] = pod.taskrun
    return environment


def _declared(
    container: Container, scope: Scope, pod: Pod, defaults: Mapping[str, Any]
) -> dict[str, str]:
    """The variables of a container's `envFrom` and `env`, and of its Pod's template.

    In the value of one, those before it in `env` are expanded.
    """
    found: dict[str, str] = {}
    for source in scope.apply(container.get("envFrom", [])):
        for part, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if part in source:
                values = pod.folders.read_all(kind, source[part])
                prefix = source.get("prefix", "")
                found.update({prefix + key: value for key, value in values.items()})
    own: dict[str, str] = {}
    for items, known in ((container.get("env", []), scope), (defaults.get("env", []), Scope())):
        for item in items:
            value = _variable(item, known, pod)
            if value is not None:
                plain = "valueFrom" not in item
                own[item["name"]] = expand_environment(value, own) if plain else value
    return {**found, **own}


def _variable(item: Mapping[str, Any], scope: Scope, pod: Pod) -> str | None:
    source = scope.apply(item.get("valueFrom", {}))
    if "secretKeyRef" in source:
        return pod.folders.read_key("secrets", source["secretKeyRef"])
    if "configMapKeyRef" in source:
        return pod.folders.read_key("configmaps", source["configMapKeyRef"])
    if "fieldRef" in source:
        return downward.read(pod.fields, source["fieldRef"]["fieldPath"])
    return scope.text(item.get("value", ""))


def inherited() -> dict[str, str]:
    """The variables of this process that every step sees too."""
    return {key: value for key, value in os.environ.items() if _inherits(key)}


def _inherits(name: str) -> bool:
    return name in _INHERITED or name.startswith(_INHERITED_PREFIXES) or name.lower() in _PROXIES
