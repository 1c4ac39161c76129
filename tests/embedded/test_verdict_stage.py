"""The verdict stage: exit code 5 with the reason, the reference by run, and no half evidence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from verdict_inputs import EXAMPLE, SHOWN, dataset_tree, evidence, model_tree

from touchstone.artifacts.store import Store
from touchstone.home import SHIPPED
from trust_gates import report
from trust_gates.verdict import Interval


class Stage:
    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root / "store")
        self.source = self.store.put(EXAMPLE)
        self.model = self.store.put(model_tree(root / "model"))
        self.dataset = self.store.put(dataset_tree(root / "dataset"))

    def run(
        self, *digests: str, uri: str = "", floor: str = ""
    ) -> subprocess.CompletedProcess[str]:
        options = {
            "floor": floor,
            "store": self.store.root.as_uri(),
            "run": "model-1",
            "source": self.source,
            "commit": "c" * 40,
            "data": SHOWN,
            "uri": uri,
            "dataset": self.dataset,
            "model": self.model,
            "result-verdict": self.root / "verdict",
            "result-passed": self.root / "passed",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-P", SHIPPED / "scripts" / "verdict.py", *arguments, *digests]
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
    found = {gate: evidence(stage.store, stage.root, gate) for gate in GATES}
    assert stage.run(*found.values()).returncode == 0
    assert (stage.root / "passed").read_text() == "true"
    assert stage.verdict["passed"] is True
    assert stage.verdict["evidence"] == {
        gate: given.rpartition("=")[2] for gate, given in found.items()
    }
    assert stage.verdict["policy"].startswith("sha256:")


def test_the_verdict_carries_what_the_fact_sheet_tells_and_follows_its_schema(stage: Stage) -> None:
    stage.run(*(evidence(stage.store, stage.root, gate) for gate in GATES))
    verdict = stage.verdict
    jsonschema.validate(verdict, report.schema())
    assert verdict["facts"]["samples"] == {"train": 4, "validation": 4, "test": 4}
    assert verdict["facts"]["metrics"] == {"val_accuracy": 0.75}
    assert verdict["card"]["domain"] == "Medicine"
    assert verdict["gates"]["fairness"]["protected"] == "sex"
    assert verdict["software"]["torch"].startswith("2.")


def floor(stage: Stage, samples: int) -> str:
    """The floor of an environment that asks for so many test samples."""
    asked = {
        "environments/production/environment.yaml": {"gates": {"quality": {"samples": samples}}}
    }
    return stage.store.put_json({"kind": "Floor", "environments": asked})


def test_the_verdict_names_the_floor_that_it_was_held_to_or_that_there_was_none(
    stage: Stage,
) -> None:
    found = [evidence(stage.store, stage.root, gate) for gate in GATES]
    assert stage.run(*found).returncode == 0
    assert stage.verdict["floor"] == ""
    digest = floor(stage, samples=4)
    assert stage.run(*found, floor=digest).returncode == 0
    assert stage.verdict["floor"] == digest
    jsonschema.validate(stage.verdict, report.schema())


def test_a_policy_below_the_floor_is_no_verdict_even_where_fetch_source_let_it_through(
    stage: Stage,
) -> None:
    found = [evidence(stage.store, stage.root, gate) for gate in GATES]
    done = stage.run(*found, floor=floor(stage, samples=5))
    assert done.returncode == 4
    assert "4 test samples, environments/production/environment.yaml asks for 5" in done.stderr
    assert stage.store.ref("runs/model-1/verdict") is None


def test_the_fact_sheet_names_the_data_that_an_event_gave_in_place_of_the_repositorys(
    stage: Stage,
) -> None:
    found = [evidence(stage.store, stage.root, gate) for gate in GATES]
    stage.run(*found)
    assert stage.verdict["facts"]["uri"] == "sklearn:diabetes"
    stage.run(*found, uri="s3://clinic/december")
    assert stage.verdict["facts"]["uri"] == "s3://clinic/december"


def test_one_failed_check_is_exit_code_5_with_its_reason(stage: Stage) -> None:
    found = [evidence(stage.store, stage.root, gate) for gate in GATES[:-1]]
    done = stage.run(*found, evidence(stage.store, stage.root, "integrity", "failed"))
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == "error: refused: integrity: integrity is failed"
    assert (stage.root / "passed").read_text() == "false"
    assert stage.verdict["passed"] is False


def test_a_declared_gate_whose_evidence_is_absent_refuses(stage: Stage) -> None:
    done = stage.run(*(evidence(stage.store, stage.root, gate) for gate in GATES[:-1]))
    assert done.returncode == 5
    assert "integrity gate is declared but left no check" in done.stderr


def test_evidence_given_twice_or_broken_is_no_verdict(stage: Stage) -> None:
    twice = [
        evidence(stage.store, stage.root, "quality"),
        evidence(stage.store, stage.root, "quality", "failed"),
    ]
    assert stage.run(*twice).returncode == 2
    assert stage.run(f"quality=passed={stage.source}").returncode == 3
    assert stage.run(stage.source).returncode == 2
    assert stage.store.ref("runs/model-1/verdict") is None


def test_evidence_of_another_gate_or_with_another_outcome_is_no_verdict(stage: Stage) -> None:
    """Whoever can put evidence in the place of a gate's own cannot change what the gate said."""
    passed = evidence(stage.store, stage.root, "quality")
    digest = passed.rpartition("=")[2]
    for given in (f"robustness=passed={digest}", f"quality=failed={digest}"):
        done = stage.run(given)
        assert done.returncode == 3
        assert "as the gate's result says" in done.stderr
    assert stage.store.ref("runs/model-1/verdict") is None


def test_evidence_that_claims_more_than_its_interval_shows_is_refused(stage: Stage) -> None:
    """Every check passed, required what it reached, measured what it likes."""
    wide = Interval(low=0.1, high=0.9, confidence=0.99)
    forged = evidence(stage.store, stage.root, "quality", interval=wide, measured=0.999)
    done = stage.run(forged, *(evidence(stage.store, stage.root, gate) for gate in GATES[1:]))
    assert done.returncode == 5
    assert "said to have passed" in done.stderr
    assert stage.verdict["passed"] is False
