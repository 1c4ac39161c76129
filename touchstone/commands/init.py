"""`init`: a model repository that works, to start one's own from; also files to try commands on."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from touchstone.errors import UsageError
from touchstone.home import SHIPPED

_EXAMPLES = SHIPPED / "training" / "examples"
_SUFFIXES = {".csv", ".onnx", ".py", ".yaml"}


class Example(StrEnum):
    """What to start from."""

    TABULAR = "tabular"
    OBJECT_DETECTION = "object-detection"
    GATES = "gates"
    """No model repository: predictions, data and a model for `touchstone gate`."""
    TEKTON = "tekton"
    """No model repository: a Pipeline for `touchstone run`."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it; created if absent.")],
    example: Annotated[Example, typer.Option(help="What to start from.")] = Example.TABULAR,
) -> None:
    """Write a model repository: touchstone.yaml and the Python file it names.

    The examples gates and tekton are files to try `touchstone gate` and `touchstone run` on.

    Example: touchstone init my-model
    """
    source = _EXAMPLES / example.value
    files = sorted(path for path in source.iterdir() if path.suffix in _SUFFIXES)
    taken = [file.name for file in files if (folder / file.name).exists()]
    if taken:
        raise UsageError(
            f"{folder} already has {', '.join(taken)}",
            hint="choose another folder: nothing is overwritten",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
        typer.echo(f"wrote {folder / file.name}")
    if (folder / "touchstone.yaml").exists():
        typer.echo("Change model.py and touchstone.yaml, commit, and push to the model repository.")
