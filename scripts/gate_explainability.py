"""Stage gate-explainability: does the model decide for reasons that can be shown?"""

from __future__ import annotations

from scripts import gate
from touchstone.commands import stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Attribute decisions to their inputs with Captum and decide on what that shows."""
    return gate.declared("explainability", inputs)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
