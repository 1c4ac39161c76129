"""verdict: gather the evidence of all gates; a refused model ends the stage with exit code 5."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from touchstone.artifacts import models
from touchstone.artifacts.store import Store, digest_file, open_store
from touchstone.commands import stage
from touchstone.contract import model_repo
from touchstone.contract import remedy as remedies
from touchstone.contract.model_repo import Spec
from touchstone.delivery import floors
from touchstone.errors import ModelRefusedError, PlatformError, UsageError
from touchstone.training import dataset as datasets
from touchstone.training.export import describe, read_metrics
from trust_gates import GATES
from trust_gates.inputs.description import WORDS
from trust_gates.recomputed import recomputed
from trust_gates.software import versions
from trust_gates.verdict import Evidence, Outcome, Verdict, decisive


def main(
    evidence: Annotated[
        list[str], typer.Argument(help="GATE=OUTCOME=DIGEST of each gate's evidence.")
    ],
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    run: Annotated[str, typer.Option(help="Name of the PipelineRun.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    commit: Annotated[str, typer.Option(help="The commit that is judged.")],
    data: Annotated[str, typer.Option(help="Digest of the raw data.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    model: Annotated[str, typer.Option(help="Digest of the trained model.")],
    result_verdict: Annotated[Path, typer.Option(help="File for the verdict's digest.")],
    result_passed: Annotated[Path, typer.Option(help="File for true or false.")],
    number: Annotated[int, typer.Option("--round", min=0, help="Which try this is.")] = 0,
    remedy: Annotated[str, typer.Option(help="Such as fairness=reweighing.")] = "",
    previous: Annotated[str, typer.Option(help="Digest of the verdict that offered it.")] = "",
    floor: Annotated[str, typer.Option(help="Digest of the floor, as fetch-source gives it.")] = "",
    uri: Annotated[
        str, typer.Option(help="The data in place of spec.data.uri; may be empty.")
    ] = "",
) -> None:
    """Decide on all checks together, and let the run's name point to the verdict."""
    artifacts = open_store(store)
    found = _gathered(artifacts, evidence)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = artifacts.get(source, folder / "source")
        policy = model_repo.load(repository)
        policy_digest = digest_file(repository / model_repo.FILE_NAME)
        current = remedies.admit(
            policy.spec, artifacts, source=source, number=number, remedy=remedy, previous=previous
        )
        tree = artifacts.get(model, folder / "model")
        packages = models.named(tree)
        facts = _facts(
            remedies.remedied(policy.spec, current.remedies),
            tree,
            artifacts.get(dataset, folder / "dataset"),
            uri or policy.spec.data.uri,
        )
    gates = remedies.judged_by(policy.spec)
    asked_at_least = floors.load(artifacts, floor)
    floors.require(asked_at_least, policy.spec.gates, facts)
    evaluation = floors.evaluation(asked_at_least)
    verdict = Verdict(
        evidence=[
            recomputed(
                document,
                asked,
                confidence=gates.confidence_each,
                evaluation=evaluation is not None,
            )
            if (asked := gates.policy(gate))
            else document
            for gate, (_, document) in found.items()
        ],
        required=policy.spec.gates.declared,
    )
    refusals = [one for one in decisive(verdict.checks) if one.outcome is not Outcome.PASSED]
    offered = remedies.offered(policy.spec, current, {check.gate for check in refusals})
    digest = artifacts.put_json(
        {
            "apiVersion": "touchstone.dev/v1",
            "kind": "Verdict",
            **verdict.to_json(),
            **current.to_json(),
            "maxRounds": policy.spec.max_rounds,
            "offered": offered,
            "name": policy.metadata.name,
            "run": run,
            "commit": commit,
            "model": model,
            "source": source,
            "policy": policy_digest,
            "floor": floor,
            "data": data,
            "dataset": dataset,
            **({"evaluation": evaluation.digest} if evaluation else {}),
            "seeds": {"data": policy.spec.data.seed, "split": number},
            "gates": gates.plain(),
            "confidence": policy.spec.gates.confidence,
            "card": policy.spec.card.plain(),
            "facts": facts,
            "software": versions(),
            **(
                {"packages": {"digest": packages, "versions": models.listed(artifacts, packages)}}
                if packages
                else {}
            ),
            "evidence": {gate: digest for gate, (digest, _) in found.items()},
        }
    )
    artifacts.set_ref(f"runs/{run}/verdict", digest)
    stage.write_result(result_verdict, digest)
    stage.write_result(result_passed, "true" if verdict.passed else "false")
    if not verdict.passed:
        raise ModelRefusedError(
            "refused: " + "; ".join(f"{check.gate}: {check.reason}" for check in refusals),
            hint=f"touchstone report {run} shows every check",
        )
    typer.echo(f"passed all {len(verdict.checks)} checks: {digest}")


def _gathered(artifacts: Store, given: list[str]) -> dict[str, tuple[str, Evidence]]:
    """By gate the digest of its evidence, and the evidence."""
    found: dict[str, tuple[str, Evidence]] = {}
    for one in given:
        gate, outcome, digest = _parts(one)
        if gate in found:
            raise UsageError(f"got two pieces of evidence of the {gate} gate, expected one each")
        found[gate] = (digest, _read(artifacts, gate, outcome, digest))
    return found


def _facts(spec: Spec, model: Path, dataset: Path, uri: str) -> dict[str, Any]:
    """What the model and its data say of themselves, for the report's fact sheet."""
    exported, data = describe(model), datasets.read(dataset)
    return {
        "task": data.description.task,
        "classes": list(data.description.classes),
        "inputs": {n: one for n, one in data.description.inputs.items() if n != WORDS},
        "protected": {name: list(v) for name, v in data.description.protected.items()},
        "samples": {name: len(arrays["inputs"]) for name, arrays in data.splits.items()},
        "uri": uri,
        "entrypoint": spec.entrypoint,
        "parameters": exported["parameters"],
        "metrics": read_metrics(model),
        "training": spec.train.plain(),
    }


def _parts(given: str) -> tuple[str, str, str]:
    gate, outcome, digest = [*given.split("=", 2), "", ""][:3]
    if gate not in GATES or outcome not in set(Outcome):
        raise UsageError(
            f"got {given!r}, expected GATE=OUTCOME=DIGEST with one of {', '.join(GATES)} and "
            f"one of {', '.join(Outcome)}"
        )
    return gate, outcome, digest


def _read(artifacts: Store, gate: str, outcome: str, digest: str) -> Evidence:
    """The evidence of that gate, which must say what the gate's own result said."""
    with tempfile.TemporaryDirectory() as folder:
        tree = artifacts.get(digest, Path(folder) / "evidence")
        try:
            found = Evidence.read(tree)
        except ValueError as error:
            raise PlatformError(f"{digest}: {error}", hint="run the gate again") from None
    if (found.gate, found.outcome) != (gate, outcome):
        raise PlatformError(
            f"got evidence of the {found.gate} gate with the outcome {found.outcome.value!r}, "
            f"expected that of {gate} with {outcome!r}, as the gate's result says",
            hint="run the gates again; was something else put in the place of their evidence?",
        )
    return found


if __name__ == "__main__":
    stage.run(main)
