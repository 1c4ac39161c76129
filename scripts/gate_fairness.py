"""Stage gate-fairness: are favorable outcomes shared evenly between groups?"""

from __future__ import annotations

from scripts import gate, stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Compare the groups by AIF360's figures and decide on confidence bounds."""
    from trust_gates import fairness
    from trust_gates.fairness.groups import Protected

    gates = inputs.pipeline.spec.gates
    if gates.fairness is None:
        return gate.not_declared("fairness")
    policy = fairness.Policy(
        requirements=gate.requirements(gates.fairness.checks),
        protected=[
            Protected(name=attribute.name, privileged=attribute.privileged)
            for attribute in gates.fairness.attributes
        ],
        favorable=gates.fairness.favorable,
        minimum_group=gates.fairness.minimum_group,
        alpha=gates.fairness.alpha,
        features=tuple(inputs.dataset.description.inputs.get("features", ())),
        confidence=gates.confidence_each,
        seed=inputs.pipeline.spec.data.seed,
    )
    return fairness.judge(inputs.target(), inputs.samples(), policy)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
