"""How good a model is on one split: the figures that tuning compares and training reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training import given
from touchstone.training.dataset import batch_of
from touchstone.training.spec import Description, ModelSpec
from trust_gates.inputs.arrays import Arrays
from trust_gates.inputs.dataset import samples_of
from trust_gates.matching import PrecisionTable, recalled_surely
from trust_gates.quality import regression
from trust_gates.quality.classification import Answers
from trust_gates.samples import Boxes, Samples
from trust_gates.target import boxes_of

if TYPE_CHECKING:
    import torch

FIGURES: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy"),
    "detection": ("map50", "recall"),
    "regression": ("r2", "mean_absolute_error", "root_mean_squared_error"),
}
"""By task; each is better the larger it is, but for those of `ERRORS`."""

ERRORS = frozenset({"mean_absolute_error", "root_mean_squared_error"})

_ROWS = 128
"""Samples predicted at once."""


def evaluate(
    spec: ModelSpec,
    module: torch.nn.Module,
    description: Description,
    arrays: Arrays,
    *,
    device: str = "cpu",
) -> dict[str, float]:
    """Figures by name.

    Classification: `accuracy`, `balanced_accuracy`. Detection: `map50`, and `recall`, the
    share of objects found; these are from 0 to 1. Regression: `r2`, and `mean_absolute_error` and
    `root_mean_squared_error` in the target's units. All are what the quality gate means by them.

    Raises:
        ValueError: there are no samples, or `predict` returned something else than promised.
    """
    if not len(arrays["inputs"]):
        raise ValueError("got no samples to evaluate on, expected at least one")
    samples = samples_of(arrays, task=description.task, classes=description.classes, protected={})
    if samples.targets is not None:
        said = regression.Answers.of(predict_numbers(spec, module, arrays, device), samples)
        found = said.figures(np.ones((1, len(samples))))
        return {name: float(found[name][0]) for name in FIGURES["regression"]}
    if samples.objects is None:
        classes = len(description.classes)
        logits = predict_logits(spec, module, arrays, device, classes=classes)
        return classification(logits, samples)
    claims = predict_objects(spec, module, arrays, device)
    table = PrecisionTable.of(claims, samples.objects, len(samples.classes))
    with np.errstate(invalid="ignore"):
        recall = recalled_surely(claims, samples.objects).sum() / table.objects.sum()
    return {
        "map50": float(table.map50(np.ones((1, len(samples))))[0]),
        "recall": float(recall),
    }


def classification(answers: np.ndarray, samples: Samples) -> dict[str, float]:
    """`accuracy` and `balanced_accuracy` of logits or probabilities (N, K)."""
    said = Answers.of(answers, samples)
    balanced = said.figures(np.ones((1, len(samples))))["balanced_accuracy"]
    return {"accuracy": float(said.right.mean()), "balanced_accuracy": float(balanced[0])}


def predict_logits(
    spec: ModelSpec,
    module: torch.nn.Module,
    arrays: Arrays,
    device: str = "cpu",
    *,
    classes: int | None = None,
) -> np.ndarray:
    """Logits (N, K) of a classifier for all samples; of so many classes, where it is known."""
    return np.concatenate(
        [
            given.logits(spec, output, samples, classes).float().cpu().numpy()
            for output, samples in _predict(spec, module, arrays, device)
        ]
    )


def predict_numbers(
    spec: ModelSpec, module: torch.nn.Module, arrays: Arrays, device: str = "cpu"
) -> np.ndarray:
    """Numbers (N, 1) of a regression for all samples."""
    return np.concatenate(
        [
            given.numbers(spec, output, samples).float().cpu().numpy()
            for output, samples in _predict(spec, module, arrays, device)
        ]
    )


def predict_objects(
    spec: ModelSpec, module: torch.nn.Module, arrays: Arrays, device: str = "cpu"
) -> list[Boxes]:
    """What a detector claims to see in each sample."""
    return [
        boxes_of(image)
        for output, images in _predict(spec, module, arrays, device)
        for image in given.detections(spec, output, images)
    ]


def _predict(
    spec: ModelSpec, module: torch.nn.Module, arrays: Arrays, device: str
) -> Iterator[tuple[Any, int]]:
    """What the model answers to each part of the samples, and how many it has."""
    import torch

    was_training = module.training
    module.eval()
    with torch.inference_mode():
        for start in range(0, len(arrays["inputs"]), _ROWS):
            batch = batch_of(arrays, slice(start, start + _ROWS), device)
            yield spec.predict(module, batch.inputs), len(batch.inputs)
    module.train(was_training)
