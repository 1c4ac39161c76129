"""Stage gate-fairness: are favorable outcomes shared evenly between groups?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts import gate, stage
from trust_gates.verdict import Evidence


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    model: Annotated[str, typer.Option(help="Digest of the trained model.")],
    result_evidence: Annotated[Path, typer.Option(help="File for the evidence's digest.")],
    result_outcome: Annotated[Path, typer.Option(help="File for the outcome.")],
) -> None:
    """Compare the groups by AIF360's figures and decide on confidence bounds."""
    gate.run(
        _judge,
        store=store,
        source=source,
        dataset=dataset,
        model=model,
        result_evidence=result_evidence,
        result_outcome=result_outcome,
    )


def _judge(inputs: gate.Inputs) -> Evidence:
    from trust_gates import fairness

    gates = inputs.pipeline.spec.gates
    if gates.fairness is None:
        return gate.not_declared("fairness")
    policy = fairness.Policy(
        requirements=gate.requirements(gates.fairness.checks),
        protected=gates.fairness.protected,
        privileged=gates.fairness.privileged,
        favorable=gates.fairness.favorable,
        minimum_group=gates.fairness.minimum_group,
        confidence=gates.confidence,
        seed=inputs.pipeline.spec.data.seed,
    )
    return fairness.judge(inputs.target(), inputs.samples(), policy)


if __name__ == "__main__":
    stage.run(main)
