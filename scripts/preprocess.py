"""Stage preprocess: check the raw data, and split it into train, validation and test."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract.reads import SplitReads, load
from touchstone.delivery import floors
from touchstone.training.spec import Description
from trust_gates import evaluation
from trust_gates.gates import Gates


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    reads: Annotated[str, typer.Option(help="Digest of what this stage reads of the repository.")],
    data: Annotated[str, typer.Option(help="Digest of the raw data.")],
    result_dataset: Annotated[Path, typer.Option(help="File for the dataset's digest.")],
    number: Annotated[int, typer.Option("--round", min=0, help="Another one splits anew.")] = 0,
    floor: Annotated[str, typer.Option(help="Digest of the floor, as fetch-source gives it.")] = "",
    evaluation_data: Annotated[
        str, typer.Option("--evaluation", help="Digest of the organisation's evaluation data.")
    ] = "",
) -> None:
    """Split by protected attribute and label, seeded; no sample is in two splits.

    What a floor asks of the data, such as their protected attributes, is asked here.
    """
    from touchstone.training import dataset

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as folder:
        raw = dataset.read_raw(artifacts.get(data, Path(folder) / "data"))
        gates = load(artifacts, reads, SplitReads).gates
        # Now, before anything is trained: a gate could not find whom its policy means.
        gates.check_names(raw.description.known)
        if evaluation_data:
            place = artifacts.get(evaluation_data, Path(folder) / "evaluation.csv")
            check_evaluation(place, raw.description, gates)
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


def check_evaluation(place: Path, description: Description, gates: Gates) -> None:
    """Raise PolicyError where the organisation's data lack whom a policy compares."""
    samples = evaluation.read(place, description)
    features = tuple(description.inputs.get("features", ()))
    gates.check_names(gates.setting(features=features).known(samples))


if __name__ == "__main__":
    stage.run(main)
