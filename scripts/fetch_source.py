"""fetch-source: one commit of the model repository, and the floor that it is held to."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import model_repo, reads, requirements
from touchstone.contract import remedy as remedies
from touchstone.delivery import champion, floors
from touchstone.delivery import status as statuses
from touchstone.errors import ManifestError, UsageError
from touchstone.git import git


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    url: Annotated[str, typer.Option(help="Where to clone the model repository from.")],
    revision: Annotated[str, typer.Option(help="The commit to check out, 40 hex digits.")],
    result_source: Annotated[Path, typer.Option()],
    result_commit: Annotated[Path, typer.Option()],
    result_model: Annotated[Path, typer.Option()],
    result_champion: Annotated[Path, typer.Option()],
    result_floor: Annotated[Path, typer.Option()],
    result_reads: Annotated[
        Path | None, typer.Option(help="File for the digest of what each stage reads.")
    ] = None,
    gitops_url: Annotated[
        str, typer.Option(help="Where to read the environments' floor and what is served.")
    ] = "",
    run: Annotated[str, typer.Option(help="Name of the PipelineRun; empty for none.")] = "",
    number: Annotated[int, typer.Option("--round", min=0, help="Which try this is.")] = 0,
    remedy: Annotated[str, typer.Option(help="Such as fairness=reweighing.")] = "",
    previous: Annotated[str, typer.Option(help="Digest of the verdict that offered it.")] = "",
) -> None:
    """Clone at one commit, store the tree and what it will be compared with and held to.

    What is wrong with touchstone.yaml, and with the code beside it, the stage validate says
    together. A repository without one, or with a link in its place or in that of requirements.txt,
    is refused here; so are environments that nobody has laid out.
    A round of a remedy that is not due is refused here, before any of the repository's code runs.
    """
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision):
        raise UsageError(
            f"got revision {revision!r}, expected a full commit id",
            hint="a branch or tag could move between two stages; the event names the commit",
        )
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "source"
        git("init", "--quiet", "--template=", str(checkout))
        git("fetch", "--quiet", "--depth=1", "--", url, revision, cwd=checkout)
        git("checkout", "--quiet", "--detach", "FETCH_HEAD", cwd=checkout)
        commit = git("rev-parse", "HEAD", cwd=checkout)
        shutil.rmtree(checkout / ".git")
        model_repo.read(checkout, shown=model_repo.FILE_NAME)
        requirements.require_plain(checkout)
        artifacts = open_store(store)
        digest = artifacts.put(checkout)
        if run:
            statuses.note_source(artifacts, run, digest)
        model = floor = served = ""
        # Nobody reads the others where touchstone.yaml does not fit.
        read = dict.fromkeys(reads.STAGES, "")
        read["packages"] = reads.put_packages(artifacts, checkout)
        try:
            pipeline = model_repo.load(checkout)
        except ManifestError:
            typer.echo("touchstone.yaml does not fit: the stage validate says all that is wrong")
        else:
            current = remedies.admit(
                pipeline.spec,
                artifacts,
                source=digest,
                number=number,
                remedy=remedy,
                previous=previous,
            )
            remedied = remedies.remedied(pipeline.spec, current.remedies)
            read = reads.put(artifacts, checkout, pipeline.spec, remedied)
            model = pipeline.metadata.name
            floor = floors.resolve(artifacts, pipeline, gitops_url)
            served = champion.resolve(artifacts, pipeline, gitops_url)
    stage.write_result(result_source, digest)
    stage.write_result(result_commit, commit)
    stage.write_result(result_model, model)
    stage.write_result(result_champion, served)
    stage.write_result(result_floor, floor)
    if result_reads is not None:
        stage.write_result(result_reads, json.dumps(read))
    typer.echo(f"{model or 'a model'} at {commit[:12]}: {digest}")


if __name__ == "__main__":
    stage.run(main)
