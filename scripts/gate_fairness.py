"""Stage gate-fairness: are favorable outcomes shared evenly between groups?"""

from __future__ import annotations

from scripts import gate
from touchstone.commands import stage
from trust_gates.verdict import Evidence


def _judge(inputs: gate.Inputs) -> Evidence:
    """Compare the groups by AIF360's figures and decide on confidence bounds."""
    return gate.declared("fairness", inputs)


if __name__ == "__main__":
    stage.run(gate.command(_judge))
