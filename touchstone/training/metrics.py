"""How good a model is on one split: the figures that tuning compares and training reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training.dataset import Arrays, batch_of
from touchstone.training.detection import Found, mean_average_precision, objects_found
from touchstone.training.spec import Description, ModelSpec

if TYPE_CHECKING:
    import torch

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
    share of objects found with IoU >= 0.5 and the right class. All from 0 to 1.

    Raises:
        ValueError: there are no samples, or `predict` returned something else than promised.
    """
    if not len(arrays["inputs"]):
        raise ValueError("got no samples to evaluate on, expected at least one")
    if description.task == "classification":
        return classification(arrays["labels"], predict_logits(spec, module, arrays, device))
    found = predict_objects(spec, module, arrays, device)
    boxes, labels = arrays["boxes"], arrays["box_labels"]
    hits = [
        objects_found(image, truth[names >= 0], names[names >= 0])
        for image, truth, names in zip(found, boxes, labels, strict=True)
    ]
    return {
        "map50": mean_average_precision(found, boxes, labels, classes=len(description.classes)),
        "recall": float(np.concatenate(hits).mean()),
    }


def predict_logits(
    spec: ModelSpec, module: torch.nn.Module, arrays: Arrays, device: str = "cpu"
) -> np.ndarray:
    """Logits (N, K) of a classifier for all samples."""
    parts = []
    for output in _predict(spec, module, arrays, device):
        if not hasattr(output, "ndim") or output.ndim != 2:
            raise ValueError(f"predict returned {type(output).__name__}, expected logits (N, K)")
        parts.append(output.float().cpu().numpy())
    return np.concatenate(parts)


def predict_objects(
    spec: ModelSpec, module: torch.nn.Module, arrays: Arrays, device: str = "cpu"
) -> list[Found]:
    """What a detector finds in each sample."""
    return [
        Found(
            image.boxes.float().cpu().numpy(),
            image.labels.cpu().numpy(),
            image.scores.float().cpu().numpy(),
        )
        for output in _predict(spec, module, arrays, device)
        for image in output
    ]


def _predict(
    spec: ModelSpec, module: torch.nn.Module, arrays: Arrays, device: str
) -> Iterator[Any]:
    import torch

    was_training = module.training
    module.eval()
    with torch.inference_mode():
        for start in range(0, len(arrays["inputs"]), _ROWS):
            batch = batch_of(arrays, slice(start, start + _ROWS), device)
            yield spec.predict(module, batch.inputs)
    module.train(was_training)


def classification(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """`accuracy` and `balanced_accuracy` of logits or probabilities (N, K)."""
    right = logits.argmax(axis=1) == labels
    recalls = [right[labels == label].mean() for label in np.unique(labels)]
    return {"accuracy": float(right.mean()), "balanced_accuracy": float(np.mean(recalls))}
