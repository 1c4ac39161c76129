"""What a gate and a model host say to each other: short JSON over a socket, tensors in memory.

The memory is one anonymous file that both map. Its size is sealed, so that nobody pulls it away
from under the other, or fills it uncounted. Whoever reads a tensor copies it first: the other side
may write at any time. A message is four bytes of length and a JSON object with `tensors`, each
[type, shape, offset]; whatever does not fit what was agreed on is refused.
"""

from __future__ import annotations

import fcntl
import json
import math
import mmap
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

MOST_BYTES = 2 << 30
"""Of all tensors of a message."""

_MOST_WORDS = 4 << 20
_ALIGNED = 64
_TYPES = {
    str(kind).removeprefix("torch."): kind
    for kind in (torch.float32, torch.float64, torch.int64, torch.bool)
}


_BROKEN = (
    ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, MemoryError,
)  # fmt: skip
"""What a message that does not fit raises where it is read."""


class BrokenError(RuntimeError):
    """The other side is gone, or said something that was not agreed on."""


class Memory:
    """The shared memory, seen from one side."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._view: mmap.mmap | None = None

    @classmethod
    def new(cls) -> Memory:
        """Memory that the other side is given the descriptor of."""
        descriptor = os.memfd_create("tensors", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, MOST_BYTES)  # what nobody has written takes no memory
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return cls(descriptor)

    @property
    def view(self) -> mmap.mmap:
        """All of it."""
        if self._view is None:
            self._view = mmap.mmap(self.descriptor, MOST_BYTES)
        return self._view

    def close(self) -> None:
        """Give the memory back."""
        os.close(self.descriptor)
        self._view = None


class Channel:
    """One end of the conversation."""

    def __init__(self, connection: socket.socket, memory: Memory) -> None:
        self._connection, self._memory = connection, memory

    def send(self, message: Mapping[str, Any], tensors: Sequence[Tensor] = ()) -> None:
        """Say something.

        Raises:
            BrokenError: the other side is gone.
            ValueError: a tensor is of a type that cannot be sent.
        """
        offset = 0
        described: list[tuple[str, list[int], int]] = []
        for tensor in tensors:
            name = str(tensor.dtype).removeprefix("torch.")
            if name not in _TYPES:
                raise ValueError(f"got a tensor of {tensor.dtype}, expected {', '.join(_TYPES)}")
            described.append((name, list(tensor.shape), offset))
            size = tensor.numel() * tensor.element_size()
            offset += -(-size // _ALIGNED) * _ALIGNED
        if offset > MOST_BYTES:
            raise ValueError(f"got {offset} bytes of tensors, expected up to {MOST_BYTES}")
        view = self._memory.view
        for tensor, (_, shape, start) in zip(tensors, described, strict=True):
            if tensor.numel():
                place = torch.frombuffer(
                    view, dtype=tensor.dtype, count=tensor.numel(), offset=start
                )
                place.view(shape).copy_(tensor.detach())
        body = json.dumps({**message, "tensors": described}).encode()
        try:
            self._connection.sendall(struct.pack("!I", len(body)) + body)
        except OSError as error:
            raise BrokenError(str(error)) from None

    def receive(self) -> tuple[dict[str, Any], list[Tensor]]:
        """What the other side says, with copies of its tensors.

        Raises:
            BrokenError: it is gone, or what it says does not fit.
        """
        (length,) = struct.unpack("!I", self._exactly(4))
        if length > _MOST_WORDS:
            raise BrokenError(f"got a message of {length} bytes, expected at most {_MOST_WORDS}")
        try:
            message: dict[str, Any] = json.loads(self._exactly(length))
            described = message.pop("tensors")
            sizes = [_size(name, shape) for name, shape, _ in described]
            if sum(sizes) > MOST_BYTES:
                raise ValueError(f"got {sum(sizes)} bytes of tensors, expected up to {MOST_BYTES}")
            tensors = [self._copied(*one) for one in described]
        except _BROKEN as error:
            raise BrokenError(f"got a message that does not fit: {error}") from None
        return message, tensors

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = self._connection.recv(min(size - len(data), 1 << 20))
            except OSError as error:
                raise BrokenError(str(error)) from None
            if not part:
                raise BrokenError("it ended")
            data += part
        return bytes(data)

    def _copied(self, name: str, shape: list[int], offset: int) -> Tensor:
        kind = _TYPES[name]
        end = offset + _size(name, shape)
        count = math.prod(shape)
        if type(offset) is not int or offset < 0 or end > MOST_BYTES or offset % _ALIGNED:
            raise ValueError(f"got a tensor from {offset} to {end}, expected up to {MOST_BYTES}")
        if not count:
            return torch.empty(shape, dtype=kind)
        view = self._memory.view
        return torch.frombuffer(view, dtype=kind, count=count, offset=offset).view(shape).clone()


def _size(name: str, shape: list[int]) -> int:
    """Bytes of a described tensor."""
    if not all(type(number) is int and number >= 0 for number in shape):
        raise ValueError(f"got shape {shape}, expected numbers from 0 on")
    return math.prod(shape) * _TYPES[name].itemsize
