"""A compact anchor-free detector: every cell of a grid says what is centred in it, and how big."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import scenes
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from touchstone.training import Batch, Description, Detection, ModelSpec, Parameter, RawData

STRIDE = 4
"""Pixels a grid cell covers, in each direction."""

_MOST_FOUND = 20
"""Detections kept per image, far above the number of objects in a scene."""

_SURE = 0.3
"""Score from which a detection is reported; below it the detector says nothing."""

_CENTER = 1.0
"""Cells from an object's centre cell that are answerable for it."""


class GridDetector(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to (N, K + 4, H/4, W/4): class logits, then box distances.

    Distances are to the left, top, right and bottom edge from the cell's centre, in units of
    exp(logit) × STRIDE pixels.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
                nn.GroupNorm(4, width),
                nn.ReLU(),
            )
            for dilation in (1, 1, 2, 1)
        )
        self.head = nn.Conv2d(width, classes + 4, 1)
        with torch.no_grad():
            self.head.bias.zero_()
            # Few cells hold an object: start from that belief, else the empty ones drown the rest.
            self.head.bias[:classes] = -3.0
            self.head.bias[classes:] = 0.6

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stem(images - 0.5)
        for block in self.blocks:
            features = features + block(features)
        return self.head(features)


class ObjectDetector(ModelSpec):
    """Finds shapes in generated scenes; lighting is the protected attribute."""

    task = "detection"

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """Generate scenes; `generate?night=0.02&scenes=1500` overrides the defaults.

        `night` is the share of night scenes to learn from. The held-out scenes are always
        half by night, so a skew shows up in the measurement and is not hidden by it.
        """
        options = {"night": 0.5, "scenes": 1400.0, "held_out": 500.0}
        parts = urlsplit(uri)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path != "generate" or parts.scheme or not given.keys() <= options.keys():
            raise ValueError(
                f"got data uri {uri!r}, expected generate, with any of {sorted(options)} "
                "after a question mark, as generate?night=0.02"
            )
        try:
            options |= {name: float(value) for name, value in given.items()}
        except ValueError:
            raise ValueError(f"got data uri {uri!r}, expected a number for each option") from None
        if not 0 <= options["night"] <= 1 or min(options["scenes"], options["held_out"]) < 1:
            raise ValueError(
                f"got data uri {uri!r}, expected night from 0 to 1 and at least one scene"
            )
        learn, test = (np.random.default_rng([seed, part]) for part in (0, 1))
        parts_ = (
            scenes.generate(int(options["scenes"]), night=options["night"], generator=learn),
            scenes.generate(int(options["held_out"]), night=0.5, generator=test),
        )
        arrays = {name: np.concatenate([part[name] for part in parts_]) for name in parts_[0]}
        arrays["held_out"] = np.repeat([0, 1], [len(part["inputs"]) for part in parts_])
        return RawData(
            description=Description(
                task=self.task,
                classes=scenes.CLASSES,
                inputs={
                    "shape": [3, scenes.SIZE, scenes.SIZE],
                    "low": 0.0,
                    "high": 1.0,
                    "kind": "image",
                    "features": ["red", "green", "blue"],
                },
                protected={"lighting": scenes.LIGHTING},
                seed=seed,
            ),
            arrays=arrays,
        )

    def build(self, parameters: Mapping[str, Parameter]) -> GridDetector:
        """Hyperparameters: `width`, channels of the grid, a multiple of 4."""
        return GridDetector(width=int(parameters.get("width", 32)), classes=len(scenes.CLASSES))

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Mirror half of the batches and add faint noise, which an attack also is."""
        images, boxes = batch.inputs, batch.boxes
        if torch.rand((), generator=generator) < 0.5:
            images = images.flip(3)
            width = images.shape[3]
            boxes = torch.stack(
                (width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]), dim=-1
            )
        noise = torch.randn(images.shape, generator=generator).to(images)
        return Batch(
            inputs=(images + 0.02 * noise).clamp(0, 1), boxes=boxes, box_labels=batch.box_labels
        )

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """Focal loss of the classes plus 1 - GIoU of the boxes: the mean over images."""
        output = module(batch.inputs)
        classes = len(scenes.CLASSES)
        wanted, boxes, positive = _targets(batch, output.shape[2:])
        logits = output[:, :classes]
        surprise = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        missed = (wanted - logits.sigmoid()).abs()
        focal = (surprise * missed**2).sum()
        predicted = _decode(output[:, classes:])
        overlap = (1 - _giou(predicted, boxes)) * positive
        return (focal + overlap.sum()) / len(batch.inputs)

    def predict(self, module: nn.Module, inputs: torch.Tensor) -> list[Detection]:
        """Every cell's best class above `_SURE`, thinned by suppression per class."""
        output = module(inputs)
        classes = len(scenes.CLASSES)
        scores, labels = output[:, :classes].sigmoid().flatten(2).max(dim=1)
        boxes = _decode(output[:, classes:]).flatten(1, 2)
        boxes = boxes.clamp(0, max(inputs.shape[2:]))
        return [_thin(*image) for image in zip(boxes, labels, scores, strict=True)]


