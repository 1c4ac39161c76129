"""Stage packages: what requirements.txt pins, unpacked for the stages that run the model's code."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.models import PACKAGES
from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract.reads import PackagesReads, load
from touchstone.driver import wheels


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    reads: Annotated[str, typer.Option(help="Digest of what this stage reads of the repository.")],
    result_packages: Annotated[
        Path, typer.Option(help="File for the packages' digest; empty where there are none.")
    ],
    result_problems: Annotated[
        Path, typer.Option(help="File for the digest of what validate is to say of them.")
    ],
) -> None:
    """Get the wheels and store what is in them; the toolkit's own packages are there already.

    What is wrong with them validate says, together with all else that is wrong.
    """
    artifacts = open_store(store)
    pins = load(artifacts, reads, PackagesReads).pins
    packages = problems = ""
    if pins:
        typer.echo(f"getting {', '.join(map(str, pins))}")
        with tempfile.TemporaryDirectory() as folder:
            try:
                tree = wheels.install(pins, Path(folder) / "packages", source=wheels.index())
            except wheels.WheelsError as error:
                problems = artifacts.put_json(error.problems)
                typer.echo(str(error))
            else:
                known = [
                    {"name": one.name, "version": one.version, "hashes": one.hashes} for one in pins
                ]
                document = json.dumps({"packages": known}, indent=2, sort_keys=True)
                (tree / PACKAGES).write_text(document + "\n", encoding="utf-8")
                packages = artifacts.put(tree)
                typer.echo(f"{len(pins)} packages, {packages}")
    else:
        typer.echo("no package besides what Touchstone has")
    stage.write_result(result_packages, packages)
    stage.write_result(result_problems, problems)


if __name__ == "__main__":
    stage.run(main)
