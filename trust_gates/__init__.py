"""Model to verdict: one package a gate. Gates measure and return; they never print or exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trust_gates.verdict import Verdict

GATES = ("quality", "robustness", "fairness", "explainability", "integrity")
"""The gates in the order of a report. Each is a package with `judge`, a policy and its metrics."""


def judge(
    model: Any,
    data: Any,
    policy: str | PathLike[str] | Mapping[str, Any],
    *,
    gates: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    out: str | PathLike[str] | None = None,
) -> Verdict:
    """Judge a model by the gates of a policy, in this process.

        verdict = trust_gates.judge(model, data, "gates.yaml")
        assert verdict.passed, verdict

    Args:
        model: a path (an .onnx or .skops file, or a folder with one); an estimator with
            `predict_proba`, `decision_function` or, of a regression, `predict`; a
            torch.nn.Module; a function from inputs (N, ...), float32, to logits or probabilities
            (N, K), or to numbers (N,) or (N, 1) of a regression; or None where `data` are
            predictions.
        data: a path (a dataset folder or a .csv file); a pandas DataFrame with the columns of such
            a file (`label`; `protected_<name>`, groups only; numeric features; or `prediction` or
            `probability_<class>`); `(inputs, labels)`; or a mapping with `inputs` (N, F) or
            (N, C, H, W), `labels` (N,), or `targets` (N,) of a regression, and any
            `protected_<name>` (N,). A frame of inputs has the names of its columns. Labels are
            numbers where a check is of a figure that only regressions have.
        policy: a YAML file with `gates`, or the same as a mapping.
        gates: which of them judge; all that the policy names by default.
        classes: names of the classes in the order of the model's answers; by default those of the
            labels, in the order of their numbers, else of their letters. An estimator knows its
            own.
        seed: of all that draws.
        out: folder to write the trust report to.

    Returns:
        The verdict: `passed`, `checks` with measured values, intervals and reasons, `evidence`
        with figures, tables and pictures; as text, why it was refused.

    Raises:
        PolicyError: the policy is no policy, or asks for what the data or the gate do not have.
        ValueError: the model or the data are not as described above (PolicyError is one).
        GateError: a gate does not work on this model.
        MissingExtraError: a library that this kind of model needs is not installed.
    """
    verdict: Verdict = import_module("trust_gates.live").judge(
        model, data, policy, gates=gates, classes=classes, seed=seed, out=out
    )
    return verdict
