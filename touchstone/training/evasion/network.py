"""What a detector looks at, and the small network that looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trust_gates.network import Network

_WIDTH = 64


class Activations:
    """Records what a network's layers put out, thread by thread: a server asks from several.

    Raises:
        ValueError: there is no Conv2d or Linear to listen to.
    """

    def __init__(self, module: nn.Module) -> None:
        self._own = threading.local()
        self._network = module if isinstance(module, Network) else None
        if self._network is not None:
            self._network.register_forward_pre_hook(self._note_inputs)
            return
        layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
        if not layers:
            raise ValueError(
                "got a network without Conv2d or Linear, expected one for a detector on "
                "activations; a detector on inputs works with any"
            )
        for layer in layers:
            layer.register_forward_hook(self._note)

    def of(self, ask: Callable[[], Any]) -> Tensor:
        """(N, features): what the layers put out while `ask` runs; images as mean, spread, peak."""
        self._own.seen = []
        try:
            ask()
            if self._network is not None:
                return self._network.summary(self._own.seen[0])
            return summary_of(self._own.seen)
        finally:
            self._own.seen = None

    def _note_inputs(self, network: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen = getattr(self._own, "seen", None)
        if seen is not None:
            seen.append(given[0])

    def _note(self, layer: nn.Module, given: Any, output: Tensor) -> None:
        seen = getattr(self._own, "seen", None)
        if seen is not None:
            seen.append(output)


def summary_of(outputs: Sequence[Tensor]) -> Tensor:
    """(N, features) of what layers put out: images as mean, spread and peak of each channel."""
    return torch.cat([_summary(output) for output in outputs], dim=1)


def _summary(output: Tensor) -> Tensor:
    if output.ndim == 2:
        return output
    flat = output.flatten(2)
    return torch.cat([flat.mean(dim=2), flat.std(dim=2, correction=0), flat.amax(dim=2)], dim=1)


class _Pool(nn.Module):
    """(N, C, H, W) to the mean and the peak of each channel, (N, 2 C)."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images.mean(dim=(2, 3)), images.amax(dim=(2, 3))], dim=1)


def build(shape: Sequence[int]) -> nn.Module:
    """An untrained detector of what has `shape`: images (C, H, W) or features (F,), to (N, 1)."""
    if len(shape) == 3:
        return nn.Sequential(
            nn.Conv2d(shape[0], _WIDTH // 2, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH // 2, _WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            _Pool(),
            nn.Linear(2 * _WIDTH, 1),
        )
    return nn.Sequential(
        nn.BatchNorm1d(shape[0], affine=False, momentum=None),  # brings features to one scale
        nn.Linear(shape[0], _WIDTH),
        nn.ReLU(),
        nn.Linear(_WIDTH, 1),
    )
