"""How does a process come to see a container's paths? A root of its own, put together from mounts.

Part of the launcher, which runs without the rest of Touchstone: standard library only. The new
root is a tmpfs holding the machine's own top-level folders, over which a step's volumes are
mounted. What has no mount point on this machine gets one without the machine being changed: the
folder around it is rebuilt as a tmpfs in which everything it held is mounted again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

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


class _Root:
    """The root under construction: the machine's own at `old`, the new one at `new`."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new
        self.ours = {"/"}
        """Folders that are tmpfs of ours, where entries can be made."""

        self.mounted: list[str] = []


def enter(mounts: Sequence[Mount], user: int | None, group: int | None) -> None:
    """Give this process the mounts and, where it may, the user. Raises OSError saying what failed.

    The superuser needs no user namespace; anyone else becomes `user` in name, themselves in deed.
    """
    targets = [mount._replace(target=_target(mount.target)) for mount in mounts]
    privileged = os.geteuid() == 0
    if privileged:
        kernel.unshare(kernel.CLONE_NEWNS)
    else:
        kernel.unshare_as(user, group, kernel.CLONE_NEWNS)
    kernel.begin_root()
    root = _Root("/old", "/new")
    _fill(root, "/")
    for mount in sorted(targets, key=lambda item: item.target.count("/")):
        _place(root, mount)
    kernel.end_root()
    if privileged and user is not None:
        kernel.become(user, group)


def _fill(root: _Root, folder: str) -> None:
    """Mount everything the machine's `folder` holds into the new root's empty one."""
    with os.scandir(root.old + folder) as entries:
        for entry in entries:
            if folder == "/" and entry.name in _TEKTON:
                continue
            new = os.path.join(root.new + folder, entry.name)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), new)
                continue
            kernel.touch(new, is_folder=entry.is_dir(follow_symlinks=False))
            kernel.mount(entry.path, new, kernel.MS_BIND | kernel.MS_REC)
            if _is_system(os.path.join(folder, entry.name)):
                kernel.make_read_only(new)


def _place(root: _Root, mount: Mount) -> None:
    source = root.old + mount.source if mount.source else ""
    is_folder = not source or os.path.isdir(source)
    _point(root, mount.target, is_folder)
    here = root.new + mount.target
    if not source:
        kernel.mount("tmpfs", here, 0, "tmpfs", "mode=777")
    else:
        kernel.mount(source, here, kernel.MS_BIND | kernel.MS_REC)
        found = os.stat(here)
        if mount.identity and [found.st_dev, found.st_ino] != list(mount.identity):
            raise OSError(f"{mount.target}: something else took its volume's place")
        if mount.read_only:
            kernel.make_read_only(here)
    root.mounted.append(mount.target)


def _point(root: _Root, target: str, is_folder: bool) -> None:
    """Make the mount point `target`, and the folders above it, where they are missing."""
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
    _fill(root, folder)
    root.ours.add(folder)


def _target(path: str) -> str:
    """Where the mount point of `path` is, this machine's symbolic links followed."""
    ours = path.strip("/").split("/")[0] in _TEKTON
    return os.path.normpath(path) if ours else os.path.realpath(path)


def _is_system(path: str) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in _SYSTEM)
