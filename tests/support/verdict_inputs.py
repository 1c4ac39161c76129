"""What the verdict stage reads: evidence, a model's tree and a dataset's, none of it real."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.artifacts.store import Store, digest_bytes
from touchstone.contract import model_repo
from touchstone.training import dataset as datasets
from touchstone.training.dataset import Dataset
from touchstone.training.spec import Description
from trust_gates.verdict import Check, Evidence, Interval, Outcome

EXAMPLE = Path(__file__).parents[2] / "training" / "examples" / "tabular"
SHOWN = digest_bytes(b"anything")


def checks(gate: str) -> list[Check]:
    """A passed check of everything that the example requires of the gate."""
    policy = model_repo.load(EXAMPLE).spec.gates.policy(gate)
    assert policy is not None
    asked = {one.metric: one.required for one in policy.requirements}
    required = policy.always | asked | policy.as_served
    found = []
    for name, one in required.items():
        value = max(one.low, min(one.high, 0.0))
        found.append(
            Check(
                gate=gate,
                name=name,
                measured=value,
                interval=Interval(low=value, high=value, confidence=0.9999),
                required=one,
                samples=100,
                outcome=Outcome.PASSED,
                reason=f"{name} is as required",
            )
        )
    return found


def evidence(store: Store, folder: Path, gate: str, outcome: str = "passed", **changes: Any) -> str:
    """GATE=OUTCOME=DIGEST of evidence whose first check came out so, and has `changes`."""
    first, *rest = checks(gate)
    end = first.required.high if np.isfinite(first.required.high) else -first.required.low
    interval = {
        "passed": first.interval,
        "failed": Interval(low=end + 1, high=end + 2, confidence=0.9999),
        "insufficient evidence": Interval(low=-10, high=10, confidence=0.9999),
    }[outcome]
    first = replace(
        first,
        measured=interval.low,
        interval=interval,
        outcome=Outcome(outcome),
        reason=f"{gate} is {outcome}",
    )
    found = Evidence(gate=gate, checks=[replace(first, **changes), *rest], figures={"figure": 0.9})
    tree = Path(tempfile.mkdtemp(dir=folder)) / "evidence"
    found.write(tree)
    return f"{gate}={outcome}={store.put(tree)}"


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
