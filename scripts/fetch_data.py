"""Stage fetch-data: let the model repository load its raw data; store it by its digest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import model_repo
from touchstone.errors import TouchstoneError


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    result_data: Annotated[Path, typer.Option(help="File for the raw data's digest.")],
    uri: Annotated[str, typer.Option(help="In place of spec.data.uri; empty takes that.")] = "",
) -> None:
    """Load the data that spec.data.uri names, with spec.data.seed; held to spec.data.digest.

    Data that an event names in its place has no digest to be held to: its own is recorded, and
    every later stage reads it by that.
    """
    from touchstone.training import dataset
    from touchstone.training.load import load_spec

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as folder:
        repository = artifacts.get(source, Path(folder) / "source")
        spec = model_repo.load(repository).spec
        source_uri = uri or spec.data.uri
        typer.echo(f"loading {source_uri} with seed {spec.data.seed}")
        data = load_spec(repository, spec.entrypoint).load_data(source_uri, seed=spec.data.seed)
        dataset.write_raw(Path(folder) / "data", data)
        digest = artifacts.put(Path(folder) / "data")
    if not uri and spec.data.digest not in ("", digest):
        raise TouchstoneError(
            f"got {digest} from {spec.data.uri}, expected spec.data.digest {spec.data.digest}",
            hint="the data changed; review it, then write the new digest into touchstone.yaml",
        )
    for name, values in data.description.protected.items():
        column = data.arrays[f"protected_{name}"]
        shares = ", ".join(f"{value} {(column == i).sum()}" for i, value in enumerate(values))
        typer.echo(f"{name}: {shares}")
    typer.echo(f"{len(data.arrays['inputs'])} samples, {digest}")
    stage.write_result(result_data, digest)


if __name__ == "__main__":
    stage.run(main)
