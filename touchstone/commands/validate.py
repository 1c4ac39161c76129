"""`validate`: would a push of this model repository, or a run of this Tekton YAML, be refused?"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.errors import ManifestError, PlatformError
from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.contract.checked import Checked
    from touchstone.documents.problems import Problem
    from touchstone.documents.yaml import Document


_FILE = "touchstone.yaml"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(validate)


def validate(
    path: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Model repositories (a folder with touchstone.yaml, or that file), or YAML files"
            " and folders of Tekton's; the default is this folder."
        ),
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Only what Tekton itself would refuse.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
    floor: Annotated[
        list[Path] | None,
        typer.Option(
            help="environment.yaml to hold a model repository to, in the place of those of the"
            " platform whose folder is here."
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of data that `load_data` may read, as for `touchstone up`."),
    ] = None,
    unconfined: Annotated[
        bool,
        typer.Option("--unconfined", help="Run the repository's code with all your rights."),
    ] = False,
) -> None:
    """Check a model repository, or Tekton YAML, offline: all problems at once.

    Of a model repository touchstone.yaml is held against its code and data, which are loaded
    confined; nothing is trained. Tekton YAML is checked as strictly as by Tekton's admission
    webhook; each line says who refuses: Tekton, or only the embedded engine. Exit code 4 where
    there is a problem; a reference that nobody refuses and nothing replaces is told as one that
    stays text.

    Example: touchstone validate my-model
    """
    from touchstone import confine

    if unconfined:
        os.environ[confine.SWITCH] = "off"
    paths = path or [Path()]
    models = [one for one in paths if floor or _is_model(one)]
    found: list[dict[str, Any]] = []
    notes: list[str] = []
    lines: list[str] = []
    for one in models:
        checked = _model(one, floor or [], data or [])
        found += [asdict(problem) for problem in checked.problems]
        lines += [str(problem) for problem in checked.problems]
        notes += checked.notes
        if not checked.problems and checked.pipeline is not None and not as_json:
            typer.echo(_fits(checked))
            if floor:
                name = checked.pipeline.metadata.name
                typer.echo(f"{name} asks for no less than {', '.join(map(str, floor))}")
    wrong = f"{len(found)} problem{'s' if len(found) > 1 else ''}" if found else ""
    if others := [one for one in paths if one not in models]:
        tekton, more = _tekton(others, cluster=cluster)
        notes += more
        found += [asdict(problem) for problem in tekton]
        lines += [_line(problem) for problem in tekton]
        if tekton:
            wrong = _counted(tekton, len(found) - len(tekton))
    if as_json:
        typer.echo(json.dumps({"problems": found, "notes": notes}, indent=2))
    else:
        for note in notes:
            typer.echo(f"note: {note}", err=True)
        for line in lines:
            typer.echo(line)
    if wrong:
        raise ManifestError(f"got {wrong}, expected none")


_TEXT = "stays text"
"""A reference that nothing replaces: Tekton runs it as it stands, and so does the engine."""


def _is_model(path: Path) -> bool:
    """Whether it is a model repository, or the file that makes one."""
    file = path / _FILE if path.is_dir() else path
    return file.name == _FILE and (file.is_symlink() or file.exists())


def _model(path: Path, floors: Sequence[Path], data: Sequence[Path]) -> Checked:
    from touchstone.commands.repository import held_to
    from touchstone.contract.checked import check
    from touchstone.delivery.environment import load_policy

    folder = path if path.is_dir() else path.parent
    shown = "" if folder == Path() else str(folder)
    asked = {str(one): load_policy(one) for one in floors}
    return held_to(check(path, shown=shown, show=data), asked, gitops_url=_gitops())


def _gitops() -> str:
    """The GitOps repository of the platform that a push from here goes to; empty without one."""
    try:
        repository = Home.default().gitops_repository
    except PlatformError:  # a folder that may be somebody else's: nothing is read from it
        return ""
    return str(repository) if repository.exists() else ""


def _fits(checked: Checked) -> str:
    """What a repository without a problem is."""
    assert checked.pipeline is not None  # noqa: S101 (it has no problem)
    words = [f"{checked.pipeline.metadata.name}: no problem found"]
    if checked.facts is not None:
        samples = checked.facts["samples"]["test"]
        words.append(f"{checked.facts['task']}, {samples} samples to be judged on")
    return "; ".join(words)


def _tekton(paths: Sequence[Path], *, cluster: bool) -> tuple[list[Problem], list[str]]:
    from touchstone.documents.problems import Problem
    from touchstone.documents.yaml import load_files
    from touchstone.engine.text.load import load_text

    broken: list[Problem] = []

    def read(text: str, source: str) -> list[Document]:
        try:
            return load_text(text, source)
        except ManifestError as error:
            broken.append(Problem.of(error, "tekton"))
            return []

    documents = load_files(paths, read=read)
    if not documents and not broken:
        where = ", ".join(map(str, paths))
        raise ManifestError(
            f"got nothing to check in {where}, expected a {_FILE} or Tekton YAML",
            hint="touchstone validate FOLDER names a model's folder; touchstone init writes one",
        )
    problems, notes = examine(documents)
    return [*broken, *(p for p in problems if p.refused_by == "tekton" or not cluster)], notes


def _who(problem: Problem) -> str:
    if problem.refused_by == "tekton":
        return "invalid"
    return _TEXT if problem.runs_here else "not here"


def _line(problem: Problem) -> str:
    hint = f"\n  hint: {problem.hint}" if problem.hint else ""
    return f"{problem.location}: {_who(problem)}: {problem.message}{hint}"


def _counted(problems: Sequence[Problem], others: int) -> str:
    """How much is wrong, in words; empty where all that was told is what stays text."""
    wrong = [problem for problem in problems if _who(problem) != _TEXT]
    models = f"{others} of a model repository" if others else ""
    if not wrong:
        return models
    invalid = sum(problem.refused_by == "tekton" for problem in wrong)
    tekton = f"{invalid} that Tekton refuses and {len(wrong) - invalid} that only the embedded"
    return f"{tekton} engine refuses" + (f", and {models}" if others else "")


def _named(document: Document) -> str:
    """With its group: Knative has a Trigger too."""
    version = document.body.get("apiVersion", "")
    return f"{document.kind} of {version}" if document.kind else "a document without kind"


def examine(documents: Sequence[Document]) -> tuple[list[Problem], list[str]]:
    """All problems of Pipelines', Triggers' and a run's objects; a note for each other document."""
    from touchstone.engine.rules import find
    from touchstone.engine.text.fields import KINDS
    from touchstone.events import triggers
    from touchstone.events.trigger_catalog import is_ours

    problems = find([document for document in documents if document.kind in KINDS])
    problems += triggers.find([document for document in documents if is_ours(document)])
    notes = [
        f"{document.location()}: {_named(document)} not checked"
        + ("; name its folder to check it" if document.kind == "ModelPipeline" else "")
        for document in documents
        if document.kind not in KINDS and not is_ours(document)
    ]
    return problems, notes
