"""track: tell an experiment tracker of the run, where one is named; it can fail nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.errors import TouchstoneError

if TYPE_CHECKING:
    from touchstone.delivery.tracking import Tracked


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    run: Annotated[str, typer.Option(help="Name of the PipelineRun.")],
    model: Annotated[str, typer.Option(help="The model's name; the experiment is called so.")],
    commit: Annotated[str, typer.Option(help="The commit that was built.")],
    parameters: Annotated[str, typer.Option(help="Digest of what tune found.")],
    verdict_status: Annotated[str, typer.Option(help="Tekton's $(tasks.verdict.status).")],
    server: Annotated[Path | None, typer.Option(help="Folder of the tracker's Secret.")] = None,
) -> None:
    """Log parameters, figures of each trial and of the model, the verdict and its report."""
    from touchstone.delivery import tracker, tracking

    try:
        named = tracker.Server.read(server)
        if named is None:
            typer.echo("nothing is tracked: no tracker is named")
            return
        tracker.require_mlflow()
        tracked = _tracked(store, run, model, commit, parameters, verdict_status)
        typer.echo(f"tracked: {tracking.send(named, tracked)}")
    except TouchstoneError as error:
        for text in filter(None, (error.hint and f"hint: {error.hint}", f"not tracked: {error}")):
            typer.echo(text, err=True)


def _tracked(
    store: str, run: str, model: str, commit: str, parameters: str, verdict_status: str
) -> Tracked:
    from touchstone.delivery import promote, tracking
    from touchstone.delivery.status import verdict_of
    from trust_gates import report

    artifacts = open_store(store)
    verdict = verdict_of(artifacts, run, ended=verdict_status)
    return tracking.of_run(
        run,
        model=model,
        commit=commit,
        tuned=artifacts.get_json(parameters),
        verdict=verdict,
        files=promote.report_files(verdict[1], artifacts, report.render) if verdict else {},
    )


if __name__ == "__main__":
    stage.run(main)
