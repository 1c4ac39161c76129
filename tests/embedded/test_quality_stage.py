"""The quality stage reads from the GitOps repository which version must not be fallen behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.model_stages import reads_of
from touchstone.artifacts.store import Store, digest_bytes
from touchstone.contract import model_repo
from touchstone.delivery import champion, gitops
from touchstone.delivery.champion import served
from touchstone.delivery.release import Digests, Release, Serve
from touchstone.engine import Engine
from touchstone.git import git
from touchstone.home import SHIPPED
from touchstone.runs.store import State
from touchstone.training import dataset
from touchstone.training.export import export
from touchstone.training.load import load_spec

EXAMPLE = SHIPPED / "training" / "examples" / "tabular"
MODEL = "diabetes-progression"


class Stage:
    """A store with one dataset, a GitOps repository, and models that differ in one weight."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        self.store = Store(self.home / "volumes" / "artifacts")
        self.repository = root / "repository"
        shutil.copytree(EXAMPLE, self.repository, ignore=shutil.ignore_patterns("__pycache__"))
        manifest = self.repository / "touchstone.yaml"
        asked = "    quality:\n      champion: {margin: 0.3}\n"
        manifest.write_text(manifest.read_text().replace("    quality:\n", asked))
        self.spec = load_spec(self.repository, "model.py:Progression")
        data = self.spec.load_data("sklearn:diabetes", seed=7)
        self.description = data.description
        dataset.write(root / "split", dataset.split(data))
        self.dataset = self.store.put(root / "split")
        self.gitops = root / "gitops"
        gitops.create(self.gitops)

    def model(self, direction: float) -> str:
        """A model that reads bmi and s5, and says the opposite for a negative direction."""
        module = self.spec.build({"width": 2, "dropout": 0.0})
        with torch.no_grad():
            for value in module.parameters():
                value.zero_()
            module[0].weight[0, [2, 8]] = 1.0
            module[0].bias[0] = -0.8
            module[3].weight[:, 0] = torch.tensor([-direction, direction])
        folder = self.root / f"model-{direction}"
        export(
            folder,
            module=module,
            spec=self.spec,
            sample=torch.rand(8, 10),
            source=self.repository,
            entrypoint="model.py:Progression",
            parameters={"width": 2, "dropout": 0.0},
            description=self.description,
            metrics={},
            seed=7,
        )
        return self.store.put(folder)

    def serve(self, model: str) -> None:
        digests = Digests(model=model, source=digest_bytes(b"s"), verdict=digest_bytes(b"v"))
        release = Release(
            model=MODEL,
            repository="https://git.example.org/me/model.git",
            environments=("production",),
            version="0123456789ab",
            commit="0123456789ab" + "0" * 28,
            created="2026-11-01T00:00:00Z",
            image="localhost/models@" + digest_bytes(b"image"),
            digests=digests,
            policy=digest_bytes(b"p"),
            serve=Serve(protocol="v2", canary=100, min_replicas=0),
        )
        with gitops.clone(str(self.gitops)) as checkout:
            folder = checkout.path / "environments" / "production" / MODEL
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "release.json").write_text(release.to_text())
            checkout.commit("Serve it", {})
            checkout.push("HEAD:refs/heads/main")

    def champion(self) -> str:
        """What fetch-source says is served."""
        pipeline = model_repo.load(self.repository)
        return champion.resolve(self.store, pipeline, str(self.gitops))

    def judge(self, model: str) -> Mapping[str, Any]:
        options = {
            "gate": "quality",
            "store": self.store.root.as_uri(),
            "reads": reads_of(self.store, self.repository)["quality"],
            "dataset": self.dataset,
            "model": model,
            "champion": self.champion(),
            "result-evidence": self.root / "evidence",
            "result-outcome": self.root / "outcome",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-P", SHIPPED / "scripts" / "gate.py", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        tree = self.store.get((self.root / "evidence").read_text(), self.root / "found")
        evidence: dict[str, Any] = json.loads((tree / "evidence.json").read_text())
        return evidence | {"outcomes": {c["name"]: c["outcome"] for c in evidence["checks"]}}


PIPELINE = """\
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: judge}
spec:
  params: [{name: url}, {name: revision}, {name: gitops-url}, {name: dataset}, {name: model}]
  workspaces: [{name: artifacts}]
  results: [{name: evidence, value: $(tasks.gate-quality.results.evidence)}]
  tasks:
    - name: fetch-source
      taskRef: {name: fetch-source}
      params:
        - {name: url, value: $(params.url)}
        - {name: revision, value: $(params.revision)}
        - {name: gitops-url, value: $(params.gitops-url)}
      workspaces: [{name: artifacts}]
    - name: gate-quality
      taskRef: {name: gate}
      params:
        - {name: gate, value: quality}
        - {name: reads, value: $(tasks.fetch-source.results.reads.quality)}
        - {name: dataset, value: $(params.dataset)}
        - {name: model, value: $(params.model)}
        - {name: champion, value: $(tasks.fetch-source.results.champion)}
      workspaces: [{name: artifacts}]
"""


def judged_in_a_run(stage: Stage, name: str, revision: str, model: str) -> tuple[bool, str]:
    """Whether the gate's evidence came from the cache, and its digest."""
    definitions = [stage.root / "pipeline.yaml", SHIPPED / "tekton" / "tasks"]
    definitions[0].write_text(PIPELINE)
    given = {
        "url": str(stage.repository),
        "revision": revision,
        "gitops-url": str(stage.gitops),
        "dataset": stage.dataset,
        "model": model,
    }
    state = State(stage.home)
    state.add_run(
        {
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": name},
            "spec": {
                "pipelineRef": {"name": "judge"},
                "params": [{"name": key, "value": value} for key, value in given.items()],
                "workspaces": [
                    {"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}}
                ],
            },
        }
    )
    status = Engine(state, stage.home, definitions=definitions).execute(name)
    assert status["conditions"][0]["status"] == "True", status["conditions"]
    taskrun = state.taskruns(name)[f"{name}-gate-quality"]
    cached = "touchstoneCache" in taskrun.get("provenance", {})
    return cached, status["results"][0]["value"]


@pytest.mark.long
def test_the_gate_is_cached_until_another_version_is_served(stage: Stage) -> None:
    git("init", "-q", "-b", "main", str(stage.repository))
    for key, value in (("user.name", "A Person"), ("user.email", "person@example.org")):
        git("config", key, value, cwd=stage.repository)
    git("add", "-A", cwd=stage.repository)
    git("commit", "-qm", "model", cwd=stage.repository)
    revision = git("rev-parse", "HEAD", cwd=stage.repository)
    new = stage.model(2.0)

    stage.serve(stage.model(3.0))
    cached, compared = judged_in_a_run(stage, "first", revision, new)
    assert not cached
    assert judged_in_a_run(stage, "again", revision, new) == (True, compared)

    stage.serve(stage.model(-3.0))
    cached, other = judged_in_a_run(stage, "other", revision, new)
    assert not cached and other != compared


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_first_release_is_judged_without_a_champion_and_the_note_says_so(stage: Stage) -> None:
    found = stage.judge(stage.model(3.0))
    assert "gain_over_champion" not in found["outcomes"]
    assert "no version is served yet" in found["notes"][-1]
    assert served(str(stage.gitops), "production", MODEL) is None
    assert stage.champion() == ""


def test_the_champion_is_a_digest_that_changes_with_what_is_served(stage: Stage) -> None:
    stage.serve(digest_bytes(b"one"))
    first = stage.champion()
    assert stage.store.get_json(first) == {"version": "0123456789ab", "model": digest_bytes(b"one")}
    assert stage.champion() == first
    stage.serve(digest_bytes(b"two"))
    assert stage.champion() != first


def test_a_touchstone_yaml_that_compares_with_nothing_asks_nobody(stage: Stage) -> None:
    manifest = stage.repository / "touchstone.yaml"
    manifest.write_text(manifest.read_text().replace("      champion: {margin: 0.3}\n", ""))
    shutil.rmtree(stage.gitops)
    assert stage.champion() == ""


def test_a_version_that_falls_behind_the_served_one_is_refused(stage: Stage) -> None:
    stage.serve(stage.model(3.0))
    found = stage.judge(stage.model(-3.0))
    assert found["outcomes"]["gain_over_champion"] != "passed"
    assert found["figures"]["champion_accuracy"] > 0.65
    assert found["figures"]["mcnemar_p"] < 1e-4


@pytest.mark.long
def test_a_version_as_good_as_the_served_one_passes_and_the_same_one_needs_no_comparison(
    stage: Stage,
) -> None:
    champion = stage.model(3.0)
    stage.serve(champion)
    assert stage.judge(stage.model(2.0))["outcomes"]["gain_over_champion"] == "passed"
    same = stage.judge(champion)
    assert "gain_over_champion" not in same["outcomes"]
    assert "0123456789ab is this very model" in same["notes"][-1]


@pytest.mark.long
def test_a_champion_whose_tree_is_gone_fails_the_check_with_the_reason(stage: Stage) -> None:
    stage.serve(digest_bytes(b"collected"))
    found = stage.judge(stage.model(3.0))
    (check,) = [c for c in found["checks"] if c["name"] == "gain_over_champion"]
    assert check["outcome"] == "failed"
    assert "0123456789ab could not be asked" in check["reason"]
    assert "is not in" in check["reason"]
