"""Start a model host and hold what it answers as a spec and a network."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from touchstone import confine
from touchstone.home import SHIPPED, packages_of
from touchstone.training.export import read_weights
from touchstone.training.spec import AskedSpec, Batch, Detection, ModelSpec
from trust_gates.errors import GateError
from trust_gates.host.client import Host, HostedNetwork
from trust_gates.host.protocol import BrokenError, Channel, Memory
from trust_gates.inputs.arrays import unlike
from trust_gates.inputs.description import DTYPES, Task

LISTENER = "TOUCHSTONE_MODEL_HOST"
"""Environment variable: the socket of a container that starts hosts; without it they are ours."""

_PATIENCE = 120
"""Seconds that the container has to start."""

_PROGRAM = SHIPPED / "training" / "host.py"
_REMEMBERED = 20
"""Lines of what a host prints that are kept, to be said where it fails."""


class HostedSpec(AskedSpec):
    """A model repository's spec as a host knows it: it can be asked, and no more."""

    def __init__(self, task: Task, network: HostedNetwork) -> None:
        super().__init__(task)
        self._network = network

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        """A detector's loss, of the inputs and boxes of the batch."""
        assert batch.boxes is not None and batch.box_labels is not None  # noqa: S101, PT018 (so asked)
        found = self._network.answers("loss", batch.inputs, batch.boxes, batch.box_labels)
        if len(found) != 1 or found[0].ndim:
            raise GateError("the model's loss gave something else than a single number")
        return found[0]

    def asked(self, values: Sequence[Any]) -> list[Tensor]:
        """What `encode` makes of raw values, as the host gives it: see `Encoder`."""
        return self._network.encode(values)

    def predict(self, module: torch.nn.Module, inputs: Tensor) -> Tensor | Sequence[Detection]:
        """As the repository's spec; what its code gives is held to what it may."""
        if self.task != "detection":
            return super().predict(module, inputs)
        found = module(inputs, "detections")
        if len(found) != 4:
            raise GateError(f"got {len(found)} tensors of detections, expected 4")
        counts, boxes, labels, scores = found
        sizes = counts.tolist()
        total = sum(sizes)
        if (
            len(sizes) != len(inputs)
            or min(sizes, default=0) < 0
            or boxes.shape != (total, 4)
            or not len(labels) == len(scores) == total
        ):
            raise GateError(
                f"got {tuple(boxes.shape)} boxes, {len(labels)} labels and {len(scores)} scores of "
                f"{len(sizes)} images for {len(inputs)} inputs, expected as many of each"
            )
        parts = zip(boxes.split(sizes), labels.split(sizes), scores.split(sizes), strict=True)
        return [Detection(boxes=b, labels=n, scores=s) for b, n, s in parts]


class Encoder:
    """A model's own `encode`, asked in a host that is started for the first question."""

    def __init__(self, folder: Path, document: Mapping[str, Any], spec: ModelSpec) -> None:
        """`spec` is asked where it is a host's already; `document` is the tree's model.json."""
        self._folder, self._document = folder, document
        self._spec = spec if isinstance(spec, HostedSpec) else None
        self._starting = threading.Lock()

    def __call__(self, values: Sequence[Any]) -> NDArray[Any]:
        """Inputs (N, ...) of N raw values, as the model's description of its inputs says them.

        Raises:
            ValueError: a value is too long, no JSON, or cannot be encoded, as the model says.
            GateError: the model has no `encode`, it fails, or gives something else.
            PlatformError: a host cannot be confined here.
        """
        if not self._document.get("encodes"):
            raise GateError("the model takes inputs only: it has no `encode` of raw values")
        with self._starting:
            if self._spec is None:
                weights = read_weights(self._folder)
                self._spec = start(self._folder, self._document, weights)[0]
        described = self._document["inputs"]
        parts = [one.numpy() for one in self._spec.asked(values)]
        kind = described.get("dtype", DTYPES[0])
        rows = parts or [np.zeros((0, *described["shape"]), dtype=kind)]
        try:
            found = np.concatenate(rows)
        except ValueError as error:
            raise GateError(f"the model's `encode` gave uneven arrays: {error}") from None
        if problem := unlike(described, found, len(values)):
            raise GateError(f"the model's `encode`: {problem}")
        return found


