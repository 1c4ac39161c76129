"""The integrity gate's figures: counts of what is wrong, which speak for themselves."""

from trust_gates.metric import Metric

QUESTION = "Are its files what they claim to be, and safe to load?"

METRICS: tuple[Metric, ...] = ()
