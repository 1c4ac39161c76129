"""A model repository's spec with something done otherwise, as defences and mitigations do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from touchstone.training.spec import Batch, ModelSpec, Parameter, RawData

if TYPE_CHECKING:
    import numpy as np
    import torch


class Wrapped(ModelSpec):
    """A model repository's spec; what a subclass does not say is the spec's own."""

    def __init__(self, spec: ModelSpec) -> None:
        self.inner = spec
        self.task = spec.task  # type: ignore[misc]  # each wrapper has its own spec's

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """As the inner spec."""
        return self.inner.load_data(uri, seed=seed)

    def build(self, parameters: Mapping[str, Parameter]) -> torch.nn.Module:
        """As the inner spec."""
        return self.inner.build(parameters)

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """As the inner spec."""
        return self.inner.loss(module, batch)

    def predict(self, module: torch.nn.Module, inputs: torch.Tensor) -> Any:
        """As the inner spec."""
        return self.inner.predict(module, inputs)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """As the inner spec."""
        return self.inner.augment(batch, generator)

    def embedding(self, module: torch.nn.Module) -> torch.nn.Embedding | None:
        """As the inner spec."""
        return self.inner.embedding(module)

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """As the inner spec."""
        return self.inner.encode(values)
