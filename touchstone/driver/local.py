"""Training jobs as local processes: what a PyTorchJob or a Katib trial is on the cluster."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from touchstone import confine
from touchstone.confine import Confinement
from touchstone.training import launch

METRIC = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)")
"""Katib's default filter of its StdOut collector, so one trial command serves both."""


MAX_RESTARTS = 3
"""How often a training is started again from its checkpoint after the loss of a process."""


def train(job: launch.Job, folder: Path, *, workers: int) -> int:
    """Train with `workers` processes (DistributedDataParallel); the workers' exit code.

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
    with confine.started(command, confinement, launch.environment({}), folder=folder) as process:
        # Whoever stops this process stops the training, which leaves a checkpoint first.
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)


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
