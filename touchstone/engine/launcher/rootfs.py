"""How does a process come to see a container's paths? A root of its own, put together from mounts.

Part of the launcher, which runs without the rest of Touchstone: standard library only. The new
root is a tmpfs holding the machine's own top-level folders, over which a step's volumes are
mounted. What has no mount point on this machine gets one without the machine being changed: the
folder around it is rebuilt as a tmpfs in which everything it held is mounted again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import kernel  # type: ignore[import-not-found]  # of touchstone/confine, see __main__

_TEKTON = ("tekton", "workspace")
"""Top-level folders that are Tekton's: what this machine has of that name is not shown."""

_SYSTEM = ("/boot", "/etc", "/root", "/usr", "/opt", "/srv")
"""Folders that steps may read and not change, whoever runs them: a container would have its own.

A volume mounted below stays as writable as it is.
"""


# No dataclasses here: importing them doubles what this program has in memory, and so what a fork
# has to copy.
class Mount(NamedTuple):
    """A folder or file of this machine (`source`) as a step sees it (`target`)."""

    target: str
    source: str = ""
    """A path without links: what a link says would be looked up in the new root. Empty for an
    empty folder that is gone when the process is."""

    read_only: bool = False
    identity: tuple[int, int] | None = None
    """Device and inode that the source must have; None where nobody can have exchanged it."""


class Entry(NamedTuple):
    """What a folder of this machine holds under a name."""

    name: str
    link: str | None
    """Where it leads, if it is a link."""

    is_folder: bool


class Plan(NamedTuple):
    """All that can be known of a new root before there is one."""

    machine: list[Entry]
    mounts: list[Mount]
    """Those that lie in others come after these; their targets are without links."""


class _Root:
    """The root under construction: the machine's own at `old`, the new one at `new`."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new
        self.ours = {"/"}
        """Folders that are tmpfs of ours, where entries can be made."""

        self.mounted: list[str] = []


def plan(mounts: Iterable[Sequence[Any]]) -> Plan:
    """Make ready what a process is to see; before the fork, whose every step costs it more."""
    wanted = [Mount(_target(target), *rest) for target, *rest in mounts]
    wanted.sort(key=lambda mount: mount.target.count("/"))
    return Plan([entry for entry in _listed("/") if entry.name not in _TEKTON], wanted)


def enter(planned: Plan, user: int | None, group: int | None) -> None:
    """Give this process the mounts and, where it may, the user. Raises OSError saying what failed.

    The superuser needs no user namespace; anyone else becomes `user` in name, themselves in deed.
    """
    privileged = os.geteuid() == 0
    if privileged:
        kernel.unshare(kernel.CLONE_NEWNS)
    else:
        kernel.unshare_as(user, group, kernel.CLONE_NEWNS)
    kernel.begin_root()
    root = _Root("/old", "/new")
    _fill(root, "/", planned.machine)
    for mount in planned.mounts:
        _place(root, mount)
    kernel.end_root()
    if privileged and user is not None:
        kernel.become(user, group)


def _listed(folder: str) -> list[Entry]:
    with os.scandir(folder) as entries:
        return [
            Entry(
                entry.name,
                os.readlink(entry.path) if entry.is_symlink() else None,
                entry.is_dir(follow_symlinks=False),
            )
            for entry in entries
        ]


def _fill(root: _Root, folder: str, entries: Sequence[Entry]) -> None:
    """Mount everything the machine's `folder` holds into the new root's empty one."""
    for name, link, is_folder in entries:
        path = f"/{name}" if folder == "/" else f"{folder}/{name}"
        new = root.new + path
        if link is not None:
            os.symlink(link, new)
            continue
        kernel.touch(new, is_folder=is_folder)
        kernel.bind(root.old + path, new)
        if path.startswith(_SYSTEM) and _is_system(path):
            kernel.make_read_only(new)


def _place(root: _Root, mount: Mount) -> None:
    target, source, read_only, identity = mount
    old, here = root.old + source, root.new + target
    _point(root, target, not source or os.path.isdir(old))
    if not source:
        kernel.mount("tmpfs", here, 0, "tmpfs", "mode=777")
    else:
        kernel.bind(old, here)
        if identity:
            found = os.stat(here)
            if [found.st_dev, found.st_ino] != list(identity):
                raise OSError(f"{target}: something else took its volume's place")
        if read_only:
            kernel.make_read_only(here)
    root.mounted.append(target)


def _point(root: _Root, target: str, is_folder: bool) -> None:
    """Make the mount point `target`, and the folders above it, where they are missing."""
    if os.path.lexists(root.new + target):
        return
    parts = target.strip("/").split("/")
    parent = "/"
    for index, part in enumerate(parts):
        path = os.path.join(parent, part)
        if not os.path.lexists(root.new + path):
            inside = any(path.startswith(f"{known}/") for known in root.mounted)
            if not inside and parent not in root.ours:
                _rebuild(root, parent)
            kernel.touch(root.new + path, is_folder=is_folder or index < len(parts) - 1)
            if not inside:
                root.ours.add(path)
        parent = path


def _rebuild(root: _Root, folder: str) -> None:
    mode = stat.S_IMODE(os.stat(root.old + folder).st_mode)
    kernel.mount("tmpfs", root.new + folder, 0, "tmpfs", f"mode={mode:o}")
    _fill(root, folder, _listed(root.old + folder))
    root.ours.add(folder)


def _target(path: str) -> str:
    """Where the mount point of `path` is, this machine's symbolic links followed."""
    ours = path.strip("/").split("/")[0] in _TEKTON
    try:
        return os.path.normpath(path) if ours else os.path.realpath(path)
    except ValueError:  # no path at all: the process that was to have it says so
        return path


def _is_system(path: str) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in _SYSTEM)
