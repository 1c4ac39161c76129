"""Which folder stands for each workspace?

Claims live as folders under the platform's home: volumes/<claimName>, secrets/<name> and
configmaps/<name>; a volumeClaimTemplate is a folder of the run, an emptyDir one of the TaskRun.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Mount:
    """A workspace of one TaskRun."""

    path: Path
    claim: str = ""
    volume: str = ""


@dataclass(frozen=True, slots=True)
class Folders:
    """The platform's folders that a run uses."""

    home: Path
    run: str

    @property
    def root(self) -> Path:
        """Everything that belongs to the run alone."""
        return self.home / "workspaces" / self.run

    def logs(self, taskrun: str) -> Path:
        return self.home / "logs" / self.run / taskrun

    def taskrun(self, taskrun: str) -> Path:
        return self.root / "taskruns" / taskrun

    def mount(self, binding: Mapping[str, Any], taskrun: str) -> Mount:
        """The folder for a workspace binding, created where it is one a run may create.

        Raises ManifestError for a secret or configMap that is not there, and for a subPath that
        leaves its volume.
        """
        mount = self._volume(binding, taskrun)
        sub_path = binding.get("subPath", "")
        if not sub_path:
            return mount
        inside = (mount.path / sub_path).resolve()
        if not inside.is_relative_to(mount.path.resolve()):
            raise ManifestError(
                f"workspace {binding.get('name')}: got subPath {sub_path!r}, expected a folder"
                " inside the volume"
            )
        inside.mkdir(parents=True, exist_ok=True)
        return Mount(inside, mount.claim, mount.volume)

    def _volume(self, binding: Mapping[str, Any], taskrun: str) -> Mount:
        name = binding["name"]
        if "persistentVolumeClaim" in binding:
            claim = binding["persistentVolumeClaim"]["claimName"]
            return Mount(_made(self.home / "volumes" / _safe(claim)), claim, claim)
        if "volumeClaimTemplate" in binding:
            claim = f"{name}-{self.run}"
            return Mount(_made(self.root / "claims" / _safe(name)), claim, claim)
        if "secret" in binding:
            source = binding["secret"]
            return self._files("secrets", source["secretName"], source, name, taskrun)
        if "configMap" in binding:
            source = binding["configMap"]
            return self._files("configmaps", source["name"], source, name, taskrun)
        return Mount(_made(self.taskrun(taskrun) / "workspaces" / _safe(name)), "", name)

    def _files(
        self, folder: str, source: str, spec: Mapping[str, Any], name: str, taskrun: str
    ) -> Mount:
        path = self.home / folder / _safe(source)
        if not path.is_dir():
            if spec.get("optional"):
                return Mount(_made(self.taskrun(taskrun) / "workspaces" / _safe(name)), "", name)
            raise ManifestError(
                f"workspace {name}: got no folder {path}, expected the keys of {source} as files",
                hint=f"create {path}/KEY, or bind another volume",
            )
        if not spec.get("items"):
            return Mount(path, "", source)
        chosen = _made(self.taskrun(taskrun) / "workspaces" / _safe(name))
        for item in spec["items"]:
            target = (chosen / item["path"]).resolve()
            if not target.is_relative_to(chosen.resolve()):
                raise ManifestError(
                    f"workspace {name}: got path {item['path']!r} outside the volume"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path / _safe(item["key"]), target)
            target.chmod(0o600)
        return Mount(chosen, "", source)

    def read_key(self, folder: str, reference: Mapping[str, Any]) -> str | None:
        """The value behind a secretKeyRef or configMapKeyRef; None where optional and absent."""
        path = self.home / folder / _safe(reference["name"]) / _safe(reference["key"])
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if reference.get("optional"):
                return None
            raise ManifestError(f"got no file {path}, expected the value of that key") from None

    def read_all(self, folder: str, reference: Mapping[str, Any]) -> dict[str, str]:
        """All keys of a secret or configMap; empty where optional and absent."""
        path = self.home / folder / _safe(reference["name"])
        if not path.is_dir():
            if reference.get("optional"):
                return {}
            raise ManifestError(f"got no folder {path}, expected its keys as files")
        return {
            file.name: file.read_text(encoding="utf-8")
            for file in sorted(path.iterdir())
            if file.is_file()
        }


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _safe(name: str) -> str:
    if not name or "/" in name or name in {".", ".."}:
        raise ManifestError(f"got {name!r}, expected the plain name of a volume or key")
    return name
