"""`model`: the repositories that people push their models to."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from touchstone.errors import PlatformError, UsageError
from touchstone.home import Home

_Name = Annotated[str, typer.Argument(help="The repository's name.")]
_Json = Annotated[bool, typer.Option("--json", help="For machines.")]


def register(app: typer.Typer) -> None:
    """Add the group `model` to `app`."""
    group = typer.Typer(
        help="The repositories that models are pushed to: add, list, remove.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="model")
    group.command()(add)
    group.command("list")(list_)
    group.command()(remove)


def add(name: _Name, as_json: _Json = False) -> None:
    """Make a repository to push a model to, beside the others.

    Each repository holds one model; its runs are named after it. The platform need not run.

    Example: touchstone model add fraud
    """
    from touchstone.platform import repositories

    home = Home.default()
    home.prepare()
    repository = repositories.create(home, name)
    if as_json:
        typer.echo(json.dumps({"name": name, "repository": str(repository)}))
        return
    typer.echo(f"made {repository}; in the folder of the model:")
    typer.echo(f"  git remote add touchstone {shlex.quote(str(repository))}")
    typer.echo("  git push touchstone main")


def list_(as_json: _Json = False) -> None:
    """List the repositories: the newest run of each, what is served of it, and its open reviews.

    Example: touchstone model list
    """
    home = Home.default()
    rows = list(_rows(home))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"there is no model repository in {home.root}; {home.life().remedy}")
    for row in rows:
        typer.echo(f"{row['name']}  {row['repository']}")
        run = row["run"]
        typer.echo(f"  newest run  {run['name']}: {run['status']}" if run else "  no run yet")
        for one in row["served"]:
            typer.echo(f"  served      {one['model']} {one['version']} in {one['environment']}")
        for branch in row["reviews"]:
            typer.echo(f"  in review   {branch}: touchstone review show {branch}")


def remove(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Lose the commits that it holds.")] = False,
    as_json: _Json = False,
) -> None:
    """Remove a repository; its runs, its releases and what is served of it stay.

    Example: touchstone model remove fraud --yes
    """
    from touchstone.platform import repositories
    from touchstone.runs.lookup import all_runs

    home = Home.default()
    repository = repositories.find(home, name)
    going = [
        item.run.name
        for item in all_runs(home)
        if not item.run.done and _is_of(item.run.manifest, repository)
    ]
    if going:
        raise PlatformError(
            f"the run {going[0]} of {name} has not ended, and reads the repository",
            hint=f"wait for it, or: touchstone cancel {going[0]}",
        )
    held = repositories.commits(repository)
    if held and not yes:
        raise UsageError(
            f"{repository} holds {held} commit{'s' if held > 1 else ''}, which would be lost",
            hint=f"--yes removes it; git clone --mirror {shlex.quote(str(repository))} keeps"
            " a copy",
        )
    repositories.remove(home, name)
    removed = {"name": name, "repository": str(repository), "commits": held}
    typer.echo(json.dumps(removed) if as_json else f"removed {repository}")


def _rows(home: Home) -> Iterator[dict[str, Any]]:
    from touchstone.commands.platform import served
    from touchstone.delivery import review
    from touchstone.runs.lookup import all_runs, names_of, status_word

    runs, serving = all_runs(home), served(home)
    gitops = home.gitops_repository
    reviews = (
        review.open_reviews(str(gitops), home.signing_key / "public.pem") if gitops.exists() else []
    )
    for name, repository in home.model_repositories.items():
        own = [item for item in runs if _is_of(item.run.manifest, repository)]
        names = set().union(*map(names_of, own))
        newest = next(iter(own), None)
        yield {
            "name": name,
            "repository": str(repository),
            "run": newest and {"name": newest.run.name, "status": status_word(newest)},
            "served": [
                {key: one[key] for key in ("model", "version", "environment")}
                for one in serving
                if one["model"] in names
            ],
            "reviews": [
                one.branch
                for one in reviews
                if one.attested.get("repository") == repository.as_uri()
            ],
        }


def _is_of(manifest: Any, repository: Path) -> bool:
    """Whether the run fetches from the repository."""
    params = manifest.get("spec", {}).get("params") or []
    return {"name": "repo-url", "value": repository.as_uri()} in params
