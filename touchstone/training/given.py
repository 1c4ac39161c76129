"""Is what a model repository's methods give what was asked of them?

Asked where they are called; the error names the method, and where it stands.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training import dataset
from touchstone.training.dataset import Dataset, split
from touchstone.training.raised import EXPECTED, CodeError
from touchstone.training.spec import (
    Batch,
    Description,
    Detection,
    ModelSpec,
    Parameter,
    RawData,
    encodes,
)
from touchstone.training.wrapped import Wrapped
from trust_gates.inputs.arrays import GROUP, RAW, differing, misfits, unlike, values_of
from trust_gates.reach import Reach
from trust_gates.target import column

if TYPE_CHECKING:
    import torch


_CHANCES = ("predict_proba", "decision_function")
"""What a classifier of scikit-learn's kind answers by."""


def data(spec: ModelSpec, found: object, *, table: bool = False) -> RawData:
    """What `load_data` gave, which fits its own description.

    Args:
        table: whether they are a table's, which `load_data` has not made.

    Raises:
        CodeError: it is something else, or does not.
    """
    if not isinstance(found, RawData):
        raise _other(
            spec, "load_data", _kind(found), expected=EXPECTED["load_data"] + _instead(found)
        )
    said = found.description
    if not isinstance(said, Description):
        raise _other(
            spec, "load_data", f"{_kind(said)} as the description", expected="a Description"
        )
    if said.task != spec.task:
        raise _other(
            spec, "load_data", f"the task {said.task!r} of a {spec.task} model", expected="one task"
        )
    if not isinstance(found.arrays, Mapping):
        raise _other(spec, "load_data", f"{_kind(found.arrays)} as arrays", expected="a mapping")
    strange = {name: one for name, one in found.arrays.items() if not isinstance(one, np.ndarray)}
    if strange:
        listed = ", ".join(f"{name} as {_kind(one)}" for name, one in sorted(strange.items()))
        asked = ", ".join(f"np.asarray({name})" for name in sorted(strange))
        raise _other(spec, "load_data", listed, expected=f"numpy arrays: {asked}")
    try:
        json.dumps(said.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        asked = "numbers, texts and lists of them: float(x) and x.tolist() of numpy's"
        raise _other(
            spec, "load_data", f"a description that is no JSON ({error})", expected=asked
        ) from None
    problems = list(misfits(said, found.arrays))
    if not table and (problem := dataset.unread(said)):
        problems.append(problem)
    try:
        Reach.described(said.inputs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problems.append(str(error))
    if encodes(spec) and RAW not in found.arrays:
        problems.append(
            f"array {RAW!r} is missing, which `encode` is held to; expected each sample's raw value"
        )
    if problems:
        raise CodeError(_own(spec, "load_data"), *problems, *_cures(found))
    return found


def encoded(spec: ModelSpec, data: RawData, rows: slice) -> None:
    """Hold `encode`, where the model has one, to some rows of the data.

    Raises:
        CodeError: it gives something else than their inputs.
    """
    if not encodes(spec):
        return
    described, inputs = data.description.inputs, data.arrays["inputs"][rows]
    values = values_of(described, data.arrays[RAW][rows])
    found = spec.encode(values)
    if problem := unlike(described, found, len(inputs)):
        raise CodeError(_own(spec, "encode"), problem)
    other = np.flatnonzero(differing(found, inputs))
    if len(other):
        raise _other(
            spec,
            "encode",
            f"other inputs of the raw value of row {other[0]} than load_data has",
            expected="the same: what is served is what is judged",
        )


_TABLE = "of a CSV or Parquet file name the column to tell in spec.data.label, without a load_data"


def _instead(found: object) -> str:
    """What to write for what others give as data."""
    if type(found).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow"):
        return (
            f": {_TABLE}; or RawData(description=…, arrays={{…}}) with its values as numpy arrays"
        )
    if isinstance(found, tuple | list | dict | np.ndarray):
        return (
            ': RawData(description=Description(task=…, classes=…, inputs={"shape": …, "low": …,'
            ' "high": …}, protected={}, seed=seed), arrays={"inputs": …, "labels": …})'
        )
    return ""


def _cures(found: RawData) -> Iterator[str]:
    """What to write where arrays have another name or type than they should."""
    wanted = {"inputs": found.description.dtype, "targets": "float32", "boxes": "float32"}
    swapped = {"classification": ("labels", "targets"), "regression": ("targets", "labels")}
    right, wrong = swapped.get(found.description.task, ("", ""))
    if wrong in found.arrays and right not in found.arrays:
        yield f"write {right!r} in the place of {wrong!r}: {found.description.task} calls it so"
        return
    for name, array in found.arrays.items():
        kind = wanted.get(name, "int64")
        if array.dtype == kind or name == RAW:
            continue
        if array.dtype.kind not in "OUS":
            yield f"write {name}.astype(np.{kind})"
        elif name == "labels" or name.startswith(GROUP):
            names = "classes" if name == "labels" else f"protected[{name.removeprefix(GROUP)!r}]"
            yield (
                f"write np.array([{names}.index(one) for one in {name}]): {name} are indices into"
                f" the description's {names}"
            )
        else:
            yield (
                f"{name} hold {_kind(array.flat[0]) if array.size else 'nothing'}: write numbers, a"
                f" word as one feature of 0 or 1 for each it can be; or {_TABLE}"
            )
    inputs = found.arrays.get("inputs")
    if inputs is not None and inputs.dtype.kind == "f" and np.isnan(inputs).any():
        yield (
            "write a number where none is known, and a feature of 0 and 1 that says so; or"
            f" {_TABLE}: gaps are read so"
        )


def splits(spec: ModelSpec, found: RawData) -> Dataset:
    """The data, divided. Raises CodeError where a split is left empty."""
    try:
        return split(found)
    except ValueError as error:
        raise CodeError(_own(spec, "load_data"), str(error)) from None


def network(spec: ModelSpec, parameters: Mapping[str, Parameter]) -> torch.nn.Module:
    """What `build` gives. Raises CodeError unless it is a module that can learn."""
    import torch

    module: object = spec.build(parameters)
    if not isinstance(module, torch.nn.Module):
        raise _other(spec, "build", _kind(module))
    if not any(one.requires_grad for one in module.parameters()):
        raise _other(spec, "build", "a network without a parameter that could be learned")
    return module


def estimator(spec: ModelSpec, parameters: Mapping[str, Parameter]) -> Any:
    """What `build` gives of an estimator. Raises CodeError unless it can be fitted and asked."""
    found: Any = spec.build(parameters)
    answering = ("predict",) if spec.task == "regression" else _CHANCES
    if not hasattr(found, "fit") or not any(hasattr(found, name) for name in answering):
        asked = f"an estimator with fit and {' or '.join(answering)}, not fitted yet"
        raise _other(spec, "build", _kind(found), expected=f"{asked}, from build(parameters)")
    return found


def scalar(spec: ModelSpec, loss: object) -> torch.Tensor:
    """What `loss` gave. Raises CodeError unless a step of training can follow from it."""
    import torch

    if not isinstance(loss, torch.Tensor):
        raise _other(spec, "loss", _kind(loss))
    if loss.ndim:
        raise _other(spec, "loss", f"a tensor of shape {tuple(loss.shape)}")
    if not loss.requires_grad:
        raise _other(spec, "loss", "a tensor that does not depend on the module's weights")
    return loss


def finite(spec: ModelSpec, loss: torch.Tensor) -> None:
    """Raise CodeError where a loss is no number before anything was learned."""
    value = float(loss.detach())
    if not math.isfinite(value):
        asked = "a finite number before the first step: is there a log, a root or a division of 0?"
        raise _other(spec, "loss", f"the loss {value}", expected=asked)


def batch(spec: ModelSpec, varied: object) -> Batch:
    """What `augment` gave. Raises CodeError for anything else."""
    if not isinstance(varied, Batch):
        raise _other(spec, "augment", _kind(varied))
    return varied


def logits(spec: ModelSpec, answers: object, samples: int, classes: int | None) -> torch.Tensor:
    """What a classifier's `predict` gave for so many samples; of so many classes, where known.

    Raises:
        CodeError: it is something else.
    """
    import torch

    asked = (
        f"logits (N, K), here ({samples}, {'K' if classes is None else classes}): a row a sample"
    )
    asked += ", a column a class of load_data's description"
    if not isinstance(answers, torch.Tensor):
        raise _other(spec, "predict", _kind(answers), expected=asked)
    shape = tuple(answers.shape)
    if len(shape) != 2 or shape[0] != samples or classes not in (None, shape[1]):
        raise _other(spec, "predict", f"a tensor of shape {shape}", expected=asked)
    return answers


def numbers(spec: ModelSpec, answers: object, samples: int) -> torch.Tensor:
    """(N, 1): what a regression's `predict` gave for so many samples.

    Raises:
        CodeError: it is something else.
    """
    import torch

    asked = f"numbers (N,) or (N, 1), here ({samples},): one a sample"
    if not isinstance(answers, torch.Tensor):
        raise _other(spec, "predict", _kind(answers), expected=asked)
    if tuple(answers.shape) not in ((samples,), (samples, 1)):
        raise _other(spec, "predict", f"a tensor of shape {tuple(answers.shape)}", expected=asked)
    if not answers.is_floating_point():
        raise _other(spec, "predict", f"a tensor of {answers.dtype}", expected=asked)
    return column(answers)


def detections(spec: ModelSpec, answers: object, images: int) -> Sequence[Detection]:
    """What a detector's `predict` gave for so many images. Raises CodeError for anything else."""
    asked = f"a list of {images} Detections, one an image"
    if not isinstance(answers, Sequence) or len(answers) != images:
        raise _other(spec, "predict", _kind(answers), expected=asked)
    for one in answers:
        if not all(hasattr(one, name) for name in ("boxes", "labels", "scores")):
            raise _other(spec, "predict", f"{_kind(one)} among them", expected=asked)
        n = len(one.scores)
        if tuple(one.boxes.shape) != (n, 4) or tuple(one.labels.shape) != (n,):
            got = f"boxes {tuple(one.boxes.shape)}, labels {tuple(one.labels.shape)}, {n} scores"
            raise _other(spec, "predict", got, expected="(n, 4), (n,) and (n,)")
    return answers


def _other(spec: ModelSpec, method: str, got: str, *, expected: str = "") -> CodeError:
    """The error that the spec's method gave something else than it should."""
    return CodeError(_own(spec, method), f"got {got}, expected {expected or EXPECTED[method]}")


def _own(spec: ModelSpec, method: str) -> Callable[..., Any]:
    """The repository's own method, behind what wraps its spec."""
    while isinstance(spec, Wrapped):
        spec = spec.inner
    found: Callable[..., Any] = getattr(type(spec), method)
    return found


def _kind(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"
