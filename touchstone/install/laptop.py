"""Can this machine do what a person asks of it? Runs without a cluster, and installing one."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version

from touchstone import confine
from touchstone.errors import PlatformError
from touchstone.git import git
from touchstone.home import Home, Is
from touchstone.install import checks
from touchstone.install.checks import Check

_GIT = (2, 38)
_FREE = 5
"""GiB for an embedded platform: environments of models, artifacts, images' contexts."""
_BUILDERS = ("docker", "podman", "buildah")


def looked_at() -> list[Check]:
    """Everything that is looked at on this machine."""
    return [
        Check("Touchstone", "ok", f"{version('touchstone')} with Python {sys.version.split()[0]}"),
        _git(),
        _confined(),
        _free(),
        _tool("image builder", _BUILDERS, "images are left as build contexts without one"),
        _tool("kustomize", ("kubectl", "kustomize"), "needed by touchstone install"),
        *_platform(),
    ]


def _git() -> Check:
    needed = ".".join(map(str, _GIT))
    try:
        said = git("--version")
    except PlatformError as error:
        return Check("git", "missing", str(error), error.hint)
    got = re.sub(r"^git version ", "", said)
    if checks.version(got) < _GIT:
        return Check("git", "missing", f"got {got}, expected {needed} or newer", "upgrade git")
    return Check("git", "ok", got)


def _confined() -> Check:
    try:
        confine.require()
    except PlatformError as error:
        return Check("models' code", "missing", str(error), error.hint)
    return Check("models' code", "unknown" if confine.off() else "ok", confine.described())


def _free() -> Check:
    home = Home.default().root
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    said = f"{free:.0f} GiB free for {home}"
    if not os.access(place, os.W_OK):
        return Check("disk", "missing", f"{place} is not yours to write to", "take another folder")
    if free < _FREE:
        return Check("disk", "missing", f"got {said}, expected {_FREE}", "touchstone gc makes room")
    return Check("disk", "ok", said)


def _tool(name: str, programs: tuple[str, ...], use: str) -> Check:
    if found := [one for one in programs if shutil.which(one)]:
        return Check(name, "ok", ", ".join(found))
    return Check(name, "optional", f"got none of {', '.join(programs)}; {use}")


def _platform() -> Iterator[Check]:
    life = Home.default().life()
    if life.state is Is.DOWN:
        return
    state: checks.State = "ok" if life.state is Is.RUNNING else "missing"
    yield Check("embedded platform", state, str(life), life.remedy)
