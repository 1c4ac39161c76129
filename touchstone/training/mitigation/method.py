"""What a mitigation gets and gives.

A module of `preprocessing` offers `prepare(cases, mitigation, seed) -> Prepared`, one of
`inprocessing` `wrap(spec, mitigation, favorable) -> ModelSpec`, and one of `postprocessing`
`fit(scores, truth, privileged, mitigation) -> Steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training.mitigation.served import Repair
from touchstone.training.spec import Batch, ModelSpec, Parameter, RawData

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cases:
    """A split as mitigations see it."""

    inputs: np.ndarray
    """float32 (N, F) or (N, C, H, W), from `low` to `high`."""

    labels: np.ndarray
    """(N,) int64."""

    group: np.ndarray
    """(N,) int64, index of the protected attribute's value."""

    privileged: np.ndarray
    """(N,) bool."""

    favorable: int
    low: float
    high: float
    feature: int | None = None
    """The input's feature that holds the protected attribute, where there is one."""

    @property
    def truth(self) -> np.ndarray:
        """(N,) bool: is the label the favorable one?"""
        return np.asarray(self.labels == self.favorable)

    def rows(self, method: str) -> np.ndarray:
        """The inputs as float64 (N, F).

        Raises:
            ValueError: the inputs are no feature rows.
        """
        if self.inputs.ndim != 2:
            raise ValueError(
                f"{method} repairs feature rows (N, F), got inputs {self.inputs.shape}; "
                "reweighing and the inprocessing methods work on any inputs"
            )
        return self.inputs.astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Training data after preprocessing."""

    inputs: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None
    """(N,) float32, of mean 1; None where all rows weigh the same."""

    repair: Repair | None = None
    """What also changes inputs that the trained model is asked about later."""


class Wrapped(ModelSpec):
    """A model repository's spec with another loss."""

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


def log_odds(spec: ModelSpec, module: torch.nn.Module, batch: Batch, favorable: int) -> Any:
    """(N,): log odds of the favorable class against all others, differentiable."""
    import torch

    logits: Any = spec.predict(module, batch.inputs)
    others = [index for index in range(logits.shape[1]) if index != favorable]
    return logits[:, favorable] - torch.logsumexp(logits[:, others], dim=1)


def gaps(odds: torch.Tensor, batch: Batch, favorable: int, constraint: str) -> list[Any]:
    """Mean score of the unprivileged less that of the privileged.

    Of all rows (demographic parity), or of each label's rows (equalized odds). A part of the
    batch where a group is absent tells nothing, and is left out.
    """
    score, privileged = odds.sigmoid(), batch.privileged
    assert privileged is not None and batch.labels is not None  # noqa: S101 (set with mitigation)
    true = batch.labels == favorable
    parts = [true | ~true] if constraint == "demographic_parity" else [true, ~true]
    sides = [(score[part & ~privileged], score[part & privileged]) for part in parts]
    return [low.mean() - high.mean() for low, high in sides if len(low) and len(high)]
