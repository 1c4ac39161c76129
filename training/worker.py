"""One training process: `python -P worker.py JOB.json`; where RANK says so, one of several.

With `--trials` in place of a job it runs one after the other; see touchstone.training.trials.

The job (`touchstone.training.launch.Job`) says what to train from and where to put it. Rank 0
prints one line per epoch and at the end each validation figure as `name=value`, the form that
Katib's StdOut collector reads. Exit codes: 0 done, 143 stopped by SIGTERM with a checkpoint left, 1
failed: the last that it says is why, in the words of the model repository.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.training import dataset, export, raised
from touchstone.training.dataset import Dataset
from touchstone.training.defences import wrap
from touchstone.training.estimator import EstimatorSpec
from touchstone.training.estimator.fits import misfits
from touchstone.training.launch import Job
from touchstone.training.load import load_spec
from touchstone.training.mitigation.served import Served
from touchstone.training.packages import use
from touchstone.training.spec import ModelSpec
from touchstone.training.trainer import PREEMPTED, PreemptedError, Ranks, from_environment, train
from touchstone.training.trials import serve

if TYPE_CHECKING:
    import torch

_SAMPLE = 8


def main(job: Job) -> int:
    """Do what the job says; the exit code."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    use(job.packages)
    data = dataset.read(job.dataset, splits=("train", "validation"))
    own = load_spec(job.source, job.entrypoint, data.description)
    if isinstance(own, EstimatorSpec):
        asked = job.config
        for _, problem in misfits(
            mitigation=asked.mitigation, defences=asked.defences, evasion=asked.evasion
        ):
            raise ValueError(problem)
    inputs = data.description.inputs
    spec = wrap.inputs(own, job.config.defences, inputs)
    ranks = from_environment()
    try:
        trained = wrap.training(spec, job.config.defences, inputs)
        module, figures, served = _train(own, trained, data, job, ranks)
    except PreemptedError as stopped:
        _say(str(stopped))
        return PREEMPTED
    if ranks.rank == 0:
        guard = None
        if job.config.evasion is not None:
            from touchstone.training.evasion.fit import fit

            _say("training the evasion detector")
            guard, found = fit(
                spec,
                module,
                data,
                job.config.evasion,
                seed=job.config.seed,
                device=ranks.device,
            )
            figures |= found
        if job.output is not None:
            export.export(
                job.output,
                module=module,
                spec=own,
                sample=wrap.seen(spec, _some(data)),
                source=job.source,
                entrypoint=job.entrypoint,
                parameters=job.config.parameters,
                description=data.description,
                metrics=figures,
                seed=job.config.seed,
                defences=job.config.defences,
                packages=job.packages_digest,
            )
            if guard is not None:
                guard.write(job.output)
            if served is not None:
                served.write(job.output)
        for name, value in figures.items():
            _say(f"{name}={value:.6f}")
    _leave(ranks)
    return 0


def _train(
    own: ModelSpec, spec: ModelSpec, data: Dataset, job: Job, ranks: Ranks
) -> tuple[torch.nn.Module, dict[str, float], Served | None]:
    how: Any = {"checkpoint": job.checkpoint, "ranks": ranks, "report": _say}
    fit: Any = train
    if isinstance(own, EstimatorSpec):
        from touchstone.training.estimator.fitted import fit
    if job.config.mitigation is None:
        return *fit(spec, data, job.config, **how), None
    from touchstone.training.mitigation.apply import train_mitigated

    done = train_mitigated(spec, data, job.config, fit=fit, **how)
    return done.module, done.figures, done.served


def _some(data: Dataset) -> torch.Tensor:
    import torch

    return torch.from_numpy(data.splits["validation"]["inputs"][:_SAMPLE])


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _leave(ranks: Ranks) -> None:
    if ranks.world > 1:
        from torch import distributed

        distributed.barrier()  # no rank ends, and is taken for failed, while rank 0 still exports
        distributed.destroy_process_group()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -P worker.py JOB.json | --trials\n")
        sys.exit(2)
    if sys.argv[1] == "--trials":
        serve(main)
        sys.exit(0)
    job = Job.read(Path(sys.argv[1]))
    with raised.told(job.source):
        code = main(job)
    sys.exit(code)
