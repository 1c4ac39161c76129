"""Attributions that are known to be bad, of the same decisions: does the policy refuse them?

A policy that lets them pass asks for nothing, and that a model passes it shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability.faithfulness import Curves
from trust_gates.explainability.sanity import rank_correlation
from trust_gates.self_test import proved, refuses
from trust_gates.statistics import Measure, Requirement, decide, mean, proportion

Array = NDArray[np.float64]


def check_policy(
    requirements: Sequence[Requirement],
    curves: Curves,
    relevance: Array,
    weights: Array,
    *,
    confidence: float,
    seed: int,
) -> str:
    """A note of which bad attributions the policy refused.

    Args:
        curves: of the model's own attributions and of random ones.
        relevance: (n, parts), of which only the shape is used.
        weights: (resamples, n).

    Raises:
        PolicyError: it refused none of them.
    """
    generator, count = np.random.default_rng(seed), len(relevance)
    drawn = [generator.random(relevance.shape) for _ in range(2)]
    cases: dict[str, Mapping[str, Measure]] = {
        "an attribution drawn at random": {
            **gains(curves.at_random, weights),
            "stability": mean(rank_correlation(*drawn), weights),
        },
        "the attribution turned around": gains(curves.turned, weights),
        "one that lies wholly on what must not count": {
            "protected_share": proportion(count, count),
            "attribution_inside": proportion(0, count),
            "pointing_game": proportion(0, count),
        },
    }
    refused = {}
    for case, measures in cases.items():
        some = [one for one in requirements if one.metric in measures]
        checks = decide("", measures, some, confidence=confidence, minimum=0)
        refused[case] = refuses(checks)
    return proved("explainability", refused)


def gains(curves: Curves, weights: Array) -> dict[str, Measure]:
    """What curves (n, steps) show, over resamples (resamples, n) of the decisions."""
    return {
        "faithfulness": mean(curves.faithfulness, weights),
        "deletion_gain": mean(curves.deletion_gain, weights),
        "insertion_gain": mean(curves.insertion_gain, weights),
    }
