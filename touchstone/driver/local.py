"""Training jobs as local processes: what a PyTorchJob or a Katib trial is on the cluster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from touchstone import confine
from touchstone.confine import Confinement
from touchstone.training import launch, raised

METRIC = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)")
"""Katib's default filter of its StdOut collector, so one trial command serves both."""


_REMEMBERED, _LONGEST = 100, 4096
"""Lines of errors that are kept, and bytes of each."""

_PATIENCE = 5
"""Seconds that what is left of a training may keep its pipe open."""

MAX_RESTARTS = 3
"""How often a training is started again from its checkpoint after the loss of a process."""


def train(job: launch.Job, folder: Path, *, workers: int) -> tuple[int, str]:
    """Train with `workers` processes (DistributedDataParallel); their exit code, and why it is so.

    SIGTERM is handed down; only the main thread may call.

    Args:
        folder: where the job file goes, and the job's output lies; nothing else is written but the
            folder of its checkpoint.

    Raises:
        PlatformError: the model repository's code cannot be confined here.
    """
    command = launch.worker(job.write(folder / "job.json"))
    if workers > 1 or confine.means().namespaces:  # else it may signal nobody, itself included
        command = launch.ranks(command, workers=workers, max_restarts=MAX_RESTARTS)
    kept = [] if job.checkpoint is None else [job.checkpoint.path.parent]
    for one in kept:
        one.mkdir(parents=True, exist_ok=True)
    confinement = _confinement(job, [folder, *kept], workers)
    started = confine.started(
        command, confinement, launch.environment({}), folder=folder, stderr=subprocess.PIPE
    )
    with started as process, _Told(process.stderr) as told:
        # Whoever stops this process stops the training, which leaves a checkpoint first.
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    return code, told.error


class _Told:
    """Passes on what processes write to standard error, but for why they failed: that is kept."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None  # noqa: S101 (it is a pipe)
        self._kept: deque[str] = deque(maxlen=_REMEMBERED)
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)

    def __enter__(self) -> _Told:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.join(_PATIENCE)  # what a process left running may keep the pipe open

    @property
    def error(self) -> str:
        """Why the first of them failed; empty where none has said so."""
        return raised.sifted(self._kept)[1]

    def _read(self, stream: IO[bytes]) -> None:
        inside = False
        while line := stream.readline(_LONGEST).decode(errors="replace"):
            inside = line.startswith(raised.MARK) or (inside and line.startswith("  "))
            if inside:
                self._kept.append(line.rstrip("\n"))
            else:
                sys.stderr.write(line)
                sys.stderr.flush()


def trial(job: launch.Job, folder: Path) -> tuple[int, str]:
    """Run one tuning trial as a single process; its exit code and its output."""
    command = launch.worker(job.write(folder / "job.json"))
    with confine.started(
        command,
        _confinement(job, [folder], 1),
        launch.environment({}),
        folder=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        output = confine.tail(process.stdout)
    return process.returncode, output.decode(errors="replace")


def _confinement(job: launch.Job, write: Sequence[Path], workers: int) -> Confinement:
    """What the processes of a job see: its data, its code, and a network of their own."""
    return Confinement(
        read=[job.source, job.dataset],
        write=write,
        network="none" if workers == 1 else "loopback",
    )


def metric(output: str, name: str) -> float | None:
    """The last `name=value` of a trial's output, or None."""
    found = [value for key, value in METRIC.findall(output) if key == name and value]
    return float(found[-1]) if found else None
