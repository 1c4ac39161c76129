"""Stage preprocess: check the raw data, and split it into train, validation and test."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import model_repo
from touchstone.delivery import floors
from touchstone.errors import ManifestError
from trust_gates.fairness.policy import Fairness
from trust_gates.floor import Data


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
        _check_groups(gates.fairness, raw.description.protected, raw.description.classes)
        divided = dataset.split(raw, draw=number)
        described = Data(
            protected=raw.description.protected,
            inputs=raw.description.inputs,
            test=len(divided.splits["test"]["inputs"]),
        )
        floors.require(floors.load(artifacts, floor), gates, described)
        dataset.write(Path(folder) / "dataset", divided)
        digest = artifacts.put(Path(folder) / "dataset")
    sizes = ", ".join(f"{name} {len(part['inputs'])}" for name, part in divided.splits.items())
    typer.echo(f"{sizes}, {digest}")
    stage.write_result(result_dataset, digest)


def _check_groups(
    fairness: Fairness | None, protected: Mapping[str, tuple[str, ...]], classes: tuple[str, ...]
) -> None:
    """Say now, before anything is trained, that the fairness gate could not find its groups."""
    if fairness is None:
        return
    if isinstance(fairness.favorable, tuple) and set(fairness.favorable) >= set(classes):
        raise ManifestError(
            f"spec.gates.fairness.favorable: got all of {sorted(classes)}, expected at least one"
            " left out: everybody would be favored alike"
        )
    for attribute in fairness.attributes:
        values = protected.get(attribute.name)
        if values is None:
            raise ManifestError(
                f"spec.gates.fairness.protected: got {attribute.name!r}, "
                f"expected one of the data's {sorted(protected)}"
            )
        unknown = set(attribute.privileged) - set(values)
        if unknown:
            raise ManifestError(
                f"spec.gates.fairness.privileged: got {sorted(unknown)}, expected some of {values}"
            )
        if set(attribute.privileged) == set(values):
            raise ManifestError(
                f"spec.gates.fairness.privileged: got all of {sorted(values)}, expected at least"
                " one left out: nobody could be compared with them"
            )


if __name__ == "__main__":
    stage.run(main)
