"""Stage gate-robustness: how much does the model get right under attack?"""

from __future__ import annotations

from scripts import gate, stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Attack the model, the cheap attacks first, and decide on what survives them all."""
    from trust_gates import robustness

    gates = inputs.pipeline.spec.gates
    if gates.robustness is None:
        return gate.not_declared("robustness")
    policy = robustness.Policy(
        requirements=gate.requirements(gates.robustness.checks),
        norm=gates.robustness.norm,
        epsilon=gates.robustness.epsilon,
        attacks=gates.robustness.attacks,
        samples=gates.robustness.samples,
        sequential=gates.robustness.sequential,
        steps=gates.robustness.steps,
        queries=gates.robustness.queries,
        sweep=gates.robustness.sweep,
        features=inputs.dataset.description.inputs.get("features", ()),
        immutable=gates.robustness.immutable,
        bounds=gates.robustness.bounds,
        confidence=gates.confidence_each,
        seed=inputs.pipeline.spec.data.seed,
    )
    return robustness.judge(inputs.target(), inputs.samples(), policy)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
