"""What do the steps and sidecars of one TaskRun share, and where do they see it?

A TaskRun's folder on this machine holds Tekton's own folders; a process that may have mounts sees
them at Tekton's paths (/workspace, /tekton/results …), any other at the folder's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.engine.language.substitute import Key, Scope, Value
from touchstone.engine.pod.downward import Fields
from touchstone.engine.pod.process import Mount, shell
from touchstone.engine.pod.streams import Place
from touchstone.engine.pod.workspaces import Folders, Volume, private, sub_folder
from touchstone.errors import ManifestError

_SHARED = ("workspace", "home", "results", "artifacts")
_OWN = ("steps", "run", "scripts", "creds", "volumes")
Container = Mapping[str, Any]
"""A step or a sidecar, its stepTemplate merged in."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A workspace of the Task with the volume it is bound to."""

    name: str
    whole: Volume
    sub_path: str
    mount_path: str
    read_only: bool
    isolated: bool
    """Whether only the steps and sidecars that name it see it."""

    @property
    def volume(self) -> Volume:
        """The part of the volume; asked anew for each step: one before may have left a link."""
        return sub_folder(self.whole, self.sub_path, of=f"workspace {self.name}")


class Pod:
    """The folders, volumes and workspaces of one attempt at a TaskRun.

    `scope` resolves what volumes and mount paths refer to. Raises ManifestError for a workspace
    that is not bound and for a volume that cannot be had.
    """

    def __init__(
        self,
        folders: Folders,
        taskrun: str,
        *,
        real: bool,
        steps: Sequence[str],
        sidecars: Sequence[str],
        fields: Fields,
    ) -> None:
        self.real = real
        """Whether processes see Tekton's own paths."""

        self.fields = fields
        """What fieldRef reads."""

        self.folders, self.taskrun = folders, taskrun
        self.folder = folders.taskrun(taskrun)
        self._steps, self._sidecars = steps, sidecars
        self._volumes: dict[str, Volume] = {}
        self._bound: list[Bound] = []
        self._unbound: list[str] = []
        self._results: list[str] = []

    def make_folders(self) -> None:
        """Make the folders anew: what an earlier attempt left would pass for this one's."""
        if self.folder.exists():
            shutil.rmtree(self.folder)  # what cannot be removed now is an error of this machine
        private(self.folder.parent)
        for part in (*_SHARED, *_OWN):
            (self.folder / part).mkdir(parents=True)
        for index, name in enumerate(self._steps):
            here = self.step_folder(name)
            here.mkdir()
            for own in (here / "results", here / "artifacts"):
                own.mkdir()
                own.chmod(0o777)
            (self.folder / "steps" / str(index)).symlink_to(f"step-{name}")
            (self.folder / "run" / str(index)).mkdir()
        for name in (*self._steps, *self._sidecars):
            (self.folder / "creds" / name).mkdir(exist_ok=True)
        for part in _SHARED:
            (self.folder / part).chmod(0o777)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def index(self, step: str) -> int:
        """The place of a step among the steps, which is its name in /tekton/run."""
        return self._steps.index(step)

    def step_folder(self, name: str) -> Path:
        """Where a step's exit code, results and artifacts are kept."""
        return self.folder / "steps" / f"step-{name}"

    @property
    def debug(self) -> Path:
        """What breakpoints need; there only where the TaskRun has any."""
        return self.folder / "debug"

    def attach(
        self,
        spec: Mapping[str, Any],
        bindings: Mapping[str, Mapping[str, Any]],
        volumes: Sequence[Mapping[str, Any]],
        params: Scope,
        scope: Scope,
    ) -> None:
        """Find the volumes behind the Task's workspaces and the Pod's volumes.

        `params` is what bindings and `volumes`, those of the Pod's template, may refer to, `scope`
        what the Task's own fields may before `passes`.
        """
        isolated = {
            item["name"]
            for container in (*spec["steps"], *spec.get("sidecars", []))
            for item in container.get("workspaces", [])
        }
        declared = {item["name"]: item for item in spec.get("workspaces", [])}
        self._unbound = [name for name in declared if name not in bindings]
        self._results = [item["name"] for item in spec.get("results", [])]
        for name, binding in bindings.items():
            binding = params.apply(binding)
            volume = self.folders.workspace(name, binding, self.taskrun)
            # The same volume is mounted elsewhere without the binding's subPath.
            self._volumes[volume.name] = volume
            item = declared.get(name, {})
            path = scope.text(item.get("mountPath", "")) or f"/workspace/{name}"
            read_only = bool(item.get("readOnly")) or volume.read_only
            part = binding.get("subPath", "")
            self._bound.append(Bound(name, volume, part, path, read_only, name in isolated))
        scope = scope.then(self.passes())
        wanted = [scope.apply(item) for item in spec.get("volumes", [])]
        for item in (*wanted, *volumes):
            self._volumes[item["name"]] = self.folders.volume(item, self.taskrun, self.fields)

    def path(self, part: str) -> str:
        """Where a process sees one of Tekton's folders: `workspace`, `results`, `home` …"""
        if not self.real:
            return str(self.folder / part)
        return "/workspace" if part == "workspace" else f"/tekton/{part}"

    def passes(self, container: Container | None = None, *, step: str = "") -> Scope:
        """What is replaced after params and contexts: paths, of results, artifacts, workspaces.

        `container` is the one whose fields these are, None for those of the Task; `step` its name
        where it is a step, which has results and artifacts of its own.
        """
        steps = self.path("steps")
        results = self.path("results")
        scope = Scope()
        if step:
            own = [item["name"] for item in (container or {}).get("results", [])]
            here = f"{steps}/step-{step}"
            scope = Scope({("step", "results", n, "path"): f"{here}/results/{n}" for n in own})
        scope = scope.then(
            Scope({("results", name, "path"): f"{results}/{name}" for name in self._results})
        )
        if step:
            artifacts: dict[Key, Value] = {
                ("step", "artifacts", "path"): f"{here}/artifacts/provenance.json",
                ("artifacts", "path"): f"{self.path('artifacts')}/provenance.json",
            }
            scope = scope.then(Scope(artifacts))
        codes: dict[Key, Value] = {
            ("steps", f"step-{name}", "exitCode", "path"): f"{steps}/step-{name}/exitCode"
            for name in self._steps
        }
        credentials: dict[Key, Value] = {("credentials", "path"): self.path("creds")}
        for last in (codes, self._workspaces(container or {}), credentials):
            scope = scope.then(Scope(last))
        return scope

    def _workspaces(self, container: Container) -> dict[Key, Value]:
        values: dict[Key, Value] = {}
        for name in self._unbound:
            values["workspaces", name, "bound"] = "false"
            values["workspaces", name, "path"] = ""
        own = {item["name"]: item for item in container.get("workspaces", [])}
        for bound in self._bound:
            path = own.get(bound.name, {}).get("mountPath") or bound.mount_path
            values["workspaces", bound.name, "path"] = path if self.real else str(bound.volume.path)
            values["workspaces", bound.name, "bound"] = "true"
            values["workspaces", bound.name, "claim"] = bound.volume.claim
            values["workspaces", bound.name, "volume"] = bound.volume.name
        return values

    def mounts(
        self, container: Container, name: str, scope: Scope, *, sidecar: bool
    ) -> tuple[Mount, ...] | None:
        """The mounts of a step or sidecar; None where processes cannot have any.

        Raises ManifestError for a mount of a volume nobody declared, and for any where processes
        cannot have mounts.
        """
        wanted = [scope.apply(item) for item in container.get("volumeMounts", [])]
        if not self.real:
            if wanted:
                raise ManifestError(
                    f"{name} wants {wanted[0]['name']} at {wanted[0]['mountPath']}, but processes"
                    " cannot have mounts of their own on this machine",
                    hint="use a workspace and $(workspaces.NAME.path), or allow user namespaces",
                )
            return None
        mounts = {} if sidecar else self._implicit(name)
        home = str(self.folders.home)
        mounts[home] = Mount(home, home)
        if sidecar:
            mounts["/tekton/scripts"] = self._own("scripts", "/tekton/scripts", read_only=True)
        own = {item["name"]: item for item in container.get("workspaces", [])}
        for bound in self._bound:
            if not bound.isolated or bound.name in own:
                path = own.get(bound.name, {}).get("mountPath") or bound.mount_path
                target, part = os.path.normpath(path), bound.volume
                mounts[target] = Mount(target, str(part.path), bound.read_only, part.identity)
        for item in wanted:
            mount = self._wanted(item, name)
            mounts[mount.target] = mount
        bash, sh = Path(shell()[0]).resolve(), Path("/bin/sh").resolve()
        if bash != sh and bash.name == "bash" and sh.is_file():
            mounts[str(sh)] = Mount(str(sh), str(bash), read_only=True)
        return tuple(mounts.values())

    def host_path(self, path: str, mounts: Sequence[Mount] | None) -> Place | None:
        """Where on this machine a process's `path` is; None for a place that ends with it.

        Below the folder of the Pod or volume in which steps may have left anything.
        """
        path = os.path.normpath(path)
        if mounts is None:
            return self._below(Path(path))
        for mount in sorted(mounts, key=lambda item: -len(item.target)):
            if path == mount.target or path.startswith(mount.target.rstrip("/") + "/"):
                rest = path[len(mount.target) :].lstrip("/")
                return self._below(Path(mount.source) / rest) if mount.source else None
        return None

    def _below(self, path: Path) -> Place:
        for known in (self.folder, *(volume.path for volume in self._volumes.values())):
            for base in (known, known.resolve()):
                if path.is_relative_to(base):
                    return Place(known.resolve(), str(path.relative_to(base)))
        return Place(Path("/"), str(path).lstrip("/"))

    def _implicit(self, step: str) -> dict[str, Mount]:
        """The mounts every step has; what a step mounts at the same place goes before."""
        found = [self._own(part, self.path(part)) for part in _SHARED]
        for part in ("steps", "run", "scripts"):
            found.append(self._own(part, self.path(part), read_only=True))
        index = self.index(step)
        found.append(self._own(f"run/{index}", f"/tekton/run/{index}"))
        found.append(self._own(f"steps/step-{step}", f"/tekton/steps/step-{step}"))
        found.append(self._own(f"creds/{step}", "/tekton/creds"))
        if self.debug.exists():
            found.append(self._own("debug", self.path("debug"), read_only=True))
        return {mount.target: mount for mount in found}

    def _own(self, part: str, target: str, *, read_only: bool = False) -> Mount:
        return Mount(target, str(self.folder / part), read_only)

    def _wanted(self, item: Mapping[str, Any], container: str) -> Mount:
        volume = self._volumes.get(item["name"])
        if volume is None:
            raise ManifestError(
                f"{container}: got a mount of the volume {item['name']!r}, expected one of"
                f" {', '.join(sorted(self._volumes)) or 'none'}"
            )
        part = sub_folder(volume, item.get("subPath", ""), of=f"volume {item['name']}")
        read_only = bool(item.get("readOnly")) or volume.read_only
        target = os.path.normpath(item["mountPath"])
        return Mount(target, str(part.path), read_only, part.identity)
