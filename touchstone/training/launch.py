"""What is a training process told, and with which command does it start?"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from touchstone.home import SHIPPED
from touchstone.training.checkpoint import Checkpoint
from touchstone.training.trainer import TrainConfig
from trust_gates.policy import Strict


class Job(Strict):
    """What `training/worker.py` is to do; travels as a JSON file."""

    source: Path
    """The model repository."""

    entrypoint: str
    dataset: Path
    """Folder with train.npz, validation.npz and dataset.json."""

    config: TrainConfig
    output: Path | None = None
    """Where the model tree goes; None trains for the figures alone."""

    checkpoint: Checkpoint | None = None
    """Written after each epoch, and resumed from."""

    packages: Path | None = None
    """Folder of those that the model's code may import, besides what is installed."""

    packages_digest: str = ""
    """What model.json names them by."""

    def write(self, path: Path) -> Path:
        """Write the job as JSON; return `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """The inverse of `write`.

        Raises:
            ValueError: the file is absent or is no job.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ValueError(f"{path} is no training job: {error}") from None


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """`base` (default: this process's) with one sleeping-when-idle thread per process.

    Several processes with one thread each beat one with several wherever a core is busy: OpenMP
    threads that spin while they wait take the time from those that work.
    """
    result = dict(os.environ if base is None else base)
    result.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
    return result


def worker(job_file: Path) -> list[str]:
    """The command of one training process; its folder is not where Python looks for modules."""
    return [sys.executable, "-P", str(SHIPPED / "training" / "worker.py"), str(job_file)]


def trials() -> list[str]:
    """The command of a process that runs trials; see `touchstone.training.trials`."""
    return [sys.executable, "-P", str(SHIPPED / "training" / "worker.py"), "--trials"]


def ranks(command: Sequence[str], *, workers: int, max_restarts: int = 0) -> list[str]:
    """The command that runs another as ranks of one training; see `touchstone.training.ranks`."""
    options = [f"--workers={workers}", f"--max-restarts={max_restarts}"]
    return [sys.executable, "-P", "-m", "touchstone.training.ranks", *options, "--", *command]
