"""Which folder of this machine stands for each workspace and volume?

Claims live as folders under the platform's home: volumes/<claimName>, secrets/<name> and
configmaps/<name>; a volumeClaimTemplate is a folder of the run, an emptyDir one of the TaskRun.
A ConfigMap or Secret that came with the run's own files goes before the platform's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.engine.pod.downward import Fields, read
from touchstone.engine.text.objects import Contents, Objects
from touchstone.errors import ManifestError
from touchstone.runs.lock import folder_of

_PRIVATE = 0o700
_OPEN = 0o777
"""As Kubernetes makes an emptyDir: steps may run as any user. What lies above is private."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder (or with a subPath, a file) of this machine that steps may see."""

    path: Path
    claim: str = ""
    name: str = ""
    read_only: bool = False
    identity: tuple[int, int] | None = None
    """Device and inode of a part, in whose place a step may put something else."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The platform's folders that a run uses."""

    home: Path
    run: str
    objects: Objects = field(default_factory=Objects)

    @property
    def root(self) -> Path:
        """Everything that belongs to the run alone."""
        return folder_of(self.home, self.run).resolve()

    def logs(self, taskrun: str) -> Path:
        return self.home / "logs" / self.run / taskrun

    def taskrun(self, taskrun: str) -> Path:
        return self.root / "taskruns" / taskrun

    def workspace(self, name: str, binding: Mapping[str, Any], taskrun: str) -> Volume:
        """The folder for a Task's workspace called `name`, without the binding's subPath.

        A claim made from a template is one for the whole run, under the run's own name for it:
        Tasks that call the workspace differently share it. Raises as `volume` does.
        """
        shared = binding["name"] if "volumeClaimTemplate" in binding else name
        return self.volume({**binding, "name": shared}, taskrun)

    def volume(self, spec: Mapping[str, Any], taskrun: str, fields: Fields | None = None) -> Volume:
        """The folder for a workspace binding or a Pod's volume, created where a run may create it.

        `fields` are those of the Pod. Raises ManifestError for a secret, configMap or field that
        is not there.
        """
        name = spec["name"]
        if "persistentVolumeClaim" in spec:
            source = spec["persistentVolumeClaim"]
            claim = source["claimName"]
            path, identity = _claimed(self.home / "volumes", _safe(claim))
            read_only = source.get("readOnly", False)
            return Volume(path, claim, _hashed(claim), read_only, identity)
        if "volumeClaimTemplate" in spec:
            claim = f"{name}-{self.run}"
            path = _made(self.root / "claims" / _safe(name))
            return Volume(path, claim, _hashed(claim))
        own = _made(self.taskrun(taskrun) / "volumes" / _safe(name), mode=_OPEN)
        volume = Volume(own, "", _hashed(f"{taskrun}/{name}"))
        if "projected" in spec:
            mode = spec["projected"].get("defaultMode")
            for part in spec["projected"].get("sources", []):
                self._project({"defaultMode": mode, **part}, name, own, fields or {})
        elif spec.keys() & {"secret", "configMap", "downwardAPI"}:
            self._project(spec, name, own, fields or {})
        else:
            return volume
        return Volume(own, "", volume.name, read_only=True)

    def _project(self, spec: Mapping[str, Any], name: str, target: Path, fields: Fields) -> None:
        """Write the keys of a secret or configMap, or fields of the Pod, into a folder."""
        if "downwardAPI" in spec:
            source = spec["downwardAPI"]
            for item in source.get("items", []):
                content = read(fields, item["fieldRef"]["fieldPath"]).encode()
                mode = item.get("mode", source.get("defaultMode", spec.get("defaultMode")))
                _place(target, item["path"], content, 0o644 if mode is None else mode, of=name)
            return
        kind = "secrets" if "secret" in spec else "configmaps"
        source = spec["secret"] if kind == "secrets" else spec["configMap"]
        source_name = source.get("secretName") or source["name"]
        contents = self._contents(kind, source_name)
        if contents is None:
            if source.get("optional"):
                return
            raise ManifestError(
                f"volume {name}: got no {kind[:-1]} {source_name!r}, expected one in the run's"
                f" files or the folder {self.home / kind / source_name}",
                hint=f"create {self.home / kind / source_name}/KEY, or bind another volume",
            )
        default = source.get("defaultMode", spec.get("defaultMode"))
        items = source.get("items") or [{"key": key, "path": key} for key in contents]
        for item in items:
            if item["key"] not in contents:
                if source.get("optional"):
                    continue
                raise ManifestError(
                    f"volume {name}: got no key {item['key']!r} in {source_name}, expected one of"
                    f" {', '.join(sorted(contents))}"
                )
            mode = item.get("mode", default)
            content = contents[item["key"]]
            _place(target, item["path"], content, _mode(kind) if mode is None else mode, of=name)

    def read_key(self, kind: str, reference: Mapping[str, Any]) -> str | None:
        """The value behind a secretKeyRef or configMapKeyRef; None where optional and absent."""
        contents = self._contents(kind, reference["name"])
        if contents is not None and reference["key"] in contents:
            return contents[reference["key"]].decode("utf-8", "surrogateescape")
        if reference.get("optional"):
            return None
        path = self.home / kind / reference["name"] / reference["key"]
        raise ManifestError(
            f"got no {kind[:-1]} {reference['name']} with the key {reference['key']}, expected one"
            f" in the run's files or the file {path}"
        )

    def read_all(self, kind: str, reference: Mapping[str, Any]) -> dict[str, str]:
        """All keys of a secret or configMap; empty where optional and absent."""
        contents = self._contents(kind, reference["name"])
        if contents is None and not reference.get("optional"):
            raise ManifestError(
                f"got no {kind[:-1]} {reference['name']}, expected one in the run's files or the"
                f" folder {self.home / kind / reference['name']}"
            )
        found = contents or {}
        return {key: value.decode("utf-8", "surrogateescape") for key, value in found.items()}

    def _contents(self, kind: str, name: str) -> Contents | None:
        known = self.objects.find(kind, name)
        if known is not None:
            return known
        folder = self.home / kind / _safe(name)
        if not folder.is_dir():
            return None
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def inside(folder: Path, sub_path: str, *, of: str) -> Path:
    """`sub_path` below `folder`. Raises ManifestError where it leads out of it."""
    path = (folder / sub_path).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ManifestError(f"{of}: got the path {sub_path!r}, expected one inside the volume")
    return path


