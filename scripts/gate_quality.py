"""Stage gate-quality: does the model do its task well enough on held-out samples?"""

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
    """Measure on the whole test split and decide on confidence bounds."""
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
    from trust_gates import quality

    gates = inputs.pipeline.spec.gates
    policy = quality.Policy(
        requirements=gate.requirements(gates.quality.checks),
        confidence=gates.confidence,
        seed=inputs.pipeline.spec.data.seed,
    )
    return quality.judge(inputs.target(), inputs.samples(), policy)


if __name__ == "__main__":
    stage.run(main)
