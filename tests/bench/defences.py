"""What does each defence cost, and what is left of its gain when the attacker goes through it?

`python tests/bench/defences.py [method ...]` trains the same small network on scikit-learn's
digits with each defence, attacks 150 held-out samples with the robustness gate's default attacks
and prints one table. Exit code 1 where adversarial training gains nothing, or where a defence of
inputs masks gradients.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_digits

from touchstone.training.dataset import Dataset
from touchstone.training.defences import METHODS, Defence, wrap
from touchstone.training.spec import Batch, Description, ModelSpec, RawData
from touchstone.training.trainer import TrainConfig, train
from trust_gates.policy import Check
from trust_gates.robustness import judge
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Samples
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Outcome

EPSILON = 0.1
SAMPLES = 150
HARDENED = ("adversarial_training", "fast_adversarial_training", "trades")
OPTIONS = {name: {"epsilon": EPSILON} for name in HARDENED}


class Digits(ModelSpec):
    """Ten digits of 8 x 8 grey values."""

    task = "classification"

    def load_data(self, uri: str, *, seed: int) -> RawData:
        raise NotImplementedError

    def build(self, parameters: object) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(16, 32, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(512, 10),
        )

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return module(inputs)


def main() -> int:
    """Measure, print the table, and say whether the promises were kept."""
    torch.set_num_threads(1)
    data = _digits()
    print(f"digits network, linf {EPSILON}, {SAMPLES} samples, gate attacks fgsm, pgd, square\n")
    print(f"{'defence':30} {'train s':>8} {'clean':>6} {'attacked':>9}  masked")
    names = sys.argv[1:] or list(METHODS)
    plain, masked = _row("", data)
    kept = not masked
    for name in names:
        robust, masked = _row(name, data)
        kept &= not (masked and METHODS[name].stage == "input")
        kept &= name not in HARDENED or robust > plain + 0.1
    return 0 if kept else 1


def _row(name: str, data: Dataset) -> tuple[float, bool]:
    chosen = [Defence(method=name, options=OPTIONS.get(name, {}))] if name else []
    spec = wrap.inputs(Digits(), chosen, data.description.inputs)
    config = TrainConfig(epochs=12, batch_size=64, parameters={"learning_rate": 0.005})
    start = time.process_time()
    module, _ = train(wrap.training(spec, chosen, data.description.inputs), data, config)
    seconds = time.process_time() - start
    found = _judged(spec, module.eval(), data)
    (check,) = (one for one in found.checks if one.name == "gradient_masking")
    masked = check.outcome is not Outcome.PASSED
    robust = found.figures["robust_accuracy"]
    row = f"{name or 'none':30} {seconds:8.1f} {found.figures['clean']:6.2f} {robust:9.2f}"
    print(f"{row}  {'; '.join(found.notes) if masked else ''}", flush=True)
    return robust, masked


def _judged(spec: ModelSpec, module: torch.nn.Module, data: Dataset) -> Evidence:
    arrays = data.splits["test"]
    samples = Samples(
        inputs=arrays["inputs"], classes=data.description.classes, labels=arrays["labels"]
    )
    target = Target(module=module, predict=lambda x: spec.predict(module, x), low=0.0, high=1.0)
    policy = Robustness(
        checks=[Check(metric="robust_accuracy", at_least=0.01)],
        epsilon=EPSILON,
        samples=SAMPLES,
        sequential=False,
    )
    return judge(target, samples, policy)


def _digits() -> Dataset:
    digits = load_digits()
    inputs = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    parts = {"train": slice(0, 1300), "validation": slice(1300, 1500), "test": slice(1500, None)}
    return Dataset(
        Description(
            task="classification",
            classes=tuple("0123456789"),
            inputs={"shape": [1, 8, 8], "low": 0.0, "high": 1.0, "kind": "image"},
            protected={},
            seed=0,
        ),
        {name: {"inputs": inputs[rows], "labels": labels[rows]} for name, rows in parts.items()},
    )


if __name__ == "__main__":
    sys.exit(main())