def sub_folder(volume: Volume, sub_path: str, *, of: str) -> Volume:
    """The part of a volume that `sub_path` names, made as a folder where nothing is there."""
    if not sub_path:
        return volume
    base, path = volume.path.resolve(), inside(volume.path, sub_path, of=of)
    if path == base:
        return volume
    part = str(path.relative_to(base))
    try:
        if not path.exists():
            beneath.make_folder(base, part, mode=_OPEN)
        return replace(volume, path=path, identity=beneath.identity(base, part))
    except (FileNotFoundError, NotPlainError) as error:
        raise ManifestError(f"{of}: {error}") from None


def private(path: Path) -> Path:
    """The folder, made so that its owner alone can enter it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(_PRIVATE)
    return path


def _mode(kind: str) -> int:
    # A superuser's steps may run as other users, who must be able to read; the run's folder is
    # private, so on this machine nobody else can.
    return 0o644 if kind == "configmaps" or os.geteuid() == 0 else 0o600


def _place(folder: Path, path: str, content: bytes, mode: int, *, of: str) -> None:
    """Write a file of the volume called `of`."""
    file = inside(folder, path, of=f"volume {of}")
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        os.fchmod(descriptor, mode)


def _claimed(volumes: Path, claim: str) -> tuple[Path, tuple[int, int] | None]:
    """The folder of a claim, and what tells it from another in its place.

    Among the volumes a link stands for a folder elsewhere on this machine: that one link is
    followed. Links on the way to the folder are not, as a step that writes there may have left
    them; whoever made the link wrote the way down without any.
    """
    path = volumes / claim
    if not path.is_symlink():
        return _made(path).resolve(), None
    target = path.parent.resolve() / path.readlink()
    try:
        return target, beneath.identity(Path("/"), str(target).lstrip("/"))
    except (FileNotFoundError, NotPlainError) as error:
        raise ManifestError(
            f"volume {claim}: got {target}, which is gone or behind a link ({error}), expected the"
            " folder that was bound",
            hint="bind the folder by the path that it really has",
        ) from None


def _made(path: Path, mode: int | None = None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    if mode is not None:
        path.chmod(mode)
    return path


def _hashed(name: str) -> str:
    """A volume's name as Tekton gives one to a workspace: ws- and a hash."""
    return f"ws-{hashlib.sha256(name.encode()).hexdigest()[:5]}"


def _safe(name: str) -> str:
    if not name or "/" in name or name in {".", ".."}:
        raise ManifestError(f"got {name!r}, expected the plain name of a volume or key")
    return name
