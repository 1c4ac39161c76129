"""What the verdict stage reads: evidence, a model's tree and a dataset's, none of it real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from touchstone.artifacts.store import Store, digest_bytes
from touchstone.training import dataset as datasets
from touchstone.training.dataset import Dataset
from touchstone.training.spec import Description

EXAMPLE = Path(__file__).parents[2] / "training" / "examples" / "tabular"
SHOWN = digest_bytes(b"anything")


def evidence(store: Store, folder: Path, gate: str, outcome: str = "passed") -> str:
    check = {
        "gate": gate,
        "name": "figure",
        "measured": 0.9,
        "interval": {"low": 0.85, "high": 0.95, "confidence": 0.95},
        "required": {"low": 0.8, "high": None},
        "samples": 100,
        "outcome": outcome,
        "reason": f"{gate} is {outcome}",
        "samplesNeeded": None,
    }
    tree = folder / f"{gate}-{outcome}"
    tree.mkdir(exist_ok=True)
    document = {"gate": gate, "checks": [check], "figures": {"figure": 0.9}, "notes": []}
    (tree / "evidence.json").write_text(json.dumps(document))
    return store.put(tree)


def model_tree(folder: Path) -> Path:
    folder.mkdir()
    document = {
        "entrypoint": "model.py:Progression",
        "parameters": {"width": 8},
        "task": "classification",
        "classes": ["slower", "faster"],
        "inputs": {},
        "torch": "2.13.0",
        "seed": 7,
    }
    (folder / "model.json").write_text(json.dumps(document))
    (folder / "metrics.json").write_text('{"val_accuracy": 0.75}')
    return folder


def dataset_tree(folder: Path) -> Path:
    description = Description(
        task="classification",
        classes=("slower", "faster"),
        inputs={"kind": "tabular", "shape": [1], "low": 0.0, "high": 1.0},
        protected={"sex": ("group 1", "group 2")},
        seed=7,
    )
    arrays = {
        "inputs": np.zeros((4, 1), dtype=np.float32),
        "labels": np.array([0, 1, 0, 1]),
        "protected_sex": np.array([0, 0, 1, 1]),
    }
    datasets.write(folder, Dataset(description, dict.fromkeys(datasets.SPLITS, arrays)))
    return folder
