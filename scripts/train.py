"""Stage train: train with the tuned parameters and store the exported model."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import digest_bytes, open_store
from touchstone.commands import stage
from touchstone.contract import model_repo
from touchstone.contract import remedy as remedies
from touchstone.training.export import read_metrics
from trust_gates.visible import one_line


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    parameters: Annotated[str, typer.Option(help="Digest of the tuned parameters.")],
    result_model: Annotated[Path, typer.Option(help="File for the model's digest.")],
    remedy: Annotated[str, typer.Option(help="Such as fairness=reweighing.")] = "",
    checkpoints: Annotated[
        str, typer.Option(help="Folder of this training alone; empty: one that ends with it.")
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
    from touchstone.training.trainer import TrainConfig

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = artifacts.get(source, folder / "source")
        datasets.learned_from(artifacts.get(dataset, folder / "dataset"))
        spec = remedies.remedied(model_repo.load(repository).spec, remedies.read(remedy))
        config = TrainConfig(
            epochs=spec.train.epochs,
            batch_size=spec.train.batch_size,
            seed=spec.data.seed,
            precision=spec.train.precision,
            parameters=artifacts.get_json(parameters)["parameters"],
            mitigation=spec.mitigation,
            defences=spec.defences,
            evasion=spec.evasion,
        )
        # All that this training reads: the recipe says by itself what a remedy made of it.
        training = digest_bytes("\n".join([source, dataset, config.model_dump_json()]).encode())
        work = folder / "work"
        work.mkdir()
        kept = Path(checkpoints or work / "checkpoints") / training.removeprefix("sha256:")
        job = Job(
            source=repository,
            entrypoint=spec.entrypoint,
            dataset=folder / "dataset",
            output=work / "model",
            checkpoint=Checkpoint(path=kept / "training", training=training),
            config=config,
        )
        if remedy:
            typer.echo(f"remedy: {remedy}")
        typer.echo(f"training with {spec.train.workers} processes, {spec.train.epochs} epochs")
        code, why = local.train(job, work, workers=spec.train.workers)
        if code:
            typer.echo(f"error: {why or f'training ended with exit code {code}'}", err=True)
            raise typer.Exit(code)
        digest = artifacts.put(work / "model")
        figures = read_metrics(work / "model")
        shutil.rmtree(kept, ignore_errors=True)
    typer.echo(one_line(" ".join(f"{key}={value:.4f}" for key, value in sorted(figures.items()))))
    stage.write_result(result_model, digest)


if __name__ == "__main__":
    stage.run(main)
