"""The robustness gate's figures."""

from trust_gates.metric import share

QUESTION = "How much does it still get right when someone attacks its inputs?"

METRICS = (
    share("robust_accuracy", "share still right after the worst of all attacks"),
    share("robust_recall", "share of objects still found after the worst of all attacks"),
    share("robust_map50", "mean average precision after the worst of all attacks"),
    share("clean", "share right without an attack", ideal=None),
    share("noise", "share right under random noise of the attack's size", ideal=None),
)
