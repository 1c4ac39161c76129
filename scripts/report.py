"""report: tell the forge how the commit fared, whatever the outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.delivery import status as statuses


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    run: Annotated[str, typer.Option(help="Name of the PipelineRun.")],
    revision: Annotated[str, typer.Option(help="The commit that gets the status.")],
    verdict_status: Annotated[str, typer.Option(help="Tekton's $(tasks.verdict.status).")],
    run_status: Annotated[str, typer.Option(help="Tekton's $(tasks.status).")],
    promotion: Annotated[str, typer.Option(help="Tekton's $(tasks.promote.status).")],
    status_url: Annotated[str, typer.Option(help="The model repository's URL.")],
    validate_status: Annotated[
        str, typer.Option(help="Tekton's $(tasks.validate.status).")
    ] = "None",
    target_url: Annotated[str, typer.Option(help="A page about the run.")] = "",
    forge: Annotated[str, typer.Option(help="Whose API; empty: as the host says.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="File with the forge's token.")] = None,
) -> None:
    """Post one commit status; it quotes the verdict where the run came to one."""
    artifacts = open_store(store)
    found = statuses.verdict_of(artifacts, run, ended=verdict_status)
    verdict = found[1] if found else None
    problems = statuses.problems_of(artifacts, run) if validate_status == "Failed" else ()
    promoted = promotion != "None"  # Tekton's word for a task that was skipped
    status = statuses.of_run(
        run_status, verdict, run=run, problems=problems, promoted=promoted, target_url=target_url
    )
    token = stage.read_token(token_file)
    if token or status_url.startswith("file:"):
        place = statuses.post(status_url, revision, status, forge=forge, token=token)
        told = f"see {place}"
    else:  # an installation may have none, and its runs end as they went all the same
        told = (
            f"the commit's status is only here: got no {forge or 'forge'} token; the Secret"
            " touchstone-forge-token holds one under the forge's name"
        )
    typer.echo(f"{status.state}: {status.description}")
    if verdict is not None and status.state == "failure":
        typer.echo(f"touchstone report {run} shows why")
    typer.echo(told)


if __name__ == "__main__":
    stage.run(main)
