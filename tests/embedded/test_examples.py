"""Every example goes from `init --example` through one platform to a verdict and a prediction."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from delivery_platform import ask_no_floor
from typer.testing import CliRunner
from waiting import free_ports, until

from touchstone.artifacts.store import Store
from touchstone.cli import _app
from touchstone.home import SHIPPED, Home
from touchstone.runs.store import State
from trust_gates import GATES

_NAMES = sorted(file.parent.name for file in SHIPPED.glob("training/examples/*/touchstone.yaml"))
_LONG = {"object-detection"}  # attacking a detector takes tens of seconds, however few its scenes
EXAMPLES = [
    pytest.param(name, marks=[pytest.mark.long] if name in _LONG else []) for name in _NAMES
]

SMALL: Mapping[str, dict[str, Any]] = {
    "tabular": {
        "tune": {"maxTrials": 1, "parallelTrials": 1, "epochs": 1},
        "train": {"epochs": 20},
    },
    "image-classification": {
        "train": {"epochs": 10, "defences": [{"method": "fast_adversarial_training"}]},
        "gates": {
            "quality": {"checks": [{"metric": "accuracy", "atLeast": 0.8}]},
            "robustness": {
                "samples": 100,
                "checks": [{"metric": "robust_accuracy", "atLeast": 0.3}],
            },
            "explainability": {"samples": 40},
        },
    },
    "object-detection": {
        "data": {"uri": "generate?scenes=400&held_out=100"},
        "train": {"epochs": 8},
        "gates": {
            "quality": {"checks": [{"metric": "map50", "atLeast": 0.05}]},
            "robustness": {
                "samples": 30,
                "sweep": ["4/255"],
                "checks": [{"metric": "robust_recall", "atLeast": 0.02}],
            },
            "fairness": {
                "checks": [{"metric": "equal_opportunity_difference", "within": [-0.9, 0.9]}],
            },
            "explainability": {
                "method": "saliency",
                "samples": 50,
                "checks": [{"metric": "attribution_inside", "atLeast": 0.05}],
            },
        },
    },
    "scikit-learn": {
        "gates": {
            "robustness": {
                "samples": 60,
                "checks": [{"metric": "robust_accuracy", "atLeast": 0.5}],
            },
            "explainability": {"samples": 40},
        },
    },
    "text": {
        "gates": {"robustness": {"checks": [{"metric": "robust_accuracy", "atLeast": 0.3}]}},
    },
}
"""By example what of its `spec` is smaller here, besides one process to train and no search."""

_TUNED = "tabular"
"""Searches all the same, for one trial."""


class Platform:
    """A home of its own, and the process that serves it."""

    def __init__(self, root: Path) -> None:
        self.home, self.root = Home(root / "home"), root

    def said(self, *words: str) -> str:
        done = CliRunner().invoke(_app(), words, env={"TOUCHSTONE_HOME": str(self.home.root)})
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def push(self, example: str) -> None:
        """The example as `init` writes it, small, into a repository of its own."""
        folder = self.root / example
        self.said("init", str(folder), f"--example={example}")
        file = folder / "touchstone.yaml"
        file.write_text(yaml.safe_dump(_small(example, yaml.safe_load(file.read_text()))))
        self.said("model", "add", example)
        git = ["git", "-C", folder, "-c", "user.name=A", "-c", "user.email=a@example.org"]
        for words in (
            ["init", "--quiet", "--initial-branch=main"],
            ["add", "--all"],
            ["commit", "--quiet", "--message=A first model"],
            ["push", "--quiet", self.home.model_repositories[example], "HEAD:main"],
        ):
            subprocess.run([*git, *words], check=True, capture_output=True)

    def run_of(self, example: str) -> str:
        """The run that the push started."""
        state = State(self.home.root)

        def found() -> list[str]:
            names = [run.name for run in state.runs()]
            return [name for name in names if name.startswith(f"{example}-")]

        until(found, 30, f"the push of {example} started no run")
        return found()[0]


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Platform]:
    """All that are asked for are pushed at once: most of a run waits for one process to begin."""
    platform = Platform(tmp_path_factory.mktemp("examples"))
    platform.said("up", "--detach", f"--port={free_ports()}")
    ask_no_floor(str(platform.home.gitops_repository))  # examples this small show little
    for item in request.session.items:
        if item.path == request.path:
            platform.push(item.callspec.params["example"])
    yield platform
    platform.said("down")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_trained_judged_reviewed_and_served(platform: Platform, example: str) -> None:
    document = yaml.safe_load((platform.root / example / "touchstone.yaml").read_text())
    run = platform.run_of(example)
    platform.said("watch", run, "--timeout=900")
    store = Store(platform.home.artifacts)
    verdict = store.get_json(store.ref(f"runs/{run}/verdict") or "")
    assert verdict["passed"]
    asked = set(document["spec"]["gates"]) & set(GATES)
    assert {check["gate"] for check in verdict["checks"]} == asked

    model = document["metadata"]["name"]
    platform.said("review", "approve", model, "--reviewer=Rita <rita@example.org>")
    assert json.loads(platform.said("predict", model, "--wait=120", "--json"))["outputs"]


def _small(example: str, document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    if example != _TUNED:
        spec.pop("tune", None)
    spec.get("train", {}).pop("workers", None)
    _merge(spec, SMALL.get(example, {}))
    return document


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """Put what `patch` says into the same places, and leave the rest."""
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
