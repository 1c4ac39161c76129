"""Stage train: train with the tuned parameters and store the exported model."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts import models
from touchstone.artifacts.store import digest_bytes, open_store
from touchstone.commands import stage
from touchstone.contract.reads import TrainReads, load
from touchstone.errors import TouchstoneError
from touchstone.training.export import read_metrics
from trust_gates.visible import one_line


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    reads: Annotated[str, typer.Option(help="Digest of what this stage reads of the repository.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    parameters: Annotated[str, typer.Option(help="Digest of the tuned parameters.")],
    result_model: Annotated[Path, typer.Option(help="File for the model's digest.")],
    checkpoints: Annotated[
        str, typer.Option(help="Folder of this training alone; empty: one that ends with it.")
    ] = "",
    packages: Annotated[
        str, typer.Option(help="Digest of the packages that the code may import; empty for none.")
    ] = "",
) -> None:
    """Train spec.train.workers processes together; exits with the workers' own code.

    143 says that SIGTERM came and a checkpoint was written: the stage goes on from it when it
    is run again with the same inputs and checkpoints.
    """
    from touchstone.driver import local
    from touchstone.training import dataset as datasets
    from touchstone.training.checkpoint import Checkpoint
    from touchstone.training.launch import Job

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = load(artifacts, reads, TrainReads)
        repository = artifacts.get(asked.code, folder / "source")
        datasets.learned_from(artifacts.get(dataset, folder / "dataset"))
        config = asked.config.model_copy(
            update={"parameters": artifacts.get_json(parameters)["parameters"]}
        )
        # All that this training reads: the recipe says by itself what a remedy made of it.
        reads_all = [asked.code, dataset, config.model_dump_json(), packages]
        training = digest_bytes("\n".join(reads_all).encode())
        work = folder / "work"
        work.mkdir()
        kept = Path(checkpoints or work / "checkpoints") / training.removeprefix("sha256:")
        job = Job(
            source=repository,
            entrypoint=asked.entrypoint,
            dataset=folder / "dataset",
            output=work / "model",
            checkpoint=Checkpoint(path=kept / "training", training=training),
            config=config,
            packages=models.get_packages(artifacts, packages, folder / "packages"),
            packages_digest=packages,
        )
        methods = [one.method for one in (config.mitigation, *config.defences) if one]
        if methods:
            typer.echo(one_line(f"trained with {', '.join(methods)}"))
        typer.echo(f"training with {asked.workers} processes, {config.epochs} epochs")
        code, why = local.train(job, work, workers=asked.workers)
        if code:
            typer.echo(f"error: {why or f'training ended with exit code {code}'}", err=True)
            raise typer.Exit(code)
        # Whoever opens the model shows its code what is named there: code of its own wrote that.
        if (named := models.named(work / "model")) != packages:
            raise TouchstoneError(
                f"got a model.json that names the packages {one_line(named) or 'none'}, expected"
                f" {packages or 'none'}, with which it was trained"
            )
        digest = artifacts.put(work / "model")
        figures = read_metrics(work / "model")
        shutil.rmtree(kept, ignore_errors=True)
    typer.echo(one_line(" ".join(f"{key}={value:.4f}" for key, value in sorted(figures.items()))))
    stage.write_result(result_model, digest)


if __name__ == "__main__":
    stage.run(main)
