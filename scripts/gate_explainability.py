"""Stage gate-explainability: does the model decide for reasons that can be shown?"""

from __future__ import annotations

from scripts import gate, stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Attribute decisions to their inputs with Captum and decide on what that shows."""
    from trust_gates import explainability

    gates = inputs.pipeline.spec.gates
    if gates.explainability is None:
        return gate.not_declared("explainability")
    policy = explainability.Policy(
        requirements=gate.requirements(gates.explainability.checks),
        method=gates.explainability.method,
        samples=gates.explainability.samples,
        features=inputs.dataset.description.inputs.get("features", ()),
        protected=gates.explainability.protected,
        proxy=gates.explainability.proxy,
        confidence=gates.confidence_each,
        seed=inputs.pipeline.spec.data.seed,
    )
    return explainability.judge(inputs.target(), inputs.samples(), policy)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
