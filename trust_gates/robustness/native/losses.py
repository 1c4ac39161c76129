"""What an attack on a classifier pushes up: per sample, larger is worse for the model.

Each takes logits (N, K), labels (N,) and the wrong classes aimed at (N,), and gives (N,).
"""

from __future__ import annotations

import torch
from torch import Tensor

_SURE = 5.0
"""The lead that each sample's logits are brought to: as sure as trained networks commonly are, so
that the likeliest wrong classes count and hopeless ones do not."""


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The loss that models are trained with, as the log-odds of a wrong answer.

    The log-odds rise with the cross-entropy and have its direction, but no float is too small for
    them: a softmax in float32 has lost half of the direction at a lead of 17 and all of it at 104.
    """
    return _log_odds(logits, labels, torch.ones_like(logits[:, 0]))


def scaled_cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The same blind to the scale of the logits, at a temperature of each sample's own.

    A model that multiplies its logits by a number decides as before, but changes how much each
    wrong class counts. Carlini & Wagner 2016, "Defensive distillation is not robust to adversarial
    examples", divide by a number too, and Yu & Xu 2023, "Efficient loss function by minimizing the
    detrimental effect of floating-point errors on gradient-based attacks", by the lead.
    """
    return _log_odds(logits, labels, temperature(logits, labels))


def temperature(logits: Tensor, labels: Tensor, *, sure: float = _SURE) -> Tensor:
    """(N,): what brings each sample's lead to `sure` when logits are divided by it."""
    ahead = lead(logits.detach(), labels, labels).abs()
    return (ahead / sure).clamp_min(torch.finfo(logits.dtype).tiny)


def _log_odds(logits: Tensor, labels: Tensor, heat: Tensor) -> Tensor:
    others = logits.scatter(1, labels[:, None], -torch.inf)
    best = others.detach().amax(dim=1)
    odds = heat * ((others - best[:, None]) / heat[:, None]).logsumexp(dim=1) + best
    return odds - logits.gather(1, labels[:, None]).squeeze(1)


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
