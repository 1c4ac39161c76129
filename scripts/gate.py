"""gate: judge the model by one trust gate and leave the evidence; the verdict stage decides."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from touchstone import confine
from touchstone.artifacts import models
from touchstone.artifacts.store import Store, digest_file, open_store
from touchstone.commands import stage
from touchstone.contract.reads import GateReads, load
from touchstone.delivery import champion as champions
from touchstone.errors import UsageError
from touchstone.training import dataset as datasets
from touchstone.training.dataset import Dataset
from touchstone.training.target import open_described
from trust_gates import GATES, evaluation, integrity, progress, quality
from trust_gates.integrity.policy import Integrity
from trust_gates.policy import GatePolicy, Setting
from trust_gates.quality.policy import Quality
from trust_gates.samples import Samples
from trust_gates.spread import spread
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Outcome, decisive
from trust_gates.visible import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What there is to judge, by digest and in folders that last as long as the stage."""

    artifacts: Store
    digests: Mapping[str, str]
    """Of the source, the data, the dataset, the model, the image, the packages, the champion and
    the evaluation data; some empty."""

    dataset: Dataset
    source: Path
    model: Path

    asked_as: set[str] = field(default_factory=set)
    """How the models were asked, so far."""

    def target(self, tree: Path | None = None) -> Target:
        """The trained model, or that of another tree for the same data."""
        described = self.dataset.description
        low, high = float(described.inputs["low"]), float(described.inputs["high"])
        apart = spread(self.dataset.splits["train"]["inputs"], low, high)
        target = open_described(tree or self.model, described, apart)
        self.asked_as.add(target.asked_as)
        return target


