"""Does the model make of raw values, which it is served, the inputs that it is judged on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trust_gates.inputs.arrays import differing
from trust_gates.samples import Bools, Samples
from trust_gates.statistics import Measure, exact, missing
from trust_gates.target import Answering

NOTE = (
    "raw values are encoded by code of the model's repository: what it makes of other values than "
    "these nobody has seen"
)
_ALONE = 64
"""Samples whose raw value is encoded alone too, as most requests send it."""


def otherwise(target: Answering, samples: Samples, seed: int) -> Measure | None:
    """How many samples' raw value gives other inputs, together or alone, or cannot be encoded.

    None where the model is served inputs only.

    Raises:
        GateError: its `encode` fails, or gives something else than inputs.
    """
    if target.encode is None:
        return None
    if samples.raw is None or not len(samples):
        return missing("the data have no raw values (`raw`) that its `encode` could be held to")
    other = _other(target, samples, [np.arange(len(samples))])
    drawn = np.random.default_rng(seed).permutation(len(samples))[:_ALONE]
    other |= _other(target, samples, [np.array([row]) for row in drawn])
    return exact(float(other.sum()), len(samples))


def _other(target: Answering, samples: Samples, parts: Sequence[Any]) -> Bools:
    """(N,): of the rows in the parts, each of which is encoded together."""
    assert target.encode is not None and samples.raw is not None  # noqa: S101, PT018 (asked)
    found = np.zeros(len(samples), dtype=bool)
    for rows in parts:
        try:
            encoded = target.encode([samples.raw[row] for row in rows])
        except ValueError:  # it says so of one of them
            if len(rows) == 1:
                found[rows] = True
            else:
                found |= _other(target, samples, [np.array([row]) for row in rows])
            continue
        found[rows] = differing(encoded, samples.inputs[rows])
    return found
