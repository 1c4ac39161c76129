"""A biased classification task whose mitigations can be measured: hiring by skill and sex."""

import numpy as np
import torch

from touchstone.training.dataset import Dataset
from touchstone.training.mitigation import Mitigation
from touchstone.training.spec import Description, ModelSpec


class Hiring(ModelSpec):
    """A small network on feature rows."""

    task = "classification"

    def load_data(self, uri, *, seed):
        raise ValueError("nothing to load")

    def build(self, parameters):
        return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))

    def loss(self, module, batch):
        return torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module, inputs):
        return module(inputs)


def arrays(count, seed):
    """Men are hired more often, and two features tell who is a man."""
    generator = np.random.default_rng(seed)
    man = generator.integers(2, size=count)
    skill = generator.normal(size=count)
    proxy = man + 0.5 * generator.normal(size=count)
    other = generator.normal(size=count)
    hired = skill + 1.5 * (man - 0.5) + 0.5 * generator.normal(size=count) > 0
    inputs = np.stack([skill / 8 + 0.5, proxy / 8 + 0.4, other / 10 + 0.5, man], axis=1)
    return {
        "inputs": inputs.clip(0, 1).astype(np.float32),
        "labels": hired.astype(np.int64),
        "protected_sex": man.astype(np.int64),
    }


def hiring(*, count=1000, feature=True):
    """The task as a dataset; `feature` says whether sex is also a named input."""
    names = ["skill", "proxy", "other", "sex" if feature else "fourth"]
    return Dataset(
        Description(
            task="classification",
            classes=("rejected", "hired"),
            inputs={"shape": [4], "low": 0.0, "high": 1.0, "kind": "tabular", "features": names},
            protected={"sex": ("woman", "man")},
            seed=1,
        ),
        {name: arrays(count, seed) for seed, name in enumerate(("train", "validation", "test"))},
    )


def against(method, **options):
    compare = options.pop("compare", True)
    return Mitigation(
        method=method,
        protected="sex",
        privileged=("man",),
        favorable="hired",
        options=options,
        compare=compare,
    )
