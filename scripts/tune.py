"""Stage tune: search the space of touchstone.yaml for good hyperparameters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import model_repo, recipe
from touchstone.contract import remedy as remedies
from trust_gates import progress


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    result_parameters: Annotated[Path, typer.Option(help="File for the parameters' digest.")],
    remedy: Annotated[str, typer.Option(help="Such as robustness=trades.")] = "",
) -> None:
    """Try spec.tune.maxTrials sets of parameters, each as a short training of its own."""
    from touchstone.training import dataset as datasets

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = artifacts.get(source, folder / "source")
        spec = remedies.remedied(model_repo.load(repository).spec, remedies.read(remedy))
        if spec.tune is None:
            typer.echo("touchstone.yaml has no spec.tune: the model's defaults are used")
            document: dict[str, object] = {"parameters": {}, "trials": [], "best": None}
        else:
            datasets.learned_from(artifacts.get(dataset, folder / "dataset"))
            document = _search(spec, spec.tune, folder)
        digest = artifacts.put_json(document)
    stage.write_result(result_parameters, digest)


def _search(spec: model_repo.Spec, tune: recipe.Tune, folder: Path) -> dict[str, object]:
    from touchstone.driver import local, study
    from touchstone.training.launch import Job
    from touchstone.training.trainer import TrainConfig

    def run(number: int, parameters: Mapping[str, study.Value]) -> study.Outcome:
        job = Job(
            source=folder / "source",
            entrypoint=spec.entrypoint,
            dataset=folder / "dataset",
            config=TrainConfig(
                epochs=tune.epochs,
                batch_size=spec.train.batch_size,
                seed=spec.data.seed,
                precision=spec.train.precision,
                parameters=parameters,
                # A learning rate that suits plain training need not suit adversarial training.
                defences=spec.defences,
            ),
        )
        code, output = local.trial(job, folder / f"trial-{number}")
        if code:
            last = (output.strip().splitlines() or ["no output"])[-1]
            return study.Outcome(value=None, reason=f"exit code {code}: {last}")
        value = local.metric(output, tune.objective.metric)
        printed = sorted({key for key, _ in local.METRIC.findall(output)})
        return study.Outcome(
            value=value, reason="" if value is not None else f"it printed only {printed}"
        )

    def report(trial: study.Trial, best: study.Trial | None, total: int) -> None:
        values = " ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in trial.parameters.items()
        )
        metric = tune.objective.metric
        outcome = f"{metric}={trial.value:.4f}" if trial.value is not None else trial.reason
        so_far = f"best {metric}={best.value:.4f}; " if best is not None else ""
        known = f"{so_far}{values} {outcome} ({trial.seconds:.1f} s)"
        typer.echo(progress.line("trial", trial.number + 1, total, known))

    at_once = f", {tune.parallel_trials} at once" if tune.parallel_trials > 1 else ""
    typer.echo(f"tuning for {tune.objective.metric}: at most {tune.max_trials} trials{at_once}")
    best, trials = study.search(tune, run, seed=spec.data.seed, report=report)
    typer.echo(f"best: trial {best.number + 1}, {tune.objective.metric}={best.value:.4f}")
    return {
        "parameters": dict(best.parameters),
        "trials": [trial.to_json() for trial in trials],
        "best": best.value,
    }


if __name__ == "__main__":
    stage.run(main)
