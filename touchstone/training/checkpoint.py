"""May this training go on from the checkpoint that lies there?

Only from its own: a checkpoint names the training that wrote it, by a digest of all that it read,
and the digest of its content, and nothing of it is loaded before both were found right. That is
against mistakes, a torn write and a folder that runs share. It is no signature: whoever may write
into the folder can make one that is taken. So the folder is the training's alone (`checkpoints`
in tekton/tasks/train.yaml): user code runs beside any key that could sign here.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from touchstone import beneath
from touchstone.beneath import NotPlainError
from trust_gates.policy import Strict

_MARK = "touchstone-checkpoint-1"
_HEAD = re.compile(rf"{_MARK} (sha256:[0-9a-f]{{64}}) (sha256:[0-9a-f]{{64}})\n".encode())
_HEAD_LENGTH = len(_MARK) + 2 * len(" sha256:") + 2 * 64 + len("\n")


class RefusedError(ValueError):
    """What lies there is no whole checkpoint of this training."""


class Checkpoint(Strict):
    """The place of a training's checkpoint, and which training that is."""

    path: Path
    training: str
    """`sha256:…` of all that decides the weights: code, data, parameters, recipe, seed."""

    def part(self, name: str) -> Checkpoint:
        """That of one of several trainings within this one; each refuses the others'."""
        return Checkpoint(
            path=self.path.with_name(f"{self.path.name}.{name}"),
            training=_digest(f"{self.training} {name}".encode()),
        )

    def write(self, state: bytes | memoryview) -> None:
        """Write the checkpoint whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = f"{_MARK} {self.training} {_digest(state)}\n".encode()
        beneath.write(self.path.parent, self.path.name, b"".join((head, state)), mode=0o600)

    def read(self) -> memoryview | None:
        """What `write` was given; None where there is no checkpoint.

        Raises:
            RefusedError: it is a link or no file, cut or changed, or of another training.
        """
        try:
            with beneath.opened(self.path.parent, self.path.name) as stream:
                data = stream.read()
        except FileNotFoundError:
            return None
        except NotPlainError as error:
            raise RefusedError(f"{self.path}: {error.problem}") from None
        head = _HEAD.fullmatch(data[:_HEAD_LENGTH])
        if head is None:
            raise RefusedError(f"{self.path} is no checkpoint of ours")
        training, content = (digest.decode() for digest in head.groups())
        if training != self.training:
            raise RefusedError(
                f"{self.path} is a checkpoint of the training {training}, expected {self.training}"
            )
        state = memoryview(data)[_HEAD_LENGTH:]
        if (found := _digest(state)) != content:
            raise RefusedError(f"{self.path} was cut or changed: got {found}, expected {content}")
        return state


def _digest(data: bytes | memoryview) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
