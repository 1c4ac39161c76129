"""Train a detector of adversarial inputs for a trained model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from touchstone.training.dataset import Dataset, batch_of
from touchstone.training.defences.ball import Ball
from touchstone.training.evasion import Evasion
from touchstone.training.evasion.guard import Guard
from touchstone.training.evasion.network import build
from touchstone.training.spec import Batch, ModelSpec
from trust_gates.inputs.arrays import Arrays

_ROWS = 128


def fit(
    spec: ModelSpec,
    module: nn.Module,
    data: Dataset,
    config: Evasion,
    *,
    seed: int,
    device: str = "cpu",
) -> tuple[Guard, dict[str, float]]:
    """Attack the training split, learn to tell, and set the threshold on the validation split.

    Returns:
        The detector, and the share of the attacked and of the clean validation samples that it
        flags, as `val_evasion_found` and `val_evasion_false`. The latter is at most the declared
        rate by construction: the gate measures it on samples that set nothing.

    Raises:
        ValueError: too few validation samples, or a network without layers to listen to.
    """
    module.eval()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    arrays, validation = data.splits["train"], data.splits["validation"]
    chosen = np.random.default_rng(seed).permutation(len(arrays["inputs"]))[: config.samples]
    ball = Ball.of(config.norm, config.epsilon, data.description.inputs)

    def attacked(arrays: Arrays, rows: np.ndarray) -> Tensor:
        return torch.cat(
            [attack(batch_of(arrays, rows[part], device)) for part in _parts(len(rows))]
        )

    def attack(batch: Batch) -> Tensor:
        return ball.climb(
            lambda inputs: spec.loss(module, replace(batch, inputs=inputs)),
            batch.inputs,
            start=ball.random(batch.inputs, generator),
            steps=config.steps,
        ).cpu()

    clean = torch.from_numpy(arrays["inputs"][chosen])
    guard = _untrained(spec, module, clean[:1].to(device), config)
    _learn(guard, clean, attacked(arrays, chosen), config, device, generator)
    guard.calibrate(validation["inputs"])
    every = np.arange(len(validation["inputs"]))
    shares = {
        "val_evasion_found": guard.answer(attacked(validation, every).numpy())[1].mean(),
        "val_evasion_false": guard.answer(validation["inputs"])[1].mean(),
    }
    return guard, {name: float(share) for name, share in shares.items()}


def _untrained(spec: ModelSpec, module: nn.Module, one: Tensor, config: Evasion) -> Guard:
    guard = Guard(
        spec=spec,
        module=module,
        on=config.on,
        shape=(),
        false_positive_rate=config.false_positive_rate,
        network=nn.Identity(),
    )
    with torch.no_grad():
        guard.shape = tuple(guard.features(one).shape[1:])
    guard.network = build(guard.shape).to(one.device)
    return guard


def _learn(
    guard: Guard,
    clean: Tensor,
    attacked: Tensor,
    config: Evasion,
    device: str,
    generator: torch.Generator,
) -> None:
    """Binary cross-entropy on as many clean as attacked inputs."""
    both = torch.cat([clean, attacked])
    with torch.no_grad():
        seen = torch.cat([guard.features(both[rows].to(device)) for rows in _parts(len(both))])
    truth = torch.cat([torch.zeros(len(clean)), torch.ones(len(attacked))]).to(device)
    optimizer = torch.optim.AdamW(guard.network.parameters(), lr=3e-3)
    guard.network.train()
    for _ in range(config.epochs):
        order = torch.randperm(len(seen), generator=generator).to(device)
        for rows in _parts(len(seen)):
            answers = guard.network(seen[order[rows]])[:, 0]
            loss: Any = F.binary_cross_entropy_with_logits(answers, truth[order[rows]])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    guard.network.eval()


def _parts(count: int) -> list[slice]:
    """Batches; a last single sample joins the one before: alone it has no spread to scale by."""
    starts = list(range(0, max(count - 1, 1), _ROWS))
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], count], strict=True)]
