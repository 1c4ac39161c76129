"""The gate's side of a model host: a network whose every answer another process computes.

Labels, attacks and the decision stay here, where no code of the model's repository is ever loaded.
Gradients go through a `torch.autograd.Function` that asks the host for the product of a vector with
the answer's Jacobian, so ART, Captum and our own attacks follow them as in process. The weights are
here too, as parameters: what changes them (random weights, a planted backdoor) is told to the host
before it is asked again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Protocol

import torch
from torch import Tensor

from trust_gates.errors import GateError, HostGoneError
from trust_gates.host.protocol import BrokenError, Channel
from trust_gates.network import Network
from trust_gates.visible import visible

MOST_CHARACTERS = 1 << 16
"""Of the JSON of one raw value."""

_AT_ONCE = 32
"""Raw values in a question: even the longest ones are fewer bytes than a message may have."""

_WORDS = 1000
"""Characters of what a model says of a value that it cannot encode."""


class Process(Protocol):
    """The running host."""

    def last_words(self) -> str:
        """How it ended, or what it printed last; empty where that is nothing."""


class Host:
    """A conversation with a model host, one question at a time."""

    def __init__(self, channel: Channel, process: Process) -> None:
        self._channel, self._process = channel, process
        self._lock = threading.Lock()
        self._forgotten: list[int] = []

    def ask(self, what: str, tensors: Sequence[Tensor], **more: Any) -> tuple[Any, list[Tensor]]:
        """Its answer to a question, as a message and tensors.

        Raises:
            GateError: the model's code failed.
            HostGoneError: the host is gone, or answers otherwise than agreed.
        """
        with self._lock:
            forgotten, self._forgotten = self._forgotten, []
            try:
                self._channel.send({"ask": what, "forget": forgotten, **more}, tensors)
                message, found = self._channel.receive()
            except BrokenError as error:
                words = self._process.last_words()
                raise HostGoneError(
                    f"the model host was asked for {what} and gave no answer ({error})"
                    f"{f'; it said last: {words}' if words else ''}"
                ) from None
        if "error" in message:
            raise GateError(f"the model's code failed at {what}: {str(message['error'])[:2000]}")
        return message, found

    def encode(self, values: Sequence[Any]) -> list[Tensor]:
        """What the model makes of raw values, in parts of some rows each, still to be looked at.

        Args:
            values: what JSON has; each of at most `MOST_CHARACTERS` of it.

        Raises:
            ValueError: a value is too long, no JSON, or cannot be encoded, as the model says.
            GateError: as `ask`.
        """
        for number, one in enumerate(values):
            if (size := len(json.dumps(one, allow_nan=False))) > MOST_CHARACTERS:
                raise ValueError(
                    f"value {number}: got {size} characters of JSON, expected at most "
                    f"{MOST_CHARACTERS}"
                )
        found: list[Tensor] = []
        for start in range(0, len(values), _AT_ONCE):
            message, part = self.ask("encode", (), values=list(values[start : start + _AT_ONCE]))
            if "unfit" in message:
                raise ValueError(visible(str(message["unfit"])[:_WORDS]) or "it cannot be encoded")
            found += part
        return found

    def forget(self, number: int) -> None:
        """Let the host drop what it keeps for gradients of an answer, with the next question."""
        self._forgotten.append(number)


class HostedNetwork(Network):
    """The network of a model host.

    Args:
        weights: all tensors of its state, by name.
        learned: the names of those that are parameters, in the network's order, as the host says.
    """

    def __init__(self, host: Host, weights: Mapping[str, Tensor], learned: Sequence[str]) -> None:
        super().__init__()
        self._host = host
        self._names = [name for name in dict.fromkeys(learned) if name in weights]
        # Dots cannot be in a parameter's name here, and these are not for anyone to look up.
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(weights[name].clone(), requires_grad=False) for name in self._names
        )
        self._tensors = list(self.weights)  # looking them up takes as long as a small network
        self._sent = self._versions()

    def answers(self, what: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The host's answer to `what`, differentiable with respect to tensors and weights.

        Raises:
            GateError: as `Host.ask`.
        """
        self._tell_weights()
        learned: list[tuple[str, Tensor]] = []
        if torch.is_grad_enabled():
            pairs = zip(self._names, self._tensors, strict=True)
            learned = [(name, one) for name, one in pairs if one.requires_grad]
            if learned or any(one.requires_grad for one in tensors):
                names = [name for name, _ in learned]
                result: tuple[Tensor, ...] = _Asked.apply(  # type: ignore[no-untyped-call]
                    self._host, what, names, len(tensors), *tensors, *(one for _, one in learned)
                )
                return result
        return tuple(self._host.ask(what, tensors)[1])

    def forward(self, inputs: Tensor, what: str = "logits", *more: Tensor) -> Any:
        """Logits (N, K); or, of a detector, its `detections` as a tuple of tensors.

        Raises:
            GateError: as `answers`; or the host gave something else than logits.
        """
        found = self.answers(what, inputs, *more)
        if what not in ("logits", "embedded"):
            return found
        if len(found) != 1 or found[0].ndim != 2 or len(found[0]) != len(inputs):
            shapes = ", ".join(str(tuple(one.shape)) for one in found)
            raise GateError(
                f"got predictions {shapes} for {len(inputs)} samples, expected logits of shape "
                "(samples, classes)"
            )
        return found[0]

    def encode(self, values: Sequence[Any]) -> list[Tensor]:
        """As `Host.encode`."""
        return self._host.encode(values)

    def summary(self, inputs: Tensor) -> Tensor:
        return self._one("summary", inputs)

    def penultimate(self, inputs: Tensor) -> Tensor:
        return self._one("penultimate", inputs)

    def embedding(self, tokens: Tensor) -> Tensor:
        message, _ = self._host.ask("embedding", [tokens])
        name = message.get("table")
        if name not in self._names:
            why = message.get("why") or "the embedding's table is no parameter of the network"
            raise GateError(visible(str(why)[:_WORDS]))
        found: Tensor = self._tensors[self._names.index(name)].detach()
        return found

    def embedded(self, tokens: Tensor, values: Tensor) -> Tensor:
        found: Tensor = self.forward(tokens, "embedded", values)
        return found

    def _one(self, what: str, inputs: Tensor) -> Tensor:
        found = self.answers(what, inputs)
        if len(found) != 1 or found[0].ndim != 2 or len(found[0]) != len(inputs):
            raise GateError(f"the model host gave no {what} of shape (samples, features)")
        return found[0]

    def _versions(self) -> list[int]:
        return [one._version for one in self._tensors]

    def _tell_weights(self) -> None:
        now = self._versions()
        if now != self._sent:
            pairs = zip(self._names, self._tensors, now, self._sent, strict=True)
            changed = [(name, one) for name, one, new, old in pairs if new != old]
            self._host.ask(
                "weights", [one for _, one in changed], names=[name for name, _ in changed]
            )
            self._sent = now


