"""The training loop: one rank's part of data-parallel training, resumable after every epoch.

Each rank takes every world-size-th row of one common shuffled batch, so that any number of ranks
takes the same steps as one process with the whole batch.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from touchstone.training.checkpoint import Checkpoint, RefusedError
from touchstone.training.dataset import Dataset, batch_of
from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.metrics import evaluate
from touchstone.training.mitigation import Mitigation
from touchstone.training.ranks import RENDEZVOUS
from touchstone.training.spec import Batch, ModelSpec, Parameter, Precision
from trust_gates.policy import Strict
from trust_gates.progress import line

if TYPE_CHECKING:
    import torch

PREEMPTED = 143
"""Exit code after SIGTERM with a checkpoint written: 128 + 15, so a scheduler may retry."""

_LOOKS = 5
"""Looks at the validation split in one training, the last one included."""


class TrainConfig(Strict):
    """How to train. `parameters` hold `learning_rate`, `weight_decay` and the model's own."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    """Samples per step over all ranks; a multiple of the number of ranks."""

    seed: int = 0
    precision: Precision = "auto"
    parameters: Mapping[str, Parameter] = Field(default_factory=dict)
    mitigation: Mitigation | None = None
    """What `mitigation.apply` is to do against unfairness; `train` itself does not."""

    defences: tuple[Defence, ...] = ()
    """What `touchstone.training.defences` is to do to the spec; `train` itself does not."""

    evasion: Evasion | None = None
    """The detector that `touchstone.training.evasion.fit` is to train for the trained model."""


