"""Packages of a model repository, in the process that runs its code and in no other."""

from __future__ import annotations

import sys
from pathlib import Path


def use(folder: Path | str | None) -> None:
    """Let this process import what lies in `folder`, if there is one.

    After everything else, so that nothing there takes the place of a module of ours; and by
    sys.path alone, so that no .pth file is read.
    """
    if folder and str(folder) not in sys.path:
        sys.path.append(str(folder))
