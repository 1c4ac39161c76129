"""The model under judgement: how to ask it, and how to differentiate through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.reach import Reach
from trust_gates.samples import Boxes, Samples
from trust_gates.verdict import UNCONFINED

if TYPE_CHECKING:
    import torch

_LEAST = 1e-12
"""The smallest probability that a logit is taken of."""

Predict = Callable[["torch.Tensor"], Any]
Encode = Callable[[Sequence[Any]], NDArray[Any]]
Groups = Mapping[str, NDArray[np.str_]]
Answers = Callable[[NDArray[np.float32], Groups], NDArray[np.float64]]
Repair = Callable[[NDArray[np.float32], Groups], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A detector of adversarial inputs that is served with the model."""

    suspicion: Callable[[torch.Tensor], torch.Tensor]
    """Inputs (N, ...) to (N,), differentiable; higher is more suspicious."""

    threshold: float

    def flags(self, suspicion: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,): is the input flagged? What cannot be compared, NaN, is."""
        return ~(suspicion <= self.threshold)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """The layer that turns a model's tokens into vectors, and the model from there on."""

    table: NDArray[np.float32]
    """(V, D): the vector of each token."""

    predict: Callable[[torch.Tensor, torch.Tensor], Any]
    """Logits (N, K) of tokens (N, L) with vectors (N, L, D) in the place of their own,
    differentiable with respect to these."""

    rule: (
        Callable[[Callable[[Any], NDArray[np.float64]], Any, Groups], NDArray[np.float64]] | None
    ) = None
    """What is served, where that is not the network's answer alone: of a function from inputs to
    its probabilities, of inputs, and of the values of their protected attributes."""


class Answering(Protocol):
    """What can say of samples what a model says of them; enough for the gates that look at answers.

    Of images only a `Target` can: claims of a detector are not recorded.
    """

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def asked_as(self) -> str: ...
    @property
    def encode(self) -> Encode | None: ...
    def answers(self, samples: Samples) -> NDArray[np.float64]: ...
    def claims(self, inputs: NDArray[np.float32]) -> list[Boxes]: ...
    def repaired(self, samples: Samples) -> NDArray[np.float32] | None: ...


