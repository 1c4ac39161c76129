"""What an attack on a classifier pushes up: per sample, larger is worse for the model.

Each takes logits (N, K), labels (N,) and the wrong classes aimed at (N,), and gives (N,).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The loss that models are trained with; it saturates when logits are large."""
    return F.cross_entropy(logits, labels, reduction="none")


def lead(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The best wrong logit less the right one; above 0 the sample is broken."""
    right = labels[:, None]
    others = logits.scatter(1, right, -torch.inf).amax(dim=1)
    return others - logits.gather(1, right).squeeze(1)


def dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein 2020, section 4.1), blind to the logits' scale.

    It needs three classes; with two it is the plain lead, which never saturates either.
    """
    ahead = lead(logits, labels, targets)
    if logits.shape[1] < 3:
        return ahead
    ordered = logits.sort(dim=1, descending=True).values
    return ahead / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_lead(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The logit aimed at less the right one."""
    return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The ratio towards one wrong class (section 4.3); with under four classes, the plain lead."""
    ahead = targeted_lead(logits, labels, targets)
    if logits.shape[1] < 4:
        return ahead
    ordered = logits.sort(dim=1, descending=True).values
    return ahead / (ordered[:, 0] - 0.5 * (ordered[:, 2] + ordered[:, 3]) + 1e-12)
