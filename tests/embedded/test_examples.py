"""Every example goes from `init --example` through one platform to a verdict and a prediction."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import free_ports, until

from touchstone.artifacts.store import Store
from touchstone.home import SHIPPED, Home
from touchstone.runs.store import State
from trust_gates import GATES

EXAMPLES = sorted(file.parent.name for file in SHIPPED.glob("training/examples/*/touchstone.yaml"))

SMALL: Mapping[str, dict[str, Any]] = {
    "tabular": {"train": {"workers": 1}},
    "object-detection": {
        "data": {"uri": "generate?scenes=300&held_out=120"},
        "train": {"workers": 1, "epochs": 8},
        "gates": {
            "quality": {"checks": [{"metric": "map50", "atLeast": 0.1}]},
            "robustness": {
                "samples": 16,
                "checks": [{"metric": "robust_recall", "atLeast": 0.05}],
            },
            "fairness": {
                "checks": [{"metric": "equal_opportunity_difference", "within": [-0.8, 0.8]}],
            },
            "explainability": {
                "samples": 16,
                "checks": [{"metric": "stability", "atLeast": 0.05}],
            },
        },
    },
}
"""By example what of its `spec` is smaller here (RFC 7396); each is searched for once, shortly."""

_SEARCHED = {"maxTrials": 1, "parallelTrials": 1, "epochs": 1}


class Platform:
    """A home of its own, and the process that serves it."""

    def __init__(self, root: Path) -> None:
        self.home, self.root = Home(root / "home"), root
        self.environment = {**os.environ, "TOUCHSTONE_HOME": str(self.home.root)}

    def said(self, *words: str) -> str:
        command = [sys.executable, "-P", "-m", "touchstone", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pushed(self, folder: Path) -> str:
        """The name of the run that a push of the folder to a repository of its own starts."""
        self.said("model", "add", folder.name)
        git = ["git", "-C", folder, "-c", "user.name=A", "-c", "user.email=a@example.org"]
        target = self.home.model_repositories[folder.name]
        for words in (
            ["init", "--quiet", "--initial-branch=main"],
            ["add", "--all"],
            ["commit", "--quiet", "--message=A first model"],
            ["push", "--quiet", target, "HEAD:main"],
        ):
            subprocess.run([*git, *words], check=True, capture_output=True)
        begin, state = f"{folder.name}-", State(self.home.root)
        until(lambda: any(run.name.startswith(begin) for run in state.runs()), 30, "no run")
        return next(run.name for run in state.runs() if run.name.startswith(begin))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("examples"))
    platform.said("up", "--detach", f"--port={free_ports()}")
    yield platform
    platform.said("down")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_trained_judged_reviewed_and_served(platform: Platform, example: str) -> None:
    folder = platform.root / example
    platform.said("init", str(folder), f"--example={example}")
    file = folder / "touchstone.yaml"
    document = yaml.safe_load(file.read_text())
    spec = document["spec"]
    _merge(spec, SMALL.get(example, {}))
    if "tune" in spec:
        spec["tune"] |= _SEARCHED
    file.write_text(yaml.safe_dump(document))

    run = platform.pushed(folder)
    platform.said("watch", run, "--timeout=300")
    store = Store(platform.home.artifacts)
    verdict = store.get_json(store.ref(f"runs/{run}/verdict") or "")
    assert verdict["passed"]
    assert {check["gate"] for check in verdict["checks"]} == set(GATES)

    model = document["metadata"]["name"]
    platform.said("review", "approve", model, "--reviewer=Rita <rita@example.org>")
    assert json.loads(platform.said("predict", model, "--json"))["outputs"]


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """As a JSON merge patch does."""
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value
