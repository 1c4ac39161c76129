"""Stage preprocess: check the raw data, and split it into train, validation and test."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import model_repo
from touchstone.delivery import floors


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    data: Annotated[str, typer.Option(help="Digest of the raw data.")],
    result_dataset: Annotated[Path, typer.Option(help="File for the dataset's digest.")],
    number: Annotated[int, typer.Option("--round", min=0, help="Another one splits anew.")] = 0,
    floor: Annotated[str, typer.Option(help="Digest of the floor, as fetch-source gives it.")] = "",
) -> None:
    """Split by protected attribute and label, seeded; no sample is in two splits.

    What a floor asks of the data, such as their protected attributes, is asked here.
    """
    from touchstone.training import dataset

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as folder:
        repository = artifacts.get(source, Path(folder) / "source")
        raw = dataset.read_raw(artifacts.get(data, Path(folder) / "data"))
        gates = model_repo.load(repository).spec.gates
        # Now, before anything is trained: a gate could not find whom its policy means.
        gates.check_names(raw.description.known)
        divided = dataset.split(raw, draw=number)
        facts = {
            "task": raw.description.task,
            "protected": raw.description.protected,
            "inputs": raw.description.inputs,
            "samples": {"test": len(divided.splits["test"]["inputs"])},
        }
        floors.require(floors.load(artifacts, floor), gates, facts)
        dataset.write(Path(folder) / "dataset", divided)
        digest = artifacts.put(Path(folder) / "dataset")
    sizes = ", ".join(f"{name} {len(part['inputs'])}" for name, part in divided.splits.items())
    typer.echo(f"{sizes}, {digest}")
    stage.write_result(result_dataset, digest)


if __name__ == "__main__":
    stage.run(main)
