"""Stage tune: search the space of touchstone.yaml for good hyperparameters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts import models
from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import recipe
from touchstone.contract.reads import TuneReads, load
from touchstone.training.trainer import TrainConfig
from trust_gates import progress


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    reads: Annotated[str, typer.Option(help="Digest of what this stage reads of the repository.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    result_parameters: Annotated[Path, typer.Option(help="File for the parameters' digest.")],
    packages: Annotated[
        str, typer.Option(help="Digest of the packages that the code may import; empty for none.")
    ] = "",
) -> None:
    """Try spec.tune.maxTrials sets of parameters, each as a short training of its own."""
    from touchstone.training import dataset as datasets

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = load(artifacts, reads, TuneReads)
        if asked.tune is None or asked.config is None:
            typer.echo("touchstone.yaml has no spec.tune: the model's defaults are used")
            document: dict[str, object] = {"parameters": {}, "trials": [], "best": None}
        else:
            artifacts.get(asked.code, folder / "source")
            datasets.learned_from(artifacts.get(dataset, folder / "dataset"))
            shown = models.get_packages(artifacts, packages, folder / "packages")
            document = _search(asked.entrypoint, asked.tune, asked.config, folder, shown)
        digest = artifacts.put_json(document)
    stage.write_result(result_parameters, digest)


def _search(
    entrypoint: str,
    tune: recipe.Tune,
    config: TrainConfig,
    folder: Path,
    packages: Path | None,
) -> dict[str, object]:
    from touchstone.driver import local, study
    from touchstone.training import raised
    from touchstone.training.launch import Job

    def run(number: int, parameters: Mapping[str, study.Value]) -> study.Outcome:
        job = Job(
            source=folder / "source",
            entrypoint=entrypoint,
            dataset=folder / "dataset",
            packages=packages,
            config=config.model_copy(update={"parameters": parameters}),
        )
        code, output = trials.run(job)
        if code:
            reason = f"exit code {code}: {raised.last_words(output)}"
            return study.Outcome(value=None, reason=reason)
        value = local.metric(output, tune.objective.metric)
        printed = sorted({key for key, _ in local.METRIC.findall(output)})
        return study.Outcome(
            value=value,
            reason="" if value is not None else f"it printed only {printed}",
            figures=local.figures(output),
        )

    def report(trial: study.Trial, best: study.Trial | None, total: int) -> None:
        values = " ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in trial.parameters.items()
        )
        metric = tune.objective.metric
        why = trial.reason.partition("\n")[0]
        outcome = f"{metric}={trial.value:.4f}" if trial.value is not None else why
        so_far = f"best {metric}={best.value:.4f}; " if best is not None else ""
        known = f"{so_far}{values} {outcome} ({trial.seconds:.1f} s)"
        typer.echo(progress.line("trial", trial.number + 1, total, known))

    at_once = f", {tune.parallel_trials} at once" if tune.parallel_trials > 1 else ""
    typer.echo(f"tuning for {tune.objective.metric}: at most {tune.max_trials} trials{at_once}")
    with local.Trials(folder / "trials") as trials:
        best, made = study.search(tune, run, seed=config.seed, report=report)
    typer.echo(f"best: trial {best.number + 1}, {tune.objective.metric}={best.value:.4f}")
    return {
        "parameters": dict(best.parameters),
        "trials": [trial.to_json() for trial in made],
        "best": best.value,
    }


if __name__ == "__main__":
    stage.run(main)
