"""Training jobs as local processes: what a PyTorchJob or a Katib trial is on the cluster."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from touchstone.training import launch

METRIC = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)")
"""Katib's default filter of its StdOut collector, so one trial command serves both."""


MAX_RESTARTS = 3
"""How often a training is started again from its checkpoint after the loss of a process."""


def train(job: launch.Job, folder: Path, *, workers: int) -> int:
    """Train with `workers` processes (DistributedDataParallel); the workers' exit code.

    Args:
        folder: where the job file goes.
    """
    file = job.write(folder / "job.json")
    return launch.run(file, workers=workers, max_restarts=MAX_RESTARTS)


def trial(job: launch.Job, folder: Path) -> tuple[int, str]:
    """Run one tuning trial as a single process; its exit code and its output."""
    finished = subprocess.run(
        launch.worker(job.write(folder / "job.json")),
        env=launch.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout


def metric(output: str, name: str) -> float | None:
    """The last `name=value` of a trial's output, or None."""
    found = [value for key, value in METRIC.findall(output) if key == name and value]
    return float(found[-1]) if found else None
