"""How is a model of tokens trained by a defence that moves its inputs? By moving their vectors.

Miyato, Dai and Goodfellow, "Adversarial training methods for semi-supervised text classification",
ICLR 2017. The unit is the range of the embedding's table as it is at the time, as the robustness
gate has it; the table learns from attacked vectors as from clean ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from touchstone.training import embedding
from touchstone.training.defences import Defence
from touchstone.training.defences.trained.method import Trained, quiet
from touchstone.training.spec import Batch, ModelSpec
from touchstone.training.wrapped import Wrapped

Wrap = Callable[[ModelSpec, Defence, Mapping[str, Any]], Trained]


class Embedded(Trained):
    """The defence that `wrap` makes, done to the vectors of the tokens."""

    def __init__(
        self, spec: ModelSpec, defence: Defence, inputs: Mapping[str, Any], wrap: Wrap
    ) -> None:
        super().__init__(spec, defence, inputs)
        wrap(spec, defence, inputs)  # whether it serves such models
        self._wrap = wrap
        self._layers: WeakKeyDictionary[torch.nn.Module, torch.nn.Embedding] = WeakKeyDictionary()

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        """The defence's loss of the vectors."""
        layer = self._layers.get(module)
        if layer is None:
            with quiet(module, batch.inputs.device):
                layer = embedding.find(self.inner, module, batch.inputs[:1])[1]
            self._layers[module] = layer
        inside = _Inside(self.inner, layer, batch.inputs)
        own = inside.vectors.detach()
        described = {"shape": list(own.shape[1:]), "low": 0.0, "high": 1.0}
        defended = self._wrap(inside, self.defence, described)
        defended.generator = self.generator
        return defended.loss(module, replace(batch, inputs=own))


class _Inside(Wrapped):
    """The spec from its embedding on: inputs are vectors (N, L, D) in the table's range."""

    def __init__(self, spec: ModelSpec, layer: torch.nn.Embedding, tokens: Tensor) -> None:
        super().__init__(spec)
        self._layer, self._tokens = layer, tokens
        table = layer.weight.detach()
        self._low, self._span = table.min(), (table.max() - table.min()).clamp_min(1e-12)
        self.vectors = (layer(tokens) - self._low) / self._span

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        """Of the vectors in the batch."""
        with embedding.replaced(self._layer, self._seen(batch.inputs)):
            return self.inner.loss(module, replace(batch, inputs=self._tokens))

    def predict(self, module: torch.nn.Module, inputs: Tensor) -> Any:
        """Of the vectors."""
        with embedding.replaced(self._layer, self._seen(inputs)):
            return self.inner.predict(module, self._tokens)

    def _seen(self, vectors: Tensor) -> Tensor:
        """The vectors in the layer's own units, with the gradient of the tokens' own ones."""
        learned = self.vectors - self.vectors.detach()
        seen: Tensor = (vectors + learned) * self._span + self._low
        return seen
