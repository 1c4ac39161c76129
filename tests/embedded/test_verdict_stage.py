"""The verdict stage: exit code 5 with the reason, the reference by run, and no half evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from touchstone.artifacts import Store, digest_bytes
from training import dataset as datasets
from training.dataset import Dataset
from training.spec import Description
from trust_gates import report

EXAMPLE = Path(__file__).parents[2] / "training" / "examples" / "tabular"
SHOWN = digest_bytes(b"anything")


def _evidence(store: Store, folder: Path, gate: str, outcome: str = "passed") -> str:
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
    tree.mkdir()
    document = {"gate": gate, "checks": [check], "figures": {"figure": 0.9}, "notes": []}
    (tree / "evidence.json").write_text(json.dumps(document))
    return store.put(tree)


def _model(folder: Path) -> Path:
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


def _dataset(folder: Path) -> Path:
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


class Stage:
    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root / "store")
        self.source = self.store.put(EXAMPLE)
        self.model = self.store.put(_model(root / "model"))
        self.dataset = self.store.put(_dataset(root / "dataset"))

    def run(self, *evidence: str) -> subprocess.CompletedProcess[str]:
        options = {
            "store": self.store.root.as_uri(),
            "run": "model-1",
            "source": self.source,
            "commit": "c" * 40,
            "data": SHOWN,
            "dataset": self.dataset,
            "model": self.model,
            "result-verdict": self.root / "verdict",
            "result-passed": self.root / "passed",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "scripts.verdict", *arguments, *evidence]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    @property
    def verdict(self) -> Any:
        digest = self.store.ref("runs/model-1/verdict")
        assert digest == (self.root / "verdict").read_text()
        return self.store.get_json(digest)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


GATES = ("quality", "robustness", "fairness", "explainability", "integrity")


def test_all_gates_passed_is_a_passed_verdict_found_by_the_runs_name(stage: Stage) -> None:
    found = {gate: _evidence(stage.store, stage.root, gate) for gate in GATES}
    assert stage.run(*found.values()).returncode == 0
    assert (stage.root / "passed").read_text() == "true"
    assert stage.verdict["passed"] is True
    assert stage.verdict["evidence"] == found
    assert stage.verdict["policy"].startswith("sha256:")


def test_the_verdict_carries_what_the_fact_sheet_tells_and_follows_its_schema(stage: Stage) -> None:
    stage.run(*(_evidence(stage.store, stage.root, gate) for gate in GATES))
    verdict = stage.verdict
    jsonschema.validate(verdict, report.schema())
    assert verdict["facts"]["samples"] == {"train": 4, "validation": 4, "test": 4}
    assert verdict["facts"]["metrics"] == {"val_accuracy": 0.75}
    assert verdict["card"]["domain"] == "Medicine"
    assert verdict["gates"]["fairness"]["protected"] == "sex"
    assert verdict["software"]["torch"].startswith("2.")


def test_one_failed_check_is_exit_code_5_with_its_reason(stage: Stage) -> None:
    found = [_evidence(stage.store, stage.root, gate) for gate in GATES[:-1]]
    done = stage.run(*found, _evidence(stage.store, stage.root, "integrity", "failed"))
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == "error: refused: integrity: integrity is failed"
    assert (stage.root / "passed").read_text() == "false"
    assert stage.verdict["passed"] is False


def test_a_declared_gate_whose_evidence_is_absent_refuses(stage: Stage) -> None:
    done = stage.run(*(_evidence(stage.store, stage.root, gate) for gate in GATES[:-1]))
    assert done.returncode == 5
    assert "integrity gate is declared but left no check" in done.stderr


def test_evidence_given_twice_or_broken_is_no_verdict(stage: Stage) -> None:
    twice = [
        _evidence(stage.store, stage.root, "quality"),
        _evidence(stage.store, stage.root, "quality", "failed"),
    ]
    assert stage.run(*twice).returncode == 2
    assert stage.run(stage.source).returncode == 3
    assert stage.store.ref("runs/model-1/verdict") is None
