"""Model to verdict: one package a gate. Gates measure and return; they never print or exit."""

GATES = ("quality", "robustness", "fairness", "explainability", "integrity")
"""The gates in the order of a report. Each is a package with `judge`, a policy and its metrics."""