class _Kept:
    """What the host keeps for an answer's gradients, as long as this lives."""

    def __init__(self, host: Host, number: int) -> None:
        self.host, self.number = host, number

    def __del__(self) -> None:
        self.host.forget(self.number)


class _Asked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, host: Host, what: str, names: Sequence[str], count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        needed = [one.requires_grad for one in tensors]
        message, found = host.ask(what, tensors[:count], keep=needed[:count], learned=names)
        device = tensors[0].device
        found = [one.to(device) for one in found]
        kept = message.get("kept")
        if not isinstance(kept, int):
            raise GateError(f"the model host answered {what} without the number of what it keeps")
        ctx.kept = _Kept(host, kept)
        ctx.needed, ctx.shapes = needed, [(one.shape, one.dtype) for one in tensors]
        said = message.get("differentiable")
        said = said if isinstance(said, list) else []
        ctx.flags = [flag is True for flag, _ in zip_longest(said[: len(found)], found)]
        ctx.mark_non_differentiable(
            *(one for one, flag in zip(found, ctx.flags, strict=True) if not flag)
        )
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        wanted = [one for one, flag in zip(gradients, ctx.flags, strict=True) if flag]
        _, found = ctx.kept.host.ask("product", wanted, number=ctx.kept.number)
        rest = list(found)
        results: list[Tensor | None] = []
        for needed, (shape, kind) in zip(ctx.needed, ctx.shapes, strict=True):
            if not needed:
                results.append(None)
                continue
            if not rest or rest[0].shape != shape:
                raise GateError("the model host gave gradients of other shapes than what it got")
            results.append(rest.pop(0).to(wanted[0].device, kind))
        return (None, None, None, None, *results)
