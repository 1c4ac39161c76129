"""Which objects does a kustomization make? kubectl or kustomize says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from touchstone.errors import ManifestError, PlatformError

_BUILDERS = (("kubectl", "kustomize"), ("kustomize", "build"))
_SECONDS = 120

_EARLY = (
    "Namespace", "PriorityClass", "ServiceAccount", "Role", "ClusterRole", "RoleBinding",
    "ClusterRoleBinding", "LimitRange", "ResourceQuota", "NetworkPolicy", "ConfigMap",
    "PersistentVolumeClaim", "Service", "AppProject",
)  # fmt: skip
"""Kinds that others rest on, in the order in which they are needed."""
_LATE = ("Deployment", "EventListener", "ApplicationSet", "Application")
"""Kinds that start something."""


def objects(folder: Path) -> list[dict[str, Any]]:
    """The objects that the kustomization in `folder` makes, in the order to apply them.

    Raises:
        PlatformError: there is neither kubectl nor kustomize on this machine.
        ManifestError: the kustomization does not build.
    """
    builder = next((one for one in _BUILDERS if shutil.which(one[0])), None)
    if builder is None:
        raise PlatformError(
            "got neither kubectl nor kustomize on this machine, expected one of them to build the"
            " overlay",
            hint="https://kubernetes.io/docs/tasks/tools/#kubectl",
        )
    try:
        done = subprocess.run(
            [*builder, str(folder)], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise PlatformError(f"{' '.join(builder)} {folder} took over {_SECONDS} s") from None
    if done.returncode:
        raise ManifestError(
            f"{' '.join(builder)} ended with {done.returncode}: {done.stderr.strip()}",
            location=str(folder),
            hint="touchstone install --write DIR writes the generated part anew",
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = [one for one in yaml.load_all(done.stdout, Loader=loader) if one]  # noqa: S506
    return sorted(found, key=_rank)


def _rank(document: dict[str, Any]) -> int:
    kind = document["kind"]
    if kind in _EARLY:
        return _EARLY.index(kind)
    return len(_EARLY) + (1 + _LATE.index(kind) if kind in _LATE else 0)
