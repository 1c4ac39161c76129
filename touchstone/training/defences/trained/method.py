"""What defences in training share: chance that a resumed run repeats, and quiet networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch

from touchstone.training.defences import Defence
from touchstone.training.spec import Batch, ModelSpec
from touchstone.training.wrapped import Wrapped


class Trained(Wrapped):
    """A spec that trains otherwise; it answers as the inner one."""

    classifiers_only = False

    def __init__(self, spec: ModelSpec, defence: Defence, inputs: Mapping[str, Any]) -> None:
        super().__init__(spec)
        if self.classifiers_only and spec.task != "classification":
            raise ValueError(
                f"{defence.method} works on class probabilities, got the task {spec.task}; "
                "adversarial_training works on any task"
            )
        self.defence = defence
        self.inputs = inputs
        self.generator = torch.Generator().manual_seed(0)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """As the inner spec; the loss that follows draws from the same generator.

        The trainer makes it from seed, epoch and rank: a resumed run draws what it would have.
        """
        self.generator = generator
        return self.inner.augment(batch, generator)

    def logits(self, module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """A classifier's answers (N, K)."""
        return cast("torch.Tensor", self.inner.predict(module, inputs))


@contextmanager
def quiet(module: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Without dropout, as the network will answer, and in full precision.

    In bfloat16 the small differences that an attack begins from are lost in rounding.
    """
    before = module.training
    module.eval()
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        module.train(before)
