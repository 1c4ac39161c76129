"""What the gate stages share: read the inputs of a gate, and leave its evidence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from touchstone.artifacts.store import Store, open_store
from touchstone.commands import stage
from touchstone.contract import model_repo, remedy
from touchstone.contract.gates import Strict
from touchstone.contract.model_repo import ModelPipeline
from touchstone.training import dataset as datasets
from touchstone.training.dataset import Dataset
from touchstone.training.target import open_tree
from trust_gates import policies
from trust_gates.inputs.dataset import samples_of
from trust_gates.reach import Reach
from trust_gates.samples import Samples
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Outcome

EVIDENCE_FILE = "evidence.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a gate judges, in folders that last as long as the stage."""

    artifacts: Store
    pipeline: ModelPipeline
    dataset: Dataset
    source_folder: Path
    model_folder: Path

    def samples(self, split: str = "test") -> Samples:
        """A split; by default that of which nothing was trained or tuned on."""
        description = self.dataset.description
        return samples_of(
            self.dataset.splits[split],
            task=description.task,
            classes=description.classes,
            protected=description.protected,
        )

    def target(self, model_folder: Path | None = None) -> Target:
        """The trained model, or another one for the same data, as the gates ask it.

        Raises:
            ValueError: the dataset limits a feature that there is not.
        """
        described = self.dataset.description.inputs
        return open_tree(
            model_folder or self.model_folder,
            low=float(described["low"]),
            high=float(described["high"]),
            reach=Reach.described(described),
        )

    def policy(self, gate: str, **known: Any) -> Any:
        """The gate's Policy by touchstone.yaml; `known` are fields it writes in another way."""
        spec = self.pipeline.spec
        return policies.of(
            gate,
            plain(spec.gates),
            strict=False,
            confidence=spec.gates.confidence_each,
            seed=spec.data.seed,
            features=tuple(self.dataset.description.inputs.get("features", ())),
            **known,
        )


def plain(part: Strict) -> dict[str, Any]:
    """A part of touchstone.yaml as plain data, in its own words."""
    return part.model_dump(mode="json", by_alias=True)


def declared(gate: str, inputs: Inputs) -> Evidence:
    """What the gate finds; no check, and why, where touchstone.yaml has no part for it."""
    if getattr(inputs.pipeline.spec.gates, gate) is None:
        return Evidence(
            gate=gate, checks=[], notes=[f"spec.gates.{gate} is not declared: nothing was judged"]
        )
    judge = import_module(f"trust_gates.{gate}").judge
    evidence: Evidence = judge(inputs.target(), inputs.samples(), inputs.policy(gate))
    return evidence


def command(judge: Callable[[Inputs], Evidence]) -> Callable[..., None]:
    """The stage of a gate that asks for nothing but the model, its source and its data.

    Its help is the judge's docstring.
    """

    def main(
        store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
        source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
        dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
        model: Annotated[str, typer.Option(help="Digest of the trained model.")],
        result_evidence: Annotated[Path, typer.Option(help="File for the evidence's digest.")],
        result_outcome: Annotated[Path, typer.Option(help="File for the outcome.")],
    ) -> None:
        run(
            judge,
            store=store,
            source=source,
            dataset=dataset,
            model=model,
            result_evidence=result_evidence,
            result_outcome=result_outcome,
        )

    main.__doc__ = judge.__doc__
    return main


def run(
    judge: Callable[[Inputs], Evidence],
    *,
    store: str,
    source: str,
    dataset: str,
    model: str,
    result_evidence: Path,
    result_outcome: Path,
) -> None:
    """Fetch the inputs, judge, store the evidence, write the results.

    A model that fails is no failure of the gate: the verdict stage decides, with all evidence.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts = open_store(store)
        repository = artifacts.get(source, folder / "source")
        pipeline = model_repo.load(repository)
        spec = pipeline.spec.model_copy(update={"gates": remedy.judged_by(pipeline.spec)})
        evidence = judge(
            Inputs(
                artifacts=artifacts,
                pipeline=pipeline.model_copy(update={"spec": spec}),
                dataset=datasets.read(artifacts.get(dataset, folder / "dataset")),
                source_folder=repository,
                model_folder=artifacts.get(model, folder / "model"),
            )
        )
        digest = leave(artifacts, evidence, folder / "evidence")
    for note in evidence.notes:
        typer.echo(f"note: {note}")
    # What did not pass comes last: the last line is what people see of a stage.
    for check in sorted(evidence.checks, key=lambda check: check.outcome is not Outcome.PASSED):
        mark = "ok" if check.outcome is Outcome.PASSED else check.outcome.value
        typer.echo(f"{mark}: {check.reason}")
    stage.write_result(result_evidence, digest)
    stage.write_result(result_outcome, evidence.outcome.value)


def leave(artifacts: Store, evidence: Evidence, folder: Path) -> str:
    """Store evidence.json and its pictures as a tree; return the digest."""
    folder.mkdir(parents=True)
    text = json.dumps(evidence.to_json(), indent=2, sort_keys=True, allow_nan=False)
    (folder / EVIDENCE_FILE).write_text(text + "\n", encoding="utf-8")
    for name, picture in evidence.pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    return artifacts.put(folder)
