"""validate: can what the model repository asks for be done? Every problem before anything else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone import confine
from touchstone.artifacts import models
from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.commands.repository import held_to
from touchstone.contract.checked import check
from touchstone.contract.model_repo import HINT
from touchstone.contract.reads import is_document
from touchstone.delivery import floors
from touchstone.delivery import status as statuses
from touchstone.errors import ManifestError
from trust_gates.visible import one_line


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    result_data: Annotated[
        Path,
        typer.Option(help="File for the raw data's digest; empty: fetch-data loads them."),
    ],
    uri: Annotated[str, typer.Option(help="In place of spec.data.uri; empty takes that.")] = "",
    floor: Annotated[str, typer.Option(help="Digest of the floor, as fetch-source gives it.")] = "",
    packages: Annotated[
        str, typer.Option(help="Digest of the packages that the code may import; empty for none.")
    ] = "",
    package_problems: Annotated[
        str, typer.Option(help="Digest of what the stage packages found wrong; empty for nothing.")
    ] = "",
) -> None:
    """Check touchstone.yaml, its code, packages and data, and the floor, as `touchstone validate`.

    The code is loaded confined, without a network: data at an address are left to fetch-data. What
    follows from the repository alone need not be loaded twice; what lies in a folder may change.
    """
    artifacts, show, data = open_store(store), confine.shown_data(), ""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "data"
        output.mkdir()
        tree = artifacts.get(source, Path(folder) / "source")
        code = artifacts.put(tree, leave_out=is_document)  # what the stages after this one see
        looked = check(
            tree,
            code=artifacts.get(code, Path(folder) / "code"),
            uri=uri,
            show=show,
            packages=models.get_packages(artifacts, packages, Path(folder) / "packages"),
            refused=artifacts.get_json(package_problems) if package_problems else (),
            output=None if show else output,
        )
        found = held_to(looked, floors.load(artifacts, floor))
        if found.written and not found.problems:
            data = artifacts.put(output)
    for note in found.notes:
        typer.echo(f"note: {one_line(note)}")
    if found.problems:
        statuses.note_problems(artifacts, source, [str(one) for one in found.problems])
        raise ManifestError(
            "\n".join(map(str, found.problems)), hint=f"{HINT}, and what load_data can see"
        )
    stage.write_result(result_data, data)


if __name__ == "__main__":
    stage.run(main)
