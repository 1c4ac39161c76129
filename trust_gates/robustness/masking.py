"""Does the model only hide its gradients? Then its robustness to white-box attacks is a mirage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.1
"""A black-box attack may find this share more than the white-box ones left over."""

NEAR_ZERO = 0.1
"""At a budget that can turn every input grey, no more than this share may still be right."""

VANISHED = 0.1
"""At most this share of samples may have a loss gradient of exactly zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What the attacks left, as shares from 0 to 1; NaN where nothing was measured."""

    clean: float
    noise: float
    fgsm: float
    white_box: float
    black_box: float
    """After the black-box attacks as well: never above `white_box`."""

    unbounded: float
    """At the end of the sweep."""

    vanished: float
    """Share of samples with a gradient of exactly zero."""

    def flags(self) -> list[str]:
        """Why gradients may be masked, in words; empty when nothing points to it."""
        flags = []
        if not self.white_box - self.black_box <= MARGIN:
            flags.append(
                f"black-box attacks found {self.white_box - self.black_box:.2f} more than "
                f"white-box ones, expected at most {MARGIN}"
            )
        if not self.unbounded <= NEAR_ZERO:
            flags.append(
                f"{self.unbounded:.2f} is still right at the largest epsilon, "
                f"expected at most {NEAR_ZERO}"
            )
        lost = self.clean - self.noise
        if lost > MARGIN / 2 and lost >= self.clean - self.fgsm:
            flags.append(
                f"random noise costs {lost:.2f}, as much as FGSM "
                f"({self.clean - self.fgsm:.2f}), which follows the gradient"
            )
        if not self.vanished <= VANISHED:
            flags.append(
                f"{self.vanished:.2f} of the samples have no gradient at all, "
                f"expected at most {VANISHED}"
            )
        return flags


def vanished(gradients: Sequence[NDArray[np.float32]]) -> float:
    """The share of samples whose gradient is exactly zero or not finite."""
    dead = [
        not np.isfinite(gradient).all() or not np.any(gradient)
        for batch in gradients
        for gradient in batch
    ]
    return float(np.mean(dead)) if dead else float("nan")
