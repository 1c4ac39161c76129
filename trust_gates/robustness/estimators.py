"""The model as ART's attacks know it. Importing this imports ART: only from inside functions."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from art.estimators.object_detection.object_detector import ObjectDetectorMixin
from art.estimators.pytorch import PyTorchEstimator
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.samples import Boxes
from trust_gates.target import Target, padded

_REMEMBERED = 4096
"""Answers kept; a few hundred bytes each."""


class DetectorEstimator(ObjectDetectorMixin, PyTorchEstimator):  # type: ignore[misc]
    """Any detector that has a loss, as an object detector of ART's.

    ART's own detectors need torchvision and models of its calling conventions. Labels and
    predictions are in ART's form: per image a dict of `boxes` (n, 4), `labels` and `scores`.
    """

    estimator_params = PyTorchEstimator.estimator_params

    def __init__(self, target: Target, input_shape: Sequence[int]) -> None:
        if target.loss is None:
            raise ValueError("got a detector without a loss; its attacks need one")
        super().__init__(
            model=target.module,
            clip_values=(target.low, target.high),
            channels_first=True,
            device_type=device_type(target),
        )
        self._target = target
        self._loss = target.loss
        self._input_shape = tuple(input_shape)

    @property
    def native_label_is_pytorch_format(self) -> bool:
        return True

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self._input_shape

    def predict(
        self, x: NDArray[np.float32], batch_size: int = 128, **kwargs: Any
    ) -> NDArray[np.object_]:
        """(N,) of dicts, an array so that attacks can index it with masks."""
        return as_labels(self._target.claims(x))

    def loss_gradient(
        self, x: NDArray[np.float32], y: Sequence[dict[str, Any]], **kwargs: Any
    ) -> NDArray[np.float32]:
        """The gradient of the detector's own loss, shaped as `x`."""
        boxes, labels = padded([Boxes(boxes=image["boxes"], labels=image["labels"]) for image in y])
        self._target.module.eval()
        inputs = self._target.tensor(x).requires_grad_()
        loss = self._loss(
            inputs,
            torch.from_numpy(boxes).to(self._target.device),
            torch.from_numpy(labels).to(self._target.device),
        )
        if not loss.requires_grad:
            raise GateError("the detector's loss does not depend on its inputs differentiably")
        (gradient,) = torch.autograd.grad(loss, inputs)
        result: NDArray[np.float32] = gradient.contiguous().cpu().numpy()
        return result

    def fit(self, x: Any, y: Any, batch_size: int = 128, nb_epochs: int = 20, **kw: Any) -> None:
        raise NotImplementedError("a gate judges a model and never trains it")

    def get_activations(self, x: Any, layer: Any, batch_size: int, framework: bool = False) -> Any:
        raise NotImplementedError("a gate asks for predictions and gradients only")


class RememberingDetector(DetectorEstimator):
    """The same, answering a question it was asked lately from memory.

    ART's Square asks about each picture it keeps two times more, and a detector's answer costs
    far more than a digest.
    """

    def __init__(self, target: Target, input_shape: Sequence[int]) -> None:
        super().__init__(target, input_shape)
        self._memory: dict[bytes, dict[str, Any]] = {}

    def predict(
        self, x: NDArray[np.float32], batch_size: int = 128, **kwargs: Any
    ) -> NDArray[np.object_]:
        keys = [blake2b(image.tobytes(), digest_size=16).digest() for image in x]
        new = [index for index, key in enumerate(keys) if key not in self._memory]
        known = {key: self._memory[key] for key in keys if key in self._memory}
        if len(self._memory) + len(new) > _REMEMBERED:
            self._memory = dict(known)
        answers = super().predict(x[new]) if new else ()
        known |= {keys[index]: answer for index, answer in zip(new, answers, strict=True)}
        self._memory |= known
        labels = np.empty(len(x), dtype=object)
        for index, key in enumerate(keys):
            labels[index] = known[key]
        return labels


class _Logits(torch.nn.Module):
    """The model's logits as a module's output, in the float type it was trained in.

    With numpy 2 some attacks hand over doubles, which the weights refuse.
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.inner = target.module
        self._target = target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._target.differentiable(x)


def classifier(target: Target, classes: int, input_shape: Sequence[int]) -> PyTorchClassifier:
    """ART's own estimator around the model."""
    module = _Logits(target)
    module.eval()
    return PyTorchClassifier(
        model=module,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=tuple(input_shape),
        nb_classes=classes,
        clip_values=(target.low, target.high),
        device_type=device_type(target),
    )


def as_labels(objects: Sequence[Boxes]) -> NDArray[np.object_]:
    """(N,) of dicts in ART's form."""
    labels = np.empty(len(objects), dtype=object)
    for index, image in enumerate(objects):
        labels[index] = {"boxes": image.boxes, "labels": image.labels}
        labels[index]["scores"] = np.ones(len(image)) if image.scores is None else image.scores
    return labels


def device_type(target: Target) -> str:
    """ART's name of the device."""
    return "cpu" if target.device == "cpu" else "gpu"
