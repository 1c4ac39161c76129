"""`init`: a model repository that works, to start one's own from; or files to try commands on."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from touchstone.documents.naming import MODEL
from touchstone.errors import UsageError
from touchstone.home import SHIPPED, Home

_EXAMPLES = SHIPPED / "training" / "examples"
_STARTER = SHIPPED / "training" / "starter"
_FILE = "touchstone.yaml"
_README = "README.md"
"""An example's own becomes a part of the new one."""
_HOOK = Path(".githooks", "pre-push")
"""Beside the code: git clones no hooks, so each clone copies it once.

Copied, and not named by core.hooksPath: what somebody else pushes to that folder shall not run.
"""

EXAMPLES: Mapping[str, str] = {
    name: about
    for name, about in {
        "tabular": "rows of numbers, each of one class; a small network in PyTorch",
        "one-file": "a CSV with words and gaps; no code at all",
        "scikit-learn": "rows of numbers; a forest of scikit-learn",
        "regression": "rows of numbers, each with another number to tell of it",
        "text": "sentences, each of one class; tokens through an embedding",
        "image-classification": "small pictures, each of one class; a CNN trained against attacks",
        "object-detection": "scenes with objects to find, by day and by night",
        "gates": "files to try `touchstone gate` on",
        "tekton": "a Pipeline to try `touchstone run` on",
    }.items()
    if (_EXAMPLES / name).is_dir()
}
"""What to start from, with a line about each."""


def _begun(incomplete: str) -> list[str]:
    return [name for name in EXAMPLES if name.startswith(incomplete)]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(help=_help())(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it; created if absent.")],
    example: Annotated[
        str,
        typer.Option(help="What to start from.", metavar="NAME", autocompletion=_begun),
    ] = "tabular",
    hook: Annotated[
        bool, typer.Option("--hook", help="Write only the pre-push hook, into a repository.")
    ] = False,
) -> None:
    """Write a model repository: touchstone.yaml, what it names, a README and a pre-push hook.

    Nothing is overwritten. The hook runs `touchstone validate` on what is pushed; git asks for it
    to be switched on in each clone, with the command that is printed.

    Example: touchstone init my-model --example image-classification
    """
    if hook:
        if (folder / _HOOK).exists():
            raise UsageError(f"{folder} already has {_HOOK}", hint="nothing is overwritten")
        _write_hook(folder)
        _echo_switch(folder)
        return
    if example not in EXAMPLES:
        raise UsageError(f"got the example {example!r}, expected one of {', '.join(EXAMPLES)}")
    source = _EXAMPLES / example
    files = sorted(one for one in source.iterdir() if one.is_file() and one.name != _README)
    if taken := [file.name for file in files if (folder / file.name).exists()]:
        raise UsageError(
            f"{folder} already has {', '.join(taken)}",
            hint="choose another folder: nothing is overwritten; --hook adds a pre-push hook alone",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        _write(folder / file.name, file.read_bytes())
    if not (source / _FILE).exists():
        return
    _write(folder / _README, _readme(folder, source, files).encode())
    _write(folder / ".gitignore", (_STARTER / "gitignore").read_bytes())
    _write_hook(folder)
    names = " and ".join(file.name for file in files if file.name in ("model.py", _FILE))
    typer.echo(f"\nChange {names} to your own, or push them as they are:\n")
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


def _help() -> str:
    """What `init` says of itself, with a line for every example."""
    doc, _, example = inspect.cleandoc(init.__doc__ or "").partition("\n\nExample: ")
    width = max(map(len, EXAMPLES))
    listed = "\n".join(f"  {name:<{width}}  {about}" for name, about in EXAMPLES.items())
    return f"{doc}\n\n\b\nExamples to start from:\n{listed}\n\nExample: {example}"


_MEANT = {
    _FILE: "what to train, and what to require of it; `touchstone schema` prints every key",
    "requirements.txt": "packages of the model's own, each with its version and hashes",
    ".py": "the model: data, network, loss and predictions, a `touchstone.training.ModelSpec`",
    ".csv": "what it learns from",
}
"""What a file is, by its name or by its ending."""


def _readme(folder: Path, source: Path, files: list[Path]) -> str:
    """What the files are and what to do next, with what the example says of itself."""
    heading, _, about = (source / _README).read_text(encoding="utf-8").partition("\n")
    named: dict[str, list[str]] = {}
    for file in files:
        meant = _MEANT.get(file.name) or _MEANT.get(file.suffix, "read by the model")
        named.setdefault(meant, []).append(f"`{file.name}`")
    return Template((_STARTER / _README).read_text(encoding="utf-8")).substitute(
        name=folder.resolve().name,
        files="\n".join(f"| {', '.join(names)} | {meant} |" for meant, names in named.items()),
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
    repository, add = _target(home, folder)
    return [
        f"touchstone validate{where}",
        *([] if home.model_repository.exists() else ["touchstone up --detach"]),
        *add,
        *([] if (folder / ".git").exists() else [f"{git} init -b main"]),
        _switch(folder),
        f"{git} add -A",
        f'{git} commit -m "A first model"',
        f"{git} push {shlex.quote(str(repository))} HEAD:main",
        "touchstone watch",
    ]


def _target(home: Home, folder: Path) -> tuple[Path, list[str]]:
    """Where to push the model, and what makes that repository: the first may hold another's."""
    from touchstone.platform import repositories

    first = home.model_repository
    if not first.exists() or not repositories.commits(first):
        return first, []
    words = re.sub("[^a-z0-9]+", "-", folder.resolve().name.lower())
    found = re.search(MODEL, words)
    name = found[0] if found else "another"
    own = home.repository(name)
    return own, [] if own.exists() else [f"touchstone model add {name}"]
