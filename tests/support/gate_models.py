"""Small models with known robustness, and samples to judge them on."""

from types import SimpleNamespace

import numpy as np
import torch

from trust_gates.policy import Check
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target


def required(metric, low=None, high=None):
    """A policy's check that the metric is from `low` to `high`; None leaves that side open."""
    if low is None or high is None:
        return Check(metric=metric, at_least=low, at_most=high)
    return Check(metric=metric, within=(low, high))


class Linear(torch.nn.Module):
    """Two classes, split by w.x = w.0.5; `scale` multiplies the logits."""

    def __init__(self, weight, scale=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.as_tensor(weight, dtype=torch.float32))
        self.scale = scale

    def forward(self, x):
        score = (x - 0.5).flatten(1) @ self.weight
        return torch.stack((-score, score), dim=1) * self.scale


def linear_target(weight, scale=1.0):
    module = Linear(weight, scale)
    return Target(module=module, predict=module, low=0.0, high=1.0)


def linear_samples(weight, count=200, seed=0, spread=0.1):
    """Samples well inside [0, 1] with the labels that the linear model gives them."""
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(0.5 - spread, 0.5 + spread, size=(count, len(weight)))
    inputs = inputs.astype(np.float32)
    labels = ((inputs - 0.5) @ np.asarray(weight) > 0).astype(np.int64)
    return Samples(inputs=inputs, classes=["no", "yes"], labels=labels)


def many_class_linear(norm, classes=5, features=20, count=150, seed=0):
    """A linear model of several classes, samples it gets right, and each one's exact distance to
    the nearest wrong class, far from the ends of [0, 1]."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(classes, features))
    module = torch.nn.Linear(features, classes)
    module.weight.data = torch.as_tensor(weight, dtype=torch.float32)
    module.bias.data = torch.as_tensor(-weight.sum(axis=1) / 2, dtype=torch.float32)
    inputs = generator.uniform(0.4, 0.6, size=(count, features)).astype(np.float32)
    logits = (inputs - 0.5) @ weight.T
    labels = logits.argmax(axis=1)
    dual = {"linf": 1, "l2": 2, "l1": np.inf}[norm]
    gaps = logits[np.arange(count), labels][:, None] - logits
    slopes = np.linalg.norm(weight[labels][:, None] - weight[None], ord=dual, axis=2)
    distances = np.where(slopes > 0, gaps / np.where(slopes > 0, slopes, 1), np.inf).min(axis=1)
    samples = Samples(inputs=inputs, classes=[str(k) for k in range(classes)], labels=labels)
    return Target(module=module, predict=module, low=0.0, high=1.0), samples, distances


def small_convolution(seed=0, margin=0.0, classes=5):
    """An untrained network on 12 x 12 pictures, judged on its own answers."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 6, 3, stride=2),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(150, classes),
    )
    target = Target(module=module, predict=module, low=0.0, high=1.0)
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(margin, 1 - margin, size=(60, 2, 12, 12)).astype(np.float32)
    labels = target.logits(inputs).argmax(axis=1)
    return target, Samples(inputs=inputs, classes=list("abcde")[:classes], labels=labels)


class SpotDetector(torch.nn.Module):
    """Sees a bright square in each quarter of a 16 x 16 image: objects of class 0."""

    boxes = torch.tensor([[x, y, x + 8.0, y + 8.0] for y in (0, 8) for x in (0, 8)])

    def forward(self, x):
        quarters = torch.nn.functional.avg_pool2d(x.mean(dim=1, keepdim=True), 8)
        return (quarters.flatten(1) - 0.5) * 20


def spot_target():
    module = SpotDetector()

    def predict(x):
        found = []
        for scores in module(x).sigmoid():
            keep = scores > 0.05
            found.append(
                SimpleNamespace(
                    boxes=module.boxes[keep],
                    labels=torch.zeros(int(keep.sum()), dtype=torch.int64),
                    scores=scores[keep],
                )
            )
        return found

    def loss(x, boxes, labels):
        wanted = torch.zeros(len(x), 4)
        for image, (image_boxes, image_labels) in enumerate(zip(boxes, labels, strict=True)):
            for box in image_boxes[image_labels >= 0]:
                wanted[image, int(box[1] // 8 * 2 + box[0] // 8)] = 1
        return torch.nn.functional.binary_cross_entropy_with_logits(module(x), wanted)

    return Target(module=module, predict=predict, loss=loss, low=0.0, high=1.0)


def spot_samples(count=40, seed=0, bright=0.6):
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(0.0, 0.1, size=(count, 3, 16, 16)).astype(np.float32)
    objects = []
    for image in inputs:
        quarters = generator.choice(4, size=2, replace=False)
        for quarter in quarters:
            y, x = quarter // 2 * 8, quarter % 2 * 8
            image[:, y : y + 8, x : x + 8] += np.float32(bright)
        objects.append(
            Boxes(boxes=SpotDetector.boxes.numpy()[quarters], labels=np.zeros(2, dtype=np.int64))
        )
    return Samples(inputs=inputs, classes=["spot", "other"], objects=objects)
