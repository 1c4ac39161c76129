"""What a model is judged on, and what it said: labelled samples, their groups, and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Task = Literal["classification", "detection", "regression"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boxes:
    """The objects of one image: true ones, or those a detector claims."""

    boxes: Floats
    """(n, 4): x1, y1, x2, y2 in pixels."""

    labels: Ints
    """(n,): class indices."""

    scores: Floats | None = None
    """(n,): confidence, for claims."""

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.boxes.shape != (count, 4):
            raise ValueError(f"got boxes of shape {self.boxes.shape}, expected ({count}, 4)")
        if self.scores is not None and self.scores.shape != (count,):
            raise ValueError(f"got scores of shape {self.scores.shape}, expected ({count},)")

    def __len__(self) -> int:
        return len(self.labels)

    def above(self, score: float) -> Boxes:
        """The claims at least as sure as `score`; true objects are returned as they are."""
        if self.scores is None:
            return self
        sure = self.scores >= score  # NaN is never sure
        return Boxes(boxes=self.boxes[sure], labels=self.labels[sure], scores=self.scores[sure])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Labelled samples: one of `labels` (classification), `objects` (detection) and `targets`
    (regression) is given."""

    inputs: NDArray[Any]
    """(N, C, H, W) images or (N, F) feature rows, float32; or (N, L) indices of tokens, int64."""

    classes: Sequence[str]
    labels: Ints | None = None
    """(N,): class indices."""

    objects: Sequence[Boxes] | None = None
    """One `Boxes` an image."""

    targets: Floats | None = None
    """(N,): numbers, of a regression."""

    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Protected attribute's name to each sample's value, (N,)."""

    raw: Sequence[Any] | None = None
    """Of each sample, what its inputs were encoded from, where that is known."""

    declared: tuple[str, ...] | None = None
    """Which of the groups the data say are protected attributes; None for all of them."""

    def __post_init__(self) -> None:
        truths = (self.labels, self.objects, self.targets)
        if sum(truth is not None for truth in truths) != 1:
            raise ValueError("got none or several of labels, objects and targets, expected one")
        sizes = {f"group {name}": len(values) for name, values in self.groups.items()}
        if self.labels is not None:
            sizes["labels"] = len(self.labels)
        if self.objects is not None:
            sizes["objects"] = len(self.objects)
        if self.targets is not None:
            sizes["targets"] = len(self.targets)
        if self.raw is not None:
            sizes["raw"] = len(self.raw)
        for name, size in sizes.items():
            if size != len(self.inputs):
                raise ValueError(f"got {size} entries of {name} for {len(self.inputs)} inputs")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def protected(self) -> tuple[str, ...]:
        """Names of the protected attributes that the data declare."""
        return tuple(self.groups) if self.declared is None else self.declared

    @property
    def detection(self) -> bool:
        """Whether the task is to find objects, not to classify."""
        return self.objects is not None

    @property
    def task(self) -> Task:
        """What the truth is of."""
        if self.targets is not None:
            return "regression"
        return "detection" if self.detection else "classification"

    def take(self, index: Ints) -> Samples:
        """The samples at `index`, in that order."""
        return Samples(
            inputs=self.inputs[index],
            classes=self.classes,
            labels=None if self.labels is None else self.labels[index],
            objects=None if self.objects is None else [self.objects[i] for i in index],
            targets=None if self.targets is None else self.targets[index],
            groups={name: values[index] for name, values in self.groups.items()},
            raw=None if self.raw is None else [self.raw[i] for i in index],
            declared=self.declared,
        )
