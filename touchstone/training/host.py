"""The model host: the one process that loads a model repository's code, and answers with it.

`training/host.py` starts it, confined, with a socket and shared memory. It computes what it is
asked and knows nothing of labels, thresholds or what an answer is for.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from touchstone.training import embedding, raised
from touchstone.training.estimator.fitted import Fitted
from touchstone.training.evasion.network import Activations
from touchstone.training.export import with_code
from touchstone.training.spec import Batch
from trust_gates.host.protocol import BrokenError, Channel, Memory
from trust_gates.target import column, penultimate


class _Answers:
    """What the loaded model says to each question."""

    def __init__(self, folder: Path) -> None:
        self.spec, self.module, self.document = with_code(folder)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.module = self.module.to(self.device).eval()
        self._listening: Activations | None = None
        self._layer: torch.nn.Embedding | None = None

    def logits(self, inputs: Tensor) -> Sequence[Tensor]:
        found = self.spec.predict(self.module, inputs)
        if not isinstance(found, Tensor):
            raise TypeError(
                f"got predictions {type(found).__name__}, expected "
                f"{'numbers' if self.spec.task == 'regression' else 'logits'} as a tensor"
            )
        if self.spec.task == "regression":
            found = column(found)
        # Differences of an estimator's answers lose what float32 rounds away.
        return [found if isinstance(self.module, Fitted) else found.float()]

    def detections(self, inputs: Tensor) -> Sequence[Tensor]:
        """Of all images, one after the other: how many each has, boxes, labels, scores."""
        images = list(self.spec.predict(self.module, inputs))
        empty = inputs.new_zeros(0)
        return [
            torch.tensor([len(image.scores) for image in images]),
            torch.cat(
                [empty.view(0, 4), *(image.boxes.float().reshape(-1, 4) for image in images)]
            ),
            torch.cat([empty.long(), *(image.labels.long().reshape(-1) for image in images)]),
            torch.cat([empty, *(image.scores.float().reshape(-1) for image in images)]),
        ]

    def loss(self, inputs: Tensor, boxes: Tensor, box_labels: Tensor) -> Sequence[Tensor]:
        batch = Batch(inputs=inputs, boxes=boxes, box_labels=box_labels)
        return [self.spec.loss(self.module, batch).float()]

    def summary(self, inputs: Tensor) -> Sequence[Tensor]:
        if self._listening is None:
            self._listening = Activations(self.module)
        return [self._listening.of(lambda: self.spec.predict(self.module, inputs))]

    def penultimate(self, inputs: Tensor) -> Sequence[Tensor]:
        return [penultimate(self.module, lambda: self.spec.predict(self.module, inputs))]

    def table(self, tokens: Tensor) -> str:
        """The name of the weights that tokens are looked up in."""
        name, self._layer = embedding.find(self.spec, self.module, tokens)
        return name

    def embedded(self, tokens: Tensor, values: Tensor) -> Sequence[Tensor]:
        if self._layer is None:
            raise ValueError("got no question for the embedding before one with other vectors")
        with embedding.replaced(self._layer, values):
            return self.logits(tokens)


_WORDS = 1000
"""Characters of what is said of a value that cannot be encoded."""

_QUESTIONS = ("logits", "detections", "loss", "summary", "penultimate", "embedded")


class _Host:
    def __init__(self, channel: Channel, answers: _Answers) -> None:
        self._channel, self._answers = channel, answers
        self._kept: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self._own = dict(answers.module.named_parameters())
        self._learned: list[str] | None = None
        self._last = 0

    def answer(self, message: dict[str, Any], tensors: list[Tensor]) -> None:
        for number in message["forget"]:
            self._kept.pop(number, None)
        what = message["ask"]
        if what == "weights":
            found = dict(zip(message["names"], tensors, strict=True))
            self._answers.module.load_state_dict(found, strict=False)
            self._channel.send({})
        elif what == "product":
            self._product(message["number"], tensors)
        elif what == "embedding":
            self._embedding(_placed(tensors[0], self._answers.device))
        elif what == "encode":
            self._encode(message["values"])
        elif what in _QUESTIONS:
            self._question(what, message, tensors)
        else:
            raise ValueError(f"got the question {what!r}, expected one of {_QUESTIONS}")

    def _embedding(self, tokens: Tensor) -> None:
        try:
            self._channel.send({"table": self._answers.table(tokens)})
        except ValueError as error:
            self._channel.send({"why": str(error)[:_WORDS]})

    def _encode(self, values: list[Any]) -> None:
        try:
            found = self._answers.spec.encode(values)
        except ValueError as error:  # the value's fault, as `encode` may say
            self._channel.send({"unfit": str(error)[:_WORDS]})
        else:
            self._channel.send({}, [torch.from_numpy(np.ascontiguousarray(found))])

    def _question(self, what: str, message: dict[str, Any], tensors: list[Tensor]) -> None:
        keep, learned = message.get("keep", [False] * len(tensors)), message.get("learned", [])
        given = [_placed(tensor, self._answers.device) for tensor in tensors]
        leaves = [one.requires_grad_() for one, kept in zip(given, keep, strict=True) if kept]
        if learned != self._learned:
            for name, parameter in self._own.items():
                parameter.requires_grad_(name in learned)
            self._learned = learned
        with torch.set_grad_enabled(bool(leaves or learned)):
            found = list(getattr(self._answers, what)(*given))
        flags = [one.requires_grad for one in found]
        self._last += 1  # also where nothing is kept: each answer has a number of its own
        if any(flags):
            outputs = [one for one, flag in zip(found, flags, strict=True) if flag]
            self._kept[self._last] = (outputs, leaves + [self._own[name] for name in learned])
        self._channel.send({"kept": self._last, "differentiable": flags}, found)

    def _product(self, number: int, gradients: list[Tensor]) -> None:
        outputs, leaves = self._kept[number]
        placed = [one.to(outputs[0].device) for one in gradients]
        found = torch.autograd.grad(
            outputs, leaves, placed, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        self._channel.send({}, found)


def _placed(tensor: Tensor, device: str) -> Tensor:
    """On the model's device; images in the memory order that is fast on CPUs."""
    moved = tensor.to(device)
    return moved.to(memory_format=torch.channels_last) if moved.ndim == 4 else moved


def serve(connection: socket.socket, memory: Memory, folder: Path) -> None:
    """Load the model tree in `folder` and answer until the other side is gone."""
    channel = Channel(connection, memory)
    try:
        answers = _Answers(folder)
    except Exception as error:
        channel.send({"error": _words(error, folder)})
        return
    channel.send({"parameters": [name for name, _ in answers.module.named_parameters()]})
    host = _Host(channel, answers)
    while True:
        try:
            message, tensors = channel.receive()
        except BrokenError:
            return
        try:
            host.answer(message, tensors)
        except Exception as error:  # the repository's code may fail in any way
            channel.send({"error": _words(error, folder)})


def _words(error: Exception, folder: Path) -> str:
    """The error, and the last place of the repository's own code that it came through."""
    return raised.words(error, folder / "code").partition("\n")[0]
