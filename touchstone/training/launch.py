"""Start training processes through torch elastic, and pass their exit codes on honestly.

torchrun ends with 1 whatever its workers ended with, so a preempted worker (143) would look like
a broken one. `launch` asks torch elastic itself and answers with the first failed worker's code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from touchstone.home import SHIPPED
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

    checkpoint: Path | None = None
    """File written after each epoch, and resumed from."""

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


def run(job_file: Path, *, workers: int) -> int:
    """Train with `workers` processes in a child of their own; the honest exit code.

    SIGTERM to this process is handed down, so that the workers write their checkpoint.
    """
    command = [sys.executable, "-P", "-m", __spec__.name, "--workers", str(workers), "--"]
    return follow([*command, *worker(job_file)], environment())


def follow(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run `command` with this process's output, hand SIGTERM down, return its exit code.

    A child killed by a signal counts as 128 + the signal, as in a shell.
    """
    child = subprocess.Popen(command, env=dict(env))

    def hand_down(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    before = signal.signal(signal.SIGTERM, hand_down)
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return code if code >= 0 else 128 - code


def launch(command: Sequence[str], *, workers: int, max_restarts: int = 0) -> int:
    """Run `command` as `workers` ranks on this machine under torch elastic.

    Returns:
        0, or the exit code of the rank that failed first; 128 + the signal's number for a rank
        that a signal ended, and when a signal ended the launch itself.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=workers,
        run_id=f"touchstone-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=max_restarts,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, entrypoint=command[0])(*command[1:])
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code >= 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def _main(arguments: Sequence[str]) -> int:
    if len(arguments) < 4 or arguments[0] != "--workers" or arguments[2] != "--":
        sys.stderr.write(
            "usage: python -m touchstone.training.launch --workers N -- COMMAND [ARGUMENT ...]\n"
        )
        return 2
    return launch(arguments[3:], workers=int(arguments[1]))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