def main(
    name: Annotated[str, typer.Option("--gate", help=f"One of {', '.join(GATES)}.")],
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    reads: Annotated[str, typer.Option(help="Digest of what this stage reads of the repository.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    model: Annotated[str, typer.Option(help="Digest of the trained model.")],
    result_evidence: Annotated[Path, typer.Option(help="File for the evidence's digest.")],
    result_outcome: Annotated[Path, typer.Option(help="File for the outcome.")],
    data: Annotated[str, typer.Option(help="integrity: digest of the raw data.")] = "",
    image_digest: Annotated[str, typer.Option(help="integrity: digest of the image.")] = "",
    packages: Annotated[
        str, typer.Option(help="integrity: digest of the packages it was trained with, if any.")
    ] = "",
    champion: Annotated[
        str, typer.Option(help="quality: digest of what is served, as fetch-source gives it.")
    ] = "",
    evaluation_data: Annotated[
        str,
        typer.Option(
            "--evaluation", help="Digest of the organisation's evaluation data; integrity has none."
        ),
    ] = "",
) -> None:
    """Fetch the inputs, judge, store the evidence, write the results.

    A model that fails is no failure of the gate: the verdict stage decides, with all evidence.
    """
    confine.limit_own_memory()
    if name not in GATES:
        raise UsageError(f"got the gate {name!r}, expected one of {', '.join(GATES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder, artifacts = Path(temporary), open_store(store)
        asked = load(artifacts, reads, GateReads)
        source = folder / "source"
        inputs = Inputs(
            artifacts=artifacts,
            digests={
                "source": asked.code,
                "data": data,
                "dataset": dataset,
                "model": model,
                "image": image_digest,
                "packages": packages,
                "champion": champion,
                "evaluation": evaluation_data,
            },
            dataset=datasets.read(artifacts.get(dataset, folder / "dataset")),
            source=artifacts.get(asked.code, source) if asked.code else source,
            model=models.get(artifacts, model, folder / "model"),
        )
        typer.echo(f"judging by the {name} gate")
        with progress.heard_by(typer.echo):
            evidence = _judge(name, inputs, asked)
        evidence = replace(evidence, asked_as="; ".join(sorted(inputs.asked_as)))
        evidence.write(folder / "evidence")
        digest = artifacts.put(folder / "evidence")
    for label, value in evidence.asked:
        typer.echo(one_line(f"asked: {label}: {value}"))
    for warning in evidence.warnings:
        typer.echo(one_line(f"warning: {warning}"))
    for note in evidence.notes:
        typer.echo(one_line(f"note: {note}"))
    # What decided comes last: the last line is what people see of a stage.
    for check in reversed(decisive(evidence.checks)):
        mark = "ok" if check.outcome is Outcome.PASSED else check.outcome.value
        typer.echo(one_line(f"{mark}: {check.reason}"))
    stage.write_result(result_evidence, digest)
    stage.write_result(result_outcome, evidence.outcome.value)


def _judge(name: str, inputs: Inputs, asked: GateReads) -> Evidence:
    """What the gate finds; no check, and why, where touchstone.yaml has no part for it."""
    policy = asked.policy(name)
    description = inputs.dataset.description
    features = tuple(description.inputs.get("features", ()))
    setting = asked.setting(description)
    if policy is None:
        note = f"spec.gates.{name} is not declared: nothing was judged"
        return Evidence(gate=name, checks=[], notes=[note])
    if isinstance(policy, Integrity):
        return integrity.judge(_examined(inputs, features), policy, setting)
    found = _judge_on(inputs.dataset.samples(), name, inputs, policy, setting)
    if not (digest := inputs.digests["evaluation"]):
        return evaluation.told(found)
    with tempfile.TemporaryDirectory() as folder:
        data = inputs.artifacts.get(digest, Path(folder) / "evaluation.csv")
        samples = evaluation.read(data, description)
    return evaluation.joined(found, _judge_on(samples, name, inputs, policy, setting), digest)


def _judge_on(
    samples: Samples, name: str, inputs: Inputs, policy: GatePolicy, setting: Setting
) -> Evidence:
    if isinstance(policy, Quality):
        return _quality(samples, inputs, policy, setting)
    evidence: Evidence = import_module(f"trust_gates.{name}").judge(
        inputs.target(), samples, policy, setting
    )
    return evidence


def _quality(samples: Samples, inputs: Inputs, policy: Quality, setting: Setting) -> Evidence:
    """With the champion that the policy compares with, where one is served and it is another."""
    target = inputs.target()
    served = None
    if policy.champion is not None and inputs.digests["champion"]:
        served = champions.read(inputs.artifacts, inputs.digests["champion"])
    if served is None:
        return quality.judge(target, samples, policy, setting)
    if served.model == inputs.digests["model"]:
        alone = policy.model_copy(update={"champion": None})
        evidence = quality.judge(target, samples, alone, setting)
        note = f"the served version {served.version} is this very model: nothing to compare"
        return replace(evidence, notes=[*evidence.notes, note])
    return quality.judge(target, samples, policy, setting, _champion(samples, inputs, served))


def _champion(samples: Samples, inputs: Inputs, served: champions.Served) -> quality.Champion:
    """The served model asked about the same samples, or why it cannot be."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            tree = models.get(inputs.artifacts, served.model, Path(folder) / "champion")
            answers = quality.ask(inputs.target(tree), samples)
    except Exception as error:  # another version's code may fail in any way; the check then fails
        why = (
            f"the served version {served.version} could not be asked about these samples "
            f"({type(error).__name__}: {error}); where the task has changed, take "
            "gates.quality.champion out"
        )
        return quality.Champion(version=served.version, missing=why)
    return quality.Champion(version=served.version, answers=answers)


def _examined(inputs: Inputs, features: tuple[str, ...]) -> integrity.Subject:
    """Every file with the digest it should have and the one it has."""
    named = ("source", "data", "dataset", "model")
    expected = {name: digest for name in named if (digest := inputs.digests[name])}
    actual = {name: _computed(inputs.artifacts, digest) for name, digest in expected.items()}
    if image := inputs.digests["image"]:
        # It lies in a registry, which checks its bytes: here only its name must be a digest.
        expected["image"] = actual["image"] = image
    packages = inputs.digests["packages"]
    if packages:
        expected["packages"], actual["packages"] = packages, models.named(inputs.model)
    code = inputs.model / "code"
    for file in sorted(inputs.source.rglob("*.py")):
        name = file.relative_to(inputs.source)
        if any(part.startswith(".") for part in name.parts):
            continue
        expected[f"code/{name}"] = digest_file(file)
        copy = code / name
        actual[f"code/{name}"] = digest_file(copy) if copy.is_file() else ""
    for file in sorted(code.rglob("*")):
        if file.is_file():
            actual.setdefault(f"code/{file.relative_to(code)}", digest_file(file))
    description = inputs.dataset.description
    return integrity.Subject(
        model=inputs.model,
        expected=expected,
        actual=actual,
        splits={name: inputs.dataset.samples(name) for name in inputs.dataset.splits},
        low=float(description.inputs["low"]),
        high=float(description.inputs["high"]),
        groups=description.protected,
        features=features,
        source=inputs.source,
        packages=models.listed(inputs.artifacts, packages) if packages else {},
        target=inputs.target,
    )


def _computed(artifacts: Store, digest: str) -> str:
    """The digest of what the store gives for `digest`, computed anew from its files."""
    with tempfile.TemporaryDirectory() as folder:
        return Store(Path(folder) / "store").put(artifacts.get(digest, Path(folder) / "tree"))


if __name__ == "__main__":
    stage.run(main)
