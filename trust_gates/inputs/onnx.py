"""A model in an ONNX file, asked through onnxruntime. ONNX holds no code, so none runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError, MissingExtraError
from trust_gates.inputs import opaque
from trust_gates.named import some
from trust_gates.samples import Task
from trust_gates.target import Target

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
"""What an input can be, by ONNX's name."""


def read(
    path: Path,
    *,
    classes: Sequence[str],
    low: float,
    high: float,
    spread: NDArray[np.float64] | None = None,
    task: Task = "classification",
) -> Target:
    """The model as a target; its gradients are differences (see `opaque`).

    It has one float32 or int64 input with a dynamic batch axis, and an output (N, K) of logits or
    probabilities in the order of `classes`, or (N,) or (N, 1) of a regression's numbers; of several
    outputs the first of that shape is taken.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ValueError: the file is no such model.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("an ONNX model", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has no base class for what it raises
        raise ValueError(f"{path}: {error}; expected an ONNX model") from None
    inputs = session.get_inputs()
    kind = _TYPES.get(inputs[0].type) if len(inputs) == 1 else None
    if kind is None or isinstance(inputs[0].shape[0], int):
        shapes = [f"{one.name}: {one.type} {one.shape}" for one in inputs]
        raise ValueError(
            f"{path}: got the inputs {shapes}, expected one {' or '.join(_TYPES)} with a "
            "dynamic batch axis"
        )
    fits = _column if task == "regression" else _table
    outputs = [o.name for o in session.get_outputs() if o.type == "tensor(float)" and fits(o)]
    if not outputs and task == "regression":
        shapes = [f"{one.name}: {one.type} {one.shape}" for one in session.get_outputs()]
        raise ValueError(
            f"{path}: got the outputs {shapes}, expected a tensor(float) of (samples,) or "
            "(samples, 1): the policy has figures of a regression"
        )
    if not outputs:
        shapes = [f"{one.name}: {one.type} {one.shape}" for one in session.get_outputs()]
        raise ValueError(
            f"{path}: got the outputs {shapes}, expected a tensor(float) of (samples, classes); "
            "export a scikit-learn model with zipmap off; of a regression the policy has figures "
            "of regressions, such as r2"
        )

    def answer(values: NDArray[np.float32]) -> NDArray[np.float64]:
        try:
            (found,) = session.run(outputs[:1], {inputs[0].name: values})
        except Exception as error:
            raise GateError(f"{path.name} refused inputs {values.shape}: {error}") from None
        if task == "regression":
            return opaque.numbers(found)
        logits = opaque.log_probabilities(found)
        if logits.shape[1] != len(classes):
            raise ValueError(
                f"{path} tells {logits.shape[1]} classes apart, expected the {len(classes)} of the "
                f"data: {some(classes)}"
            )
        return logits

    return replace(opaque.target(answer, low=low, high=high, spread=spread), dtype=kind)


def _table(output: Any) -> bool:
    return len(output.shape) == 2 and output.shape[1] != 1


def _column(output: Any) -> bool:
    return len(output.shape) == 1 or (len(output.shape) == 2 and output.shape[1] in (1, None))
