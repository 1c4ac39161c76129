"""What a mitigation gets and gives.

A module of `preprocessing` offers `prepare(cases, mitigation, seed) -> Prepared`, one of
`inprocessing` `wrap(spec, mitigation, favorable) -> ModelSpec`, and one of `postprocessing`
`fit(scores, truth, privileged, mitigation) -> Steps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training.mitigation.served import Repair
from touchstone.training.spec import Batch, ModelSpec

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
