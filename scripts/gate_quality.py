"""Stage gate-quality: does the model do its task well enough on held-out samples?"""

from __future__ import annotations

from scripts import gate, stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Measure on the whole test split and decide on confidence bounds."""
    from trust_gates import quality

    gates = inputs.pipeline.spec.gates
    policy = quality.Policy(
        requirements=gate.requirements(gates.quality.checks),
        confidence=gates.confidence_each,
        seed=inputs.pipeline.spec.data.seed,
    )
    return quality.judge(inputs.target(), inputs.samples(), policy)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
