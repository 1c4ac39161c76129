"""What a model repository must offer: `ModelSpec`, and the data that flows through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trust_gates.inputs.description import Description as Description  # for model repositories
from trust_gates.inputs.description import Task
from trust_gates.target import column

if TYPE_CHECKING:
    import numpy as np
    import torch

Parameter = float | int | str
"""The value of one hyperparameter."""

Precision = Literal["auto", "float32", "bfloat16"]
"""What training computes in; `auto` is bfloat16 on a GPU that has it, else float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawData:
    """Everything a model repository's `load_data` found, before it is split.

    `arrays` by name, each with N rows:
      inputs            float32 (N, C, H, W) or (N, F), within the description's low and high;
                        or int64 (N, L) where its `dtype` says so, such as indices of tokens
      labels            int64 (N,)                                   for classification
      targets           float32 (N,), finite                         for regression
      boxes             float32 (N, M, 4), x1 y1 x2 y2 pixels, zeros where there is no object
      box_labels        int64 (N, M), -1 where there is no object    for detection
      protected_<name>  int64 (N,), index into the attribute's values
      held_out          int64 (N,), optional: 1 keeps a sample for the test split, 0 out of it
      raw               text (N,): of each sample what `encode` is given to make its inputs, where
                        the model has an `encode`; JSON where the description's inputs say
                        `"raw": "json"`, else the texts themselves
    """

    description: Description
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some samples as tensors; shapes and types are those of `RawData`'s arrays."""

    inputs: torch.Tensor
    labels: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    box_labels: torch.Tensor | None = None
    privileged: torch.Tensor | None = None
    """(N,) bool, while training with a mitigation (see `touchstone.training.mitigation`)."""

    weights: torch.Tensor | None = None
    """(N,) float32: how much each row counts, where a mitigation says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """The objects found in one image, best first."""

    boxes: torch.Tensor
    """(n, 4), x1 y1 x2 y2 in pixels."""

    labels: torch.Tensor
    """(n,) int64, index into the classes."""

    scores: torch.Tensor
    """(n,), from 0 to 1."""


class ModelSpec(ABC):
    """A model repository's Python file has one subclass of this, named by `entrypoint`."""

    task: ClassVar[Task]

    described: Description
    """What the data are, such as how many features there are; known to all but `load_data`."""

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """The whole dataset that `uri` (the model repository's own words) names.

        The same `uri` and `seed` must give the same arrays. Of a table, whose label is named under
        spec.data of touchstone.yaml, it is not asked and need not be written.

        Raises:
            ValueError: `uri` is not understood; the message says which ones are.
        """
        raise NotImplementedError(
            "got no load_data and no table, expected one of them: write load_data, or name the"
            " column to tell under spec.data.label"
        )

    @abstractmethod
    def build(self, parameters: Mapping[str, Parameter]) -> torch.nn.Module:
        """The untrained network. Leave out batch statistics: ranks then agree with one process."""

    @abstractmethod
    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """A scalar: the mean over samples, differentiable with respect to `batch.inputs`.

        A mean over samples makes the average over ranks equal to the whole batch's loss, and
        gradients to the inputs are what the robustness gate attacks with.
        """

    @abstractmethod
    def predict(
        self, module: torch.nn.Module, inputs: torch.Tensor
    ) -> torch.Tensor | Sequence[Detection]:
        """Logits (N, K) for classification, numbers (N,) or (N, 1) for regression; one `Detection`
        per image for detection."""

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A varied copy of a training batch; by default the batch itself."""
        return batch

    def embedding(self, module: torch.nn.Module) -> torch.nn.Embedding | None:
        """Of a model of tokens, the layer that `predict` gives them to, once in each prediction.

        Robustness and explainability are judged from its output on. By default the one that is
        found to be given the inputs; None for that.
        """
        return None

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """Inputs (N, ...) of N raw values, as the description says them: its type and shape.

        Written by a model that is served raw values: texts, or what JSON has, such as mappings of
        columns. `load_data` gives the same values as `raw`: what is served is held to what is
        judged. Each value is encoded alone, whatever it stands beside.

        Raises:
            ValueError: a value cannot be encoded; who sent it is told the message.
        """
        raise NotImplementedError


def encodes(spec: ModelSpec) -> bool:
    """Whether the model has an `encode` of its own, whatever is around its spec."""
    inner = getattr(spec, "inner", None)
    return encodes(inner) if inner is not None else type(spec).encode is not ModelSpec.encode


class AskedSpec(ModelSpec):
    """What is left of a spec where its code is elsewhere or no more: its network can be asked."""

    def __init__(self, task: Task) -> None:
        self.task = task  # type: ignore[misc]  # each model has its own

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """Not asked: a stage of its own loads data."""
        raise NotImplementedError

    def build(self, parameters: Mapping[str, Parameter]) -> torch.nn.Module:
        """Not asked: the network is built."""
        raise NotImplementedError

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Only a detector has a loss of its own."""
        raise NotImplementedError

    def predict(
        self, module: torch.nn.Module, inputs: torch.Tensor
    ) -> torch.Tensor | Sequence[Detection]:
        """Logits (N, K), or numbers (N, 1), of the network alone."""
        answers: torch.Tensor = module(inputs)
        return column(answers) if self.task == "regression" else answers
