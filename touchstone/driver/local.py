"""Training jobs as local processes: what a PyTorchJob or a Katib trial is on the cluster."""

from __future__ import annotations

import contextlib
import math
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from touchstone import confine
from touchstone.confine import Confinement
from touchstone.training import launch, raised, trials

METRIC = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)")
"""Katib's default filter of its StdOut collector, so one trial command serves both."""

_NUMBER = re.compile(r"[+-]?\.?\d")
"""How that of it begins which is a number."""

_REMEMBERED, _LONGEST = 100, 4096
"""Lines of errors that are kept, and bytes of each."""

_KEPT = 1 << 20
"""Bytes of a trial's output."""

_FIGURES = 200
"""Names of figures in a trial's output: its code may print as many as it likes."""

_PATIENCE = 10
"""Seconds for a process to end that has nothing more to do, and for its pipe to be closed."""

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
    kept = [] if job.checkpoint is None else [job.checkpoint.path.parent]
    for one in kept:
        one.mkdir(parents=True, exist_ok=True)
    confinement = _confinement(job, [folder, *kept], workers)
    if confine.means().namespaces or confine.off():
        command = launch.ranks(command, workers=workers, max_restarts=MAX_RESTARTS)
        command = confine.command(command, confinement, folder=folder)
    elif workers > 1:
        # Before Linux 6.12 what is shut in so can signal nobody: each rank is, by itself, and not
        # who starts them. What a rank is ended by is its supervisor's exit code: no restarts.
        memory = confinement.limits.memory // workers
        each = replace(confinement, limits=replace(confinement.limits, memory=memory))
        command = launch.ranks(confine.command(command, each, folder=folder), workers=workers)
    else:  # it may signal nobody, itself included
        command = confine.command(command, confinement, folder=folder)
    started = subprocess.Popen(
        command,
        env=confine.environment(confinement, launch.environment({})),
        cwd=folder if confine.off() else "/",
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
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


class Trials:
    """Runs trials of one study, from several threads at once; one process for each of these.

    Args:
        folder: what the processes may write, all of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idle: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._idle:
            _ended(process)

    def run(self, job: launch.Job) -> tuple[int, str]:
        """Run one to its end; its exit code and its output, of a long one the end.

        Every job names the same source and dataset.

        Raises:
            PlatformError: the model repository's code cannot be confined here.
        """
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._start(job)
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (pipes)
        output = b""
        try:
            process.stdin.write(job.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            while (line := process.stdout.readline(1 << 16)) and not line.startswith(trials.END):
                output = (output + line)[-_KEPT:]
        except BrokenPipeError:
            line = b""
        text = output.removesuffix(b"\n").decode(errors="replace")
        code = line.removeprefix(trials.END).strip()
        if not re.fullmatch(rb"\d{1,3}", code):  # it ended itself, or was ended for using too much
            return _ended(process) or 1, text
        self._idle.append(process)
        return int(code), text

    def _start(self, job: launch.Job) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return confine.started(
            launch.trials(),
            _confinement(job, [self._folder], 1),
            launch.environment({}),
            folder=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that is to take no more jobs."""
    with contextlib.suppress(BrokenPipeError), process:
        assert process.stdin is not None  # noqa: S101 (it is a pipe)
        process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode


def _confinement(job: launch.Job, write: Sequence[Path], workers: int) -> Confinement:
    """What the processes of a job see: its data, its code, and a network of their own."""
    return Confinement(
        read=[job.source, job.dataset, *filter(None, [job.packages])],
        write=write,
        network="none" if workers == 1 else "loopback",
    )


def metric(output: str, name: str) -> float | None:
    """The last `name=value` of a trial's output, or None."""
    return _read(output).get(name)


def figures(output: str) -> dict[str, float]:
    """What a trial measured on the validation split, `val_…`, of at most so many names."""
    measured = sorted(item for item in _read(output).items() if item[0].startswith("val_"))
    return {name: value for name, value in measured[:_FIGURES] if math.isfinite(value)}


def _read(output: str) -> dict[str, float]:
    """The last value of each name."""
    found = {name: value for name, value in METRIC.findall(output) if _NUMBER.match(value)}
    return {name: float(value) for name, value in found.items()}