def numbers(target: Answering, samples: Samples) -> NDArray[np.float64]:
    """(N,) of a regression.

    Raises:
        GateError: the model does not give one number for each sample.
    """
    found = target.answers(samples)
    if found.shape != (len(samples), 1):
        raise GateError(
            f"got answers of shape {found.shape} for {len(samples)} samples, expected one "
            "number for each: the task is a regression"
        )
    return found[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Answers that were given already: the only value of an input is its row among them."""

    given: NDArray[np.float64]
    """(N, K), as `Target.answers` gives them."""

    asked_as: str = ""
    low: float = 0.0
    encode: None = None

    @property
    def high(self) -> float:
        """The last row."""
        return float(max(len(self.given) - 1, 0))

    def answers(self, samples: Samples) -> NDArray[np.float64]:
        """(N, K) of these samples."""
        return self.given[samples.inputs[:, 0].astype(np.int64)]

    def claims(self, inputs: NDArray[np.float32]) -> list[Boxes]:
        """None: see `Answering`."""
        return []

    def repaired(self, samples: Samples) -> None:
        """None: nobody knows of a repair."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """A model with what the gates need of it; inputs are within [low, high]."""

    module: torch.nn.Module
    predict: Callable[[torch.Tensor], Any]
    """Logits (N, K), or numbers (N, 1) of a regression, differentiable; or per image an object with
    `boxes`, `labels`, `scores`."""

    low: float
    high: float
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """For a detector: inputs, boxes (N, M, 4), box labels (N, M) padded with -1, to a scalar."""

    dtype: str = "float32"
    """What its inputs are; int64 where they are tokens."""

    device: str = "cpu"
    reach: Reach | None = None
    """What an attacker may change; None for every value within [low, high]."""

    serve: Answers | None = None
    """What is served, where that is not the module's answer alone: probabilities (N, K) of
    inputs and the values of their protected attributes."""

    repair: Repair | None = None
    """The inputs that the module sees in place of the given ones, of the same arguments."""

    watch: Watch | None = None
    embedding: Callable[[NDArray[np.int64]], Embedding] | None = None
    """Of a model of tokens, which it is given some of; it raises GateError where there is none."""

    words: Sequence[str] = ()
    """What each token stands for, where that is known."""

    encode: Encode | None = None
    """Inputs of raw values, as the model is served them; None where it is served inputs only."""
    averaged: Callable[[NDArray[np.float32], int], Predict] | None = None
    """Of a model that only answers: `predict` with the gradient of its answers averaged over random
    changes of these sizes (...) of each value, drawn with a seed; None where it has its own."""

    batch: int = 64
    """At most so many samples are asked about in one request."""

    asked_as: str = UNCONFINED
    """`graph` where the model is data; else how the process that runs its code is confined; empty
    where the answers are recorded ones, so that no model is asked."""

    def differentiable(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of `inputs`, with their gradient: as float32, for numpy 2 makes doubles of
        some, but for tokens. Of a regression they are its numbers (N, 1), here as below.

        Raises:
            GateError: there is no gradient, or the model gives something else.
        """
        import torch

        logits = self.predict(inputs.float() if inputs.is_floating_point() else inputs)
        if getattr(logits, "ndim", None) != 2:
            raise GateError(
                f"got predictions {getattr(logits, 'shape', type(logits).__name__)}, "
                "expected logits of shape (samples, classes)"
            )
        if torch.is_grad_enabled() and inputs.requires_grad and not logits.requires_grad:
            raise GateError(
                "the model's predictions have no gradient to its inputs, so it cannot be attacked; "
                "leave torch.no_grad and detach out of `predict`"
            )
        result: torch.Tensor = logits
        return result

    def answers(self, samples: Samples) -> NDArray[np.float64]:
        """(N, K) logits of a classifier as it is served, after any repair and postprocessing."""
        if self.serve is None:
            return self.logits(samples.inputs)
        # A rule may be certain: its logit is large then, never infinite.
        return np.log(np.maximum(self.serve(samples.inputs, samples.groups), _LEAST))

    def repaired(self, samples: Samples) -> NDArray[np.float32] | None:
        """What the module sees of the samples; None where they are not repaired."""
        return None if self.repair is None else self.repair(samples.inputs, samples.groups)

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, K) of a classifier.

        Raises:
            GateError: the model gives something else.
        """
        import torch

        self.module.eval()
        with torch.no_grad():
            parts = [
                self.differentiable(self.tensor(batch)).cpu().numpy()
                for batch in self._batches(inputs)
            ]
        return np.concatenate(parts).astype(np.float64)

    def claims(self, inputs: NDArray[np.float32]) -> list[Boxes]:
        """What a detector claims to see in each image."""
        return [boxes_of(image) for batch in self._batches(inputs) for image in self._ask(batch)]

    def activations(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D): what the last layer with weights is given; maps are averaged over their places.

        Raises:
            GateError: the module has no layer with weights that its prediction goes through.
        """
        found = [
            penultimate(self.module, partial(self._ask, batch)) for batch in self._batches(inputs)
        ]
        return np.concatenate([part.cpu().numpy() for part in found]).astype(np.float32)

    def tensor(self, inputs: NDArray[np.float32]) -> torch.Tensor:
        """`inputs` on the model's device; images in the memory order that is fast on CPUs.

        They are a copy: a network that scales them in place scales none that it is asked about
        again.
        """
        import torch

        kind = inputs.dtype if inputs.dtype == np.int64 else np.float32
        tensor = torch.from_numpy(np.array(inputs, dtype=kind, order="C")).to(self.device)
        return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    def _ask(self, inputs: NDArray[np.float32]) -> Any:
        import torch

        self.module.eval()
        with torch.no_grad():
            return self.predict(self.tensor(inputs))

    def _batches(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [inputs[start : start + self.batch] for start in range(0, len(inputs), self.batch)]


def column(numbers: torch.Tensor) -> torch.Tensor:
    """(N, 1): a regression's answers, which may be (N,) or (N, 1); others as they are."""
    return numbers[:, None] if numbers.ndim == 1 else numbers


def boxes_of(image: Any) -> Boxes:
    """One image's claims as arrays."""
    return Boxes(
        boxes=image.boxes.detach().cpu().numpy().astype(np.float64).reshape(-1, 4),
        labels=image.labels.detach().cpu().numpy(),
        scores=image.scores.detach().cpu().numpy().astype(np.float64),
    )


def penultimate(module: torch.nn.Module, ask: Callable[[], Any]) -> torch.Tensor:
    """(N, D): what the module's last layer with weights is given while `ask` runs.

    Raises:
        GateError: the module has no layer with weights that its prediction goes through.
    """
    from trust_gates.network import Network, pooled

    called: list[tuple[torch.nn.Module, torch.Tensor]] = []
    listened = [
        layer
        for layer in ([module] if isinstance(module, Network) else module.modules())
        if isinstance(layer, Network) or next(layer.parameters(recurse=False), None) is not None
    ]
    handles = [
        layer.register_forward_pre_hook(lambda layer, given: called.append((layer, given[0])))
        for layer in listened
    ]
    try:
        ask()
    finally:
        for handle in handles:
            handle.remove()
    if not called:
        raise GateError(
            "got a prediction that went through no layer with weights of its own, expected"
            " one whose input is the model's activations"
        )
    layer, given = called[-1]
    return layer.penultimate(given) if isinstance(layer, Network) else pooled(given)


def padded(objects: Sequence[Boxes]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes (N, M, 4) and labels (N, M), zeros and -1 where an image has fewer than M objects."""
    most = max((len(image) for image in objects), default=0)
    boxes = np.zeros((len(objects), most, 4), dtype=np.float32)
    labels = np.full((len(objects), most), -1, dtype=np.int64)
    for index, image in enumerate(objects):
        boxes[index, : len(image)] = image.boxes
        labels[index, : len(image)] = image.labels
    return boxes, labels