class PreemptedError(RuntimeError):
    """SIGTERM came; a checkpoint of the last finished epoch is on disk."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among those that train together, and where it computes."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"


def train(
    spec: ModelSpec,
    dataset: Dataset,
    config: TrainConfig,
    *,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[torch.nn.Module, dict[str, float]]:
    """Train and evaluate on the validation split.

    Args:
        checkpoint: written after every epoch, and resumed from where it is this training's; where
            it is not, the training starts from the beginning, as what lies there must not decide
            whether there is a model, nor which.
        ranks: with a world above 1, torch.distributed must be initialised.
        report: called by rank 0 with one line per epoch.

    Returns:
        The trained module and its validation figures, as `val_<name>`.

    Raises:
        PreemptedError: SIGTERM came.
        ValueError: the configuration does not fit the data, or the loss is not finite.
        RuntimeError: the ranks found different checkpoints.
    """
    import torch

    ranks = ranks or Ranks()
    arrays = dataset.splits["train"]
    size = min(config.batch_size, len(arrays["inputs"]) // ranks.world * ranks.world)
    if size == 0 or size % ranks.world:
        raise ValueError(
            f"got batch size {size} for {ranks.world} processes, expected a positive multiple"
        )
    torch.manual_seed(config.seed)
    module = spec.build(config.parameters).to(ranks.device)
    if arrays["inputs"].ndim == 4:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(spec, module, config, ranks, steps=len(arrays["inputs"]) // size)
    first = run.resume(checkpoint, report)
    with _Preemption() as preemption:
        for epoch in range(first, config.epochs):
            loss = _epoch(run, arrays, size, epoch, preemption)
            if checkpoint is not None and ranks.rank == 0:
                run.save(checkpoint, epoch + 1)
            if ranks.rank == 0:
                known = {"loss": loss} | (run.validated(dataset) if _looks(config, epoch) else {})
                told = " ".join(f"{name}={value:.4f}" for name, value in known.items())
                report(line("epoch", epoch + 1, config.epochs, told))
    return module, run.validated(dataset)


def _looks(config: TrainConfig, epoch: int) -> bool:
    """Whether a look at the validation split follows the epoch: after each fifth of them all."""
    done = epoch + 1
    return done < config.epochs and done % -(-config.epochs // _LOOKS) == 0


class _Run:
    """The parts that change while training, saved and resumed together."""

    def __init__(
        self, spec: ModelSpec, module: Any, config: TrainConfig, ranks: Ranks, *, steps: int
    ) -> None:
        import torch

        self.spec, self.module, self.config, self.ranks, self.steps = (
            spec, module, config, ranks, steps
        )  # fmt: skip
        rate = float(config.parameters.get("learning_rate", 3e-3))
        self.optimizer = torch.optim.AdamW(
            module.parameters(),
            lr=rate,
            weight_decay=float(config.parameters.get("weight_decay", 1e-4)),
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, total_steps=steps * config.epochs, pct_start=0.15
        )
        wanted = config.precision
        if wanted == "auto":
            fast = ranks.device.startswith("cuda") and torch.cuda.is_bf16_supported()
            wanted = "bfloat16" if fast else "float32"
        self.autocast = wanted == "bfloat16"
        self.loss = _Loss(spec, module)
        if ranks.world > 1:
            from torch.nn.parallel import DistributedDataParallel

            self.loss = DistributedDataParallel(self.loss)

    def resume(self, checkpoint: Checkpoint | None, report: Callable[[str], None]) -> int:
        """Load the checkpoint if there is one of ours; the number of epochs already done."""
        done = 0
        try:
            found = None if checkpoint is None else checkpoint.read()
            done = 0 if found is None else self._load(found)
        except RefusedError as error:
            if self.ranks.rank == 0:
                report(f"{error}; the training starts from the beginning")
        if self.ranks.world > 1:
            self._agree(done)
        return done

    def _load(self, content: memoryview) -> int:
        import torch

        state = torch.load(io.BytesIO(content), map_location=self.ranks.device, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        # Dropout draws from the process's own generators, alike on all ranks.
        torch.set_rng_state(state["random"].cpu())
        if self.ranks.device != "cpu":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.ranks.device)
        return int(state["done"])

    def _agree(self, done: int) -> None:
        """Ranks that begin at different epochs would wait for each other for ever."""
        import torch
        from torch import distributed

        least = torch.tensor([done, -done], device=self.ranks.device)
        distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
        low, high = int(least[0]), -int(least[1])
        if low != high:
            raise RuntimeError(f"the ranks found checkpoints after {low} and {high} epochs")

    def validated(self, dataset: Dataset) -> dict[str, float]:
        """The figures on the validation split; what the training draws next stays as it was."""
        import torch

        device, arrays = self.ranks.device, dataset.splits["validation"]
        with torch.random.fork_rng([device] if device.startswith("cuda") else []):
            found = evaluate(self.spec, self.module, dataset.description, arrays, device=device)
        return {f"val_{name}": value for name, value in found.items()}

    def save(self, checkpoint: Checkpoint, done: int) -> None:
        """Write what `resume` loads."""
        import torch

        content, device = io.BytesIO(), self.ranks.device
        torch.save(
            {
                "module": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": torch.get_rng_state(),
                **({"random_cuda": torch.cuda.get_rng_state(device)} if device != "cpu" else {}),
                "done": done,
            },
            content,
        )
        checkpoint.write(content.getbuffer())


def _Loss(spec: ModelSpec, module: torch.nn.Module) -> torch.nn.Module:  # noqa: N802 (makes a class)
    """`spec.loss` as a module, since DistributedDataParallel watches calls of a module."""
    import torch

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, batch: Batch) -> torch.Tensor:
            return spec.loss(self.module, batch)

    return Loss()


def _epoch(
    run: _Run, arrays: Mapping[str, np.ndarray], size: int, epoch: int, preemption: _Preemption
) -> float:
    """One pass over the training data; the mean loss of this rank's samples."""
    import torch

    ranks, seed = run.ranks, run.config.seed
    # The order and the noise depend on seed and epoch alone, so a resumed run repeats neither.
    order = np.random.default_rng([seed, epoch]).permutation(len(arrays["inputs"]))
    noise = torch.Generator().manual_seed(seed * 1_000_003 + epoch * 1009 + ranks.rank)
    total = torch.zeros((), device=ranks.device)
    run.module.train()
    for step in range(run.steps):
        if preemption.agreed(ranks):
            raise PreemptedError(f"SIGTERM in epoch {epoch + 1}; the epochs before it are saved")
        rows = order[step * size : (step + 1) * size][ranks.rank :: ranks.world]
        given = batch_of(arrays, rows, ranks.device)
        # A model repository's own augmentation need not know of groups and weights.
        batch = replace(
            run.spec.augment(given, noise), privileged=given.privileged, weights=given.weights
        )
        with torch.autocast(ranks.device.split(":")[0], torch.bfloat16, enabled=run.autocast):
            loss = run.loss(batch)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.optimizer.step()
        run.schedule.step()
        total += loss.detach()
    mean = float(total) / run.steps
    if not np.isfinite(mean):
        raise ValueError(
            f"the loss of epoch {epoch + 1} is {mean}; try a smaller learning_rate than "
            f"{run.optimizer.defaults['lr']:g}"
        )
    return mean


class _Preemption:
    """Remembers SIGTERM until all ranks are between two steps, then lets them leave together."""

    def __init__(self) -> None:
        self.came = False
        self._before: Any = None

    def __enter__(self) -> _Preemption:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True

    def agreed(self, ranks: Ranks) -> bool:
        """Has any rank been told to stop? Asked by all ranks at the same step."""
        if ranks.world == 1:
            return self.came
        import torch
        from torch import distributed

        flag = torch.tensor(int(self.came), device=ranks.device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag.item())


def from_environment() -> Ranks:
    """This process's place: joins the others over gloo on CPUs, NCCL where every rank has a GPU.

    They are found through the file that `ranks.run` names; where a cluster's job started them, at
    MASTER_ADDR and MASTER_PORT. A process alone joins nothing.
    """
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    import torch

    gpus = torch.cuda.device_count()
    # Two ranks cannot share a GPU under NCCL: with too few GPUs all of them take the CPU.
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    device = f"cuda:{local}" if gpus >= here else "cpu"
    if world > 1:
        from torch import distributed

        if device != "cpu":
            torch.cuda.set_device(local)
        file = os.environ.get(RENDEZVOUS)
        distributed.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            rank=rank,
            world_size=world,
            # Without a store, torch asks MASTER_ADDR for one.
            store=distributed.FileStore(file, world) if file else None,  # type: ignore[attr-defined]  # no __all__
        )
    return Ranks(rank=rank, world=world, device=device)
