"""Stage gate-robustness: how much does the model get right under attack?"""

from __future__ import annotations

from scripts import gate
from touchstone.commands import stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Attack the model, the cheap attacks first, and decide on what survives them all."""
    return gate.declared("robustness", inputs)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