def start(
    folder: Path, document: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[HostedSpec, HostedNetwork]:
    """A host of the model tree in `folder`, confined; it ends with the network, or with us.

    Args:
        document: its model.json.

    Raises:
        ValueError: it needs packages, and they do not lie beside it.
        GateError: the repository's code cannot be loaded.
        PlatformError: it cannot be confined here.
    """
    packages = packages_of(folder) if document.get("packages") else None
    if packages is not None and not packages.is_dir():
        raise ValueError(
            f"{folder / 'model.json'}: got no folder {packages.name} beside {folder.name}/,"
            f" expected the packages {document['packages']} there, which its code needs"
        )
    here = os.environ.get(LISTENER)
    # A copy that another user may read, and that nobody changes while it is judged.
    copy = tempfile.TemporaryDirectory(prefix="model-", dir=Path(here).parent if here else None)
    Path(copy.name).chmod(0o755)
    tree = Path(
        shutil.copytree(
            folder, Path(copy.name) / "model", copy_function=shutil.copyfile, symlinks=True
        )
    )
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    memory = Memory.new()
    threads = torch.get_num_threads()
    process: _Running | _Elsewhere
    if here:
        if packages is not None:  # where the other container sees them
            shutil.copytree(packages, packages_of(tree), copy_function=shutil.copy)
        connection = _asked(Path(here), tree, memory, threads)
        process = _Elsewhere()
    else:
        connection, theirs = socket.socketpair()
        process = _Running(launch(theirs.fileno(), memory.descriptor, threads, tree, packages))
        theirs.close()
    channel = Channel(connection, memory)
    try:
        message, _ = channel.receive()
    except BrokenError as error:
        _end(process, connection, memory, copy)
        raise GateError(f"the model host did not start ({error}): {process.last_words()}") from None
    if "error" in message:
        _end(process, connection, memory, copy)
        raise GateError(f"the model's code cannot be loaded: {str(message['error'])[:2000]}")
    learned = [str(name) for name in message.get("parameters", [])]
    network = HostedNetwork(Host(channel, process), weights, learned)
    weakref.finalize(network, _end, process, connection, memory, copy)
    return HostedSpec(document["task"], network), network


def launch(
    connection: int, memory: int, threads: int, tree: Path, packages: Path | None
) -> subprocess.Popen[bytes]:
    """A confined host of the tree that answers on the descriptor `connection`.

    Raises:
        PlatformError: it cannot be confined here.
    """
    return confine.started(
        [
            *(sys.executable, "-P", _PROGRAM, str(connection), str(memory), str(threads)),
            *(tree, packages or ""),
        ],
        confine.Confinement(read=[tree, *filter(None, [packages])]),
        # Its threads work while ours wait: neither may take the other's core by spinning.
        {"OMP_WAIT_POLICY": "PASSIVE"},
        pass_fds=(connection, memory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _asked(listener: Path, tree: Path, memory: Memory, threads: int) -> socket.socket:
    """A connection to a host that the container next door starts for the tree."""
    deadline = time.monotonic() + _PATIENCE
    connection = socket.socket(socket.AF_UNIX)
    while True:
        try:
            connection.connect(str(listener))
            break
        except OSError as error:  # the container may still be starting
            if time.monotonic() > deadline:
                connection.close()
                raise GateError(
                    f"got no model host at {listener} within {_PATIENCE} s ({error}), expected the"
                    f" sidecar that {LISTENER} is set for"
                ) from None
            time.sleep(0.1)
    words = json.dumps({"tree": str(tree), "threads": threads}).encode()
    socket.send_fds(connection, [words], [memory.descriptor])
    return connection


class _Elsewhere:
    """A host in another container, which keeps what it printed."""

    def last_words(self) -> str:
        return "the log of the container that hosts models says more"

    def end(self) -> None:
        """It ends with the connection."""


class _Running:
    """The host's process: what it prints is kept for the case that it fails, and goes nowhere."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=_REMEMBERED)
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def last_words(self) -> str:
        """How it ended, with the last it printed."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it still runs"
        self._reader.join(timeout=1)
        last = next((line for line in reversed(self._lines) if line.strip()), "")
        return f"exit code {code}{f', {last}' if last else ''}"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self, stream: IO[bytes]) -> None:
        while line := stream.readline(4096):
            self._lines.append(line.decode(errors="replace").rstrip())
        stream.close()


def _end(
    process: _Running | _Elsewhere,
    connection: socket.socket,
    memory: Memory,
    copy: tempfile.TemporaryDirectory[str],
) -> None:
    connection.close()
    process.end()
    memory.close()
    copy.cleanup()
