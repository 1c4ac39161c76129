"""What an earlier attempt left is removed, or it is this machine's fault and the attempt waits."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from touchstone.engine.pod.pod import Pod
from touchstone.runs import faults


def test_folders_that_cannot_be_removed_now_postpone_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: Any = SimpleNamespace(taskrun=lambda name: tmp_path / "workspaces" / name)
    fields: Any = None
    pod = Pod(folders, "t", real=False, steps=["a"], sidecars=[], fields=fields)
    pod.make_folders()
    (pod.folder / "steps" / "left").touch()

    def full(*args: Any, **more: Any) -> None:
        if not more.get("ignore_errors"):
            raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", full)
        with pytest.raises(OSError, match="Too many") as raised:
            pod.make_folders()
    assert faults.passing(raised.value)
    pod.make_folders()
    assert not (pod.folder / "steps" / "left").exists()
