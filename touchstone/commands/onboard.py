"""`onboard`: a team's model repository, by branches that are reviewed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands.install import Json


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(onboard)


def onboard(
    repo: Annotated[str, typer.Argument(help="URL of the model repository.")],
    platform: Annotated[
        str, typer.Option(help="The platform repository: a URL, or a folder that is one.")
    ] = ".",
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace", "-n", help="Where its runs live; one of its own unless it is there."
        ),
    ] = "",
    model: Annotated[str, typer.Option(help="Its name, unless touchstone.yaml can be read.")] = "",
    cpu: Annotated[str, typer.Option(help="What its runs may ask for together.")] = "8",
    memory: Annotated[str, typer.Option(help="Likewise.")] = "32Gi",
    person: Annotated[
        list[str] | None, typer.Option(help="FORGE:LOGIN of the team; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a team use the pipeline: push a branch of the platform's and of the GitOps repository.

    The first gives it a namespace with quota, accounts, listener and references to Secrets, the
    second says that the model's name is that repository's. Nothing holds until people merge them.

    \b
    Examples:
      touchstone onboard https://github.com/vision/detector.git --platform ../platform
      touchstone onboard https://github.com/vision/detector.git -n touchstone --person github:ada
    """
    from touchstone.install import onboard as teams

    where = str(Path(platform).resolve()) if Path(platform).is_dir() else platform
    values = teams.values_of(where)
    team = teams.team(
        repo, values, namespace=namespace, model=model, cpu=cpu, memory=memory,
        accounts=person or (),
    )  # fmt: skip
    proposals = [teams.propose_folder(where, team), teams.propose_owner(team, values.gitops)]
    if as_json:
        told = {"model": team.model, "namespace": team.namespace}
        typer.echo(json.dumps({**told, "proposals": [one.plain() for one in proposals]}, indent=2))
        return
    typer.echo(f"{team.model} of {team.repository}, in the namespace {team.namespace}")
    for one in proposals:
        if not one.branch:
            typer.echo(f"{one.repository} has all of it")
            continue
        typer.echo(f"pushed {one.branch} to {one.repository}: {', '.join(one.files)}")
        if url := teams.compare_url(one):
            typer.echo(f"  ask for its review: {url}")
    typer.echo("once both are merged: touchstone install --apply makes the namespace's keys, and")
    typer.echo(f"  a webhook of {values.forge} posts to the listener there")
