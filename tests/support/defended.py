"""Two small tasks to defend: feature rows split by a line, and bright quarters of an image."""

import numpy as np
import torch

from touchstone.training.dataset import Dataset
from touchstone.training.spec import Batch, Description, ModelSpec


class Net(ModelSpec):
    """A classifier whose network is given."""

    task = "classification"

    def __init__(self, build):
        self._build = build

    def load_data(self, uri, *, seed):
        raise ValueError("nothing to load")

    def build(self, parameters):
        return self._build()

    def loss(self, module, batch):
        return torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module, inputs):
        return module(inputs)


def rows_net():
    return Net(
        lambda: torch.nn.Sequential(
            torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
        )
    )


def images_net():
    return Net(
        lambda: torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(32, 4),
        )
    )


def rows_arrays(count, seed):
    """One robust feature, and nineteen faint ones that agree with the label better together.

    Plain training leans on the faint ones too, which a budget of 0.1 turns round (Tsipras et al.,
    "Robustness may be at odds with accuracy", 2019).
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    sign = 2 * labels - 1
    robust = np.where(generator.random(count) < 0.85, sign, -sign) * 0.25
    faint = 0.05 * sign[:, None] + 0.04 * generator.normal(size=(count, 19))
    inputs = 0.5 + np.concatenate([robust[:, None], faint], axis=1)
    return {"inputs": inputs.clip(0, 1).astype(np.float32), "labels": labels.astype(np.int64)}


def images_arrays(count, seed):
    """The brightest quarter of a noisy 8 x 8 image is the label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(4, size=count)
    images = generator.uniform(0.2, 0.5, size=(count, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 0.3
    return {"inputs": images.astype(np.float32), "labels": labels.astype(np.int64)}


def dataset(arrays, counts=(600, 200, 400)):
    given = [arrays(count, seed) for seed, count in enumerate(counts)]
    shape = list(given[0]["inputs"].shape[1:])
    return Dataset(
        Description(
            task="classification",
            classes=tuple("abcd"[: given[0]["labels"].max() + 1]),
            inputs={"shape": shape, "low": 0.0, "high": 1.0, "kind": "any"},
            protected={},
            seed=1,
        ),
        dict(zip(("train", "validation", "test"), given, strict=True)),
    )


def batch(arrays, count=None):
    return Batch(
        inputs=torch.from_numpy(arrays["inputs"][:count]),
        labels=torch.from_numpy(arrays["labels"][:count]),
    )
