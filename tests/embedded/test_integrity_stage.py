"""The integrity gate as a stage: a sound release passes; swapped weights are never judged sound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.model_stages import reads_of
from touchstone.artifacts.store import Store, digest_bytes, digest_file
from touchstone.home import SHIPPED
from touchstone.training import dataset, export
from touchstone.training.load import load_spec

EXAMPLE = SHIPPED / "training" / "examples" / "tabular"


class Stage:
    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root / "store")
        spec = load_spec(EXAMPLE, "model.py:Progression")
        raw = spec.load_data("sklearn:diabetes", seed=7)
        dataset.write_raw(root / "data", raw)
        dataset.write(root / "dataset", dataset.split(raw))
        torch.manual_seed(0)
        self.model = root / "model"
        export.export(
            self.model,
            module=spec.build({}),
            spec=spec,
            sample=torch.rand(8, 10),
            source=EXAMPLE,
            entrypoint="model.py:Progression",
            parameters={},
            description=raw.description,
            metrics={},
            seed=7,
        )
        named = {"data": root / "data", "dataset": root / "dataset"}
        self.options = {name: self.store.put(path) for name, path in named.items()}
        self.options["reads"] = reads_of(self.store, EXAMPLE)["integrity"]
        self.options["model"] = self.store.put(self.model)

    def run(self) -> subprocess.CompletedProcess[str]:
        options = {
            **self.options,
            "store": self.store.root.as_uri(),
            "gate": "integrity",
            "image-digest": digest_bytes(b"image"),
            "result-evidence": str(self.root / "evidence"),
            "result-outcome": str(self.root / "outcome"),
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-P", SHIPPED / "scripts" / "gate.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def evidence(self) -> dict[str, str]:
        tree = self.store.get((self.root / "evidence").read_text(), self.root / "read")
        document = json.loads((tree / "evidence.json").read_text())
        return {check["name"]: check["reason"] for check in document["checks"]}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_tabular_example_passes_every_check(stage):
    done = stage.run()
    assert done.returncode == 0, done.stderr
    assert (stage.root / "outcome").read_text() == "passed", done.stdout
    assert stage.evidence().keys() >= {
        "schema_violations",
        "empty_groups",
        "executable_files",
        "near_duplicate_rate",
        "single_feature_accuracy",
    }
    assert "not searched for backdoors" in done.stdout


def test_weights_swapped_in_the_store_end_the_stage(stage):
    weights = stage.model / "model.safetensors"
    blob = stage.store.root / "blobs" / digest_file(weights).replace(":", "/")
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    assert blob.is_file()
    blob.chmod(0o644)
    blob.write_bytes(weights.read_bytes())
    done = stage.run()
    assert done.returncode == 3
    assert "has other bytes than its name says" in done.stderr
    assert not (stage.root / "outcome").exists()


def test_code_swapped_in_the_model_is_refused(stage):
    (stage.model / "code" / "model.py").write_text("print('other code')\n")
    stage.options["model"] = stage.store.put(stage.model)
    done = stage.run()
    assert done.returncode == 0, done.stderr
    assert (stage.root / "outcome").read_text() == "failed"
    assert "code/model.py is sha256:" in stage.evidence()["digest_mismatches"]