def _cells(shape: torch.Size, device: torch.device) -> torch.Tensor:
    """Centres (H, W, 2) of the grid's cells, x and y in pixels."""
    rows, columns = (torch.arange(size, device=device) for size in shape)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return (torch.stack((x, y), dim=-1) + 0.5) * STRIDE


def _decode(distances: torch.Tensor) -> torch.Tensor:
    """(N, 4, H, W) logits of distances to boxes (N, H, W, 4), xyxy pixels."""
    cells = _cells(distances.shape[2:], distances.device)
    reach = distances.clamp(-4, 3).exp().permute(0, 2, 3, 1) * STRIDE
    return torch.cat((cells - reach[..., :2], cells + reach[..., 2:]), dim=-1)


def _targets(batch: Batch, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What each cell should say.

    Returns:
        classes (N, K, H, W) of 0 and 1, boxes (N, H, W, 4), positive (N, H, W) of 0 and 1:
        the cells whose centre is near an object's centre.
    """
    boxes, labels = batch.boxes, batch.box_labels
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    cells = _cells(shape, boxes.device)
    away = (cells[None, None] - centers[:, :, None, None]).abs().amax(dim=-1)  # (N, M, H, W)
    away = away.masked_fill((labels < 0)[:, :, None, None], torch.inf)
    distance, nearest = away.min(dim=1)
    positive = (distance <= _CENTER * STRIDE).to(boxes.dtype)
    images = torch.arange(len(boxes), device=boxes.device)[:, None, None]
    classes = F.one_hot(labels[images, nearest].clamp(min=0), len(scenes.CLASSES))
    wanted = classes.permute(0, 3, 1, 2) * positive[:, None]
    return wanted, boxes[images, nearest], positive


def _giou(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Generalised intersection over union of boxes (..., 4), pairwise along the last axis."""
    shared = _area(
        torch.maximum(left[..., :2], right[..., :2]), torch.minimum(left[..., 2:], right[..., 2:])
    )
    hull = _area(
        torch.minimum(left[..., :2], right[..., :2]), torch.maximum(left[..., 2:], right[..., 2:])
    )
    union = _area(left[..., :2], left[..., 2:]) + _area(right[..., :2], right[..., 2:]) - shared
    return shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def _area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    return (high - low).clamp(min=0).prod(dim=-1)


def _thin(
    boxes: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor, *, overlap: float = 0.4
) -> Detection:
    """Keep the best of the boxes of one class that overlap by more than `overlap` (IoU)."""
    scores, order = scores.topk(min(_MOST_FOUND * 2, len(scores)))
    boxes, labels = boxes[order], labels[order]
    shared = _area(
        torch.maximum(boxes[:, None, :2], boxes[None, :, :2]),
        torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:]),
    )
    area = _area(boxes[:, :2], boxes[:, 2:])
    iou = shared / (area[:, None] + area[None] - shared).clamp(min=1e-6)
    rivals = ((iou > overlap) & (labels[:, None] == labels[None])).triu(1).tolist()
    kept: list[int] = []
    for index, score in enumerate(scores.tolist()):
        if score < _SURE or len(kept) == _MOST_FOUND:
            break
        if not any(rivals[better][index] for better in kept):
            kept.append(index)
    return Detection(boxes=boxes[kept], labels=labels[kept], scores=scores[kept])
