"""`validate`: is this Tekton YAML what Tekton admits, and what the embedded engine can run?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.errors import ManifestError

if TYPE_CHECKING:
    from touchstone.documents.problems import Problem
    from touchstone.documents.yaml import Document


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(validate)


def validate(
    path: Annotated[
        list[Path] | None, typer.Argument(help="YAML files or folders; the default is this folder.")
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Only what Tekton itself would refuse.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
    floor: Annotated[
        list[Path] | None,
        typer.Option(help="environment.yaml to hold a touchstone.yaml to, instead of Tekton YAML."),
    ] = None,
) -> None:
    """Check Tekton YAML offline, as strictly as Tekton's admission webhook, all problems at once.

    Each line says who refuses: Tekton, or only the embedded engine. Exit code 4 where there is one;
    a reference that nobody refuses and nothing replaces is told as one that stays text.
    With --floor the path is a touchstone.yaml or its folder: does it ask for enough?

    Example: touchstone validate tekton/
    """
    if floor:
        _hold(path or [Path()], floor)
        return
    from touchstone.engine.text.load import load_files

    problems, notes = examine(load_files(path or [Path()]))
    if cluster:
        problems = [problem for problem in problems if problem.refused_by == "tekton"]
    if as_json:
        document = {"problems": [asdict(problem) for problem in problems], "notes": notes}
        typer.echo(json.dumps(document, indent=2))
    else:
        for note in notes:
            typer.echo(f"note: {note}", err=True)
        for problem in problems:
            typer.echo(f"{problem.location}: {_who(problem)}: {problem.message}")
            if problem.hint:
                typer.echo(f"  hint: {problem.hint}")
    problems = [problem for problem in problems if _who(problem) != _TEXT]
    if problems:
        invalid = sum(problem.refused_by == "tekton" for problem in problems)
        raise ManifestError(
            f"got {invalid} that Tekton refuses and {len(problems) - invalid} that only the"
            " embedded engine refuses, expected none"
        )


_TEXT = "stays text"
"""A reference that nothing replaces: Tekton runs it as it stands, and so does the engine."""


def _who(problem: Problem) -> str:
    if problem.refused_by == "tekton":
        return "invalid"
    return _TEXT if problem.runs_here else "not here"


def _hold(models: Sequence[Path], policies: Sequence[Path]) -> None:
    """Raise ManifestError where one of the touchstone.yaml asks for less than a floor."""
    from touchstone.contract import model_repo
    from touchstone.delivery import floors
    from touchstone.delivery.environment import load_policy

    read = {str(one): load_policy(one) for one in policies}
    for model in models:
        pipeline = model_repo.load(model)
        floors.require(read, pipeline.spec.gates)
        typer.echo(f"{pipeline.metadata.name} asks for no less than {', '.join(read)}")


def examine(documents: Sequence[Document]) -> tuple[list[Problem], list[str]]:
    """All problems of Pipelines', Triggers' and a run's objects; a note for each other document."""
    from touchstone.engine.rules import find
    from touchstone.engine.text.fields import KINDS
    from touchstone.events import triggers
    from touchstone.events.trigger_catalog import is_ours

    problems = find([document for document in documents if document.kind in KINDS])
    problems += triggers.find([document for document in documents if is_ours(document)])
    notes = [
        f"{document.location()}: {document.kind or 'a document without kind'} not checked"
        + ("; --floor holds it to an environment.yaml" if document.kind == "ModelPipeline" else "")
        for document in documents
        if document.kind not in KINDS and not is_ours(document)
    ]
    return problems, notes
