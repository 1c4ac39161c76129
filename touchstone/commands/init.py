"""`init`: a model repository that works, to start one's own from; or files to try commands on."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from touchstone.errors import UsageError
from touchstone.home import SHIPPED, Home

_EXAMPLES = SHIPPED / "training" / "examples"
_SUFFIXES = {".csv", ".onnx", ".py", ".yaml"}
_STARTER = SHIPPED / "training" / "starter"
_HOOK = Path(".githooks", "pre-push")
"""Beside the code: git clones no hooks, so each clone copies it once.

Copied, and not named by core.hooksPath: what somebody else pushes to that folder shall not run.
"""


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
    hook: Annotated[
        bool, typer.Option("--hook", help="Write only the pre-push hook, into a repository.")
    ] = False,
) -> None:
    """Write a model repository: touchstone.yaml, its Python files, a README and a pre-push hook.

    Nothing is overwritten. The hook runs `touchstone validate` on what is pushed; git asks for it
    to be switched on in each clone, with the command that is printed.

    The examples gates and tekton are files to try `touchstone gate` and `touchstone run` on.

    Example: touchstone init my-model
    """
    if hook:
        if (folder / _HOOK).exists():
            raise UsageError(f"{folder} already has {_HOOK}", hint="nothing is overwritten")
        _write_hook(folder)
        _echo_switch(folder)
        return
    source = _EXAMPLES / example.value
    files = sorted(path for path in source.iterdir() if path.suffix in _SUFFIXES)
    if taken := [file.name for file in files if (folder / file.name).exists()]:
        raise UsageError(
            f"{folder} already has {', '.join(taken)}",
            hint="choose another folder: nothing is overwritten; --hook adds a pre-push hook alone",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        _write(folder / file.name, file.read_bytes())
    if not (source / "touchstone.yaml").exists():
        return
    _write(folder / "README.md", _readme(folder, source, files).encode())
    _write(folder / ".gitignore", (_STARTER / "gitignore").read_bytes())
    _write_hook(folder)
    typer.echo("\nChange model.py and touchstone.yaml to your own, or push them as they are:\n")
    for line in _next(folder):
        typer.echo(f"  {line}")


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        typer.echo(f"kept {path}")
        return
    path.write_bytes(content)
    typer.echo(f"wrote {path}")


def _write_hook(folder: Path) -> None:
    path = folder / _HOOK
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, (_STARTER / "pre-push").read_bytes())
    path.chmod(path.stat().st_mode | 0o111)


def _readme(folder: Path, source: Path, files: list[Path]) -> str:
    """What the files are and what to do next, with what the example says of itself."""
    heading, _, about = (source / "README.md").read_text(encoding="utf-8").partition("\n")
    return Template((_STARTER / "README.md").read_text(encoding="utf-8")).substitute(
        name=folder.resolve().name,
        code=", ".join(f"`{file.name}`" for file in files if file.suffix == ".py"),
        example=f"{heading.removeprefix('# ')}: {about.strip()}".replace("\n## ", "\n### "),
    )


def _echo_switch(folder: Path) -> None:
    """How the hook is switched on, and what that switches off."""
    typer.echo(f"switch it on, once in each clone: {_switch(folder)}")
    own = folder / ".git" / "hooks" / _HOOK.name
    if own.exists():
        typer.echo(f"{own} is there already: put the two together by hand")


def _switch(folder: Path) -> str:
    return f"cp {shlex.quote(str(folder / _HOOK))} {shlex.quote(str(folder / '.git' / 'hooks'))}"


def _git(folder: Path) -> str:
    return "git" if folder == Path() else f"git -C {shlex.quote(str(folder))}"


def _next(folder: Path) -> list[str]:
    """The commands from here to a run of the model."""
    git, home = _git(folder), Home.default()
    where = "" if folder == Path() else f" {shlex.quote(str(folder))}"
    up = home.model_repository.exists()
    return [
        f"touchstone validate{where}",
        *([] if up else ["touchstone up --detach"]),
        *([] if (folder / ".git").exists() else [f"{git} init -b main"]),
        _switch(folder),
        f"{git} add -A",
        f'{git} commit -m "A first model"',
        f"{git} push {shlex.quote(str(home.model_repository))} HEAD:main",
        "touchstone watch",
    ]
