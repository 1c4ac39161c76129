"""Decisions with what was attributed to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.embedded import Space
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.subject import Subject
from trust_gates.samples import Samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """The decisions of one model that were explained."""

    everything: Samples
    """All samples, as they came."""

    samples: Samples
    """Those that the decisions were chosen from: of tokens as their vectors, else all."""

    space: Space | None
    """What tokens became; None for others."""

    names: Sequence[str]
    """Of the features of rows or the channels of images; of tokens none."""

    subject: Subject
    parts: Parts
    attributions: NDArray[np.float64]
    """(n, F) or (n, C, H, W)."""

    relevance: NDArray[np.float64]
    """(n, parts): the attributions of each part together."""

    weights: NDArray[np.float64]
    """(R, n): resamples of the decisions."""
