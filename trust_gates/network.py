"""A model whose layers are no modules to listen to: it is a graph, or lies behind a host."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Network(torch.nn.Module, ABC):
    """What the gates ask of such a model beside its answers. Its weights are parameters."""

    @abstractmethod
    def summary(self, inputs: Tensor) -> Tensor:
        """(N, features): what its Conv2d and Linear layers put out, images as mean, spread and
        peak; differentiable.

        Raises:
            ValueError: it has no such layer.
        """

    @abstractmethod
    def penultimate(self, inputs: Tensor) -> Tensor:
        """(N, D): what its last layer with weights is given; maps are averaged over their places.

        Raises:
            GateError: it has no layer with weights that its prediction goes through.
        """

    @abstractmethod
    def embedding(self, tokens: Tensor) -> Tensor:
        """(V, D): the table of the one embedding that all the model sees of `tokens` (N, L).

        Raises:
            GateError: there is none, or there are several.
        """

    @abstractmethod
    def embedded(self, tokens: Tensor, values: Tensor) -> Tensor:
        """As the answer to `tokens`, with `values` (N, L, D) in the place of what the embedding
        gives of them; differentiable with respect to `values`.

        Raises:
            GateError: as `embedding`.
        """


def pooled(given: Tensor) -> Tensor:
    """(N, C, H, W) maps and (N, T, D) tokens to one vector a sample: (N, C) and (N, D)."""
    if given.ndim == 4:
        return given.mean(dim=(2, 3))
    return given.mean(dim=1) if given.ndim == 3 else given.flatten(1)
