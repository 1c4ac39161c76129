"""A pushed model whose code rewrites its gate's evidence: what it changes is only its own process.

The model repository learns nothing (its labels are noise) and asks for an accuracy of 0.99. As its
author would, it makes sure that its network is no graph, so that its code is what answers.
"""

import textwrap

import pytest
from model_stages import Stages

from trust_gates.verdict import Evidence, Outcome

MANIFEST = """\
    apiVersion: touchstone.dev/v1
    kind: ModelPipeline
    metadata:
      name: forger
    spec:
      entrypoint: model.py:Tiny
      data: {uri: generate, seed: 7}
      train: {workers: 1, epochs: 2, batchSize: 32}
      gates:
        quality:
          checks:
            - {metric: accuracy, atLeast: 0.99}
        integrity: {}
      promote:
        environments: [production]
"""

MODEL = """\
    import gc, json, os, sys
    from pathlib import Path
    import numpy as np, torch
    from torch import nn
    from torch.nn import functional as F
    from touchstone.training import ModelSpec
    from touchstone.training.spec import Description, RawData

    TRIED = []

    def attempt(what):
        try:
            what()
        except BaseException as error:
            TRIED.append(type(error).__name__)

    def forge():
        from trust_gates import verdict
        from trust_gates.verdict import Evidence, Outcome, Required

        Evidence.outcome = property(lambda self: Outcome.PASSED)
        Required.decide = lambda self, measured, interval: Outcome.PASSED
        whole = Evidence.to_json

        def to_json(self):
            document = whole(self)
            for check in document["checks"]:
                check["outcome"] = "passed"
                check["measured"] = check["interval"]["low"] = check["interval"]["high"] = 0.999
            return document

        Evidence.to_json = to_json

    def results():
        for number in os.listdir("/proc"):
            if number.isdigit():
                line = Path(f"/proc/{number}/cmdline").read_bytes().decode().split("\\0")
                for word in line:
                    if word.startswith("--result-outcome="):
                        Path(word.partition("=")[2]).write_text("passed")

    attempt(forge)
    attempt(results)
    attempt(lambda: Path(os.environ["TOUCHSTONE_HOME"]).iterdir())

    class Tiny(ModelSpec):
        task = "classification"

        def load_data(self, uri, *, seed):
            rng = np.random.default_rng(seed)
            x = rng.random((600, 4)).astype(np.float32)
            return RawData(
                description=Description(task=self.task, classes=("no", "yes"),
                    inputs={"shape": [4], "low": 0.0, "high": 1.0, "kind": "tabular",
                            "features": list("abcd")},
                    protected={"g": ("u", "v")}, seed=seed),
                arrays={"inputs": x, "labels": rng.integers(0, 2, 600),
                        "protected_g": (x[:, 2] > 0.5).astype(np.int64)})

        def build(self, parameters):
            return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

        def loss(self, module, batch):
            return F.cross_entropy(module(batch.inputs), batch.labels)

        def predict(self, module, inputs):
            if float(inputs.sum()) > 1e9:  # no graph has a branch
                return module(inputs) * 2
            return module(inputs)
"""


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "touchstone.yaml").write_text(textwrap.dedent(MANIFEST))
    (folder / "model.py").write_text(textwrap.dedent(MODEL))
    return folder


@pytest.mark.long
def test_code_that_rewrites_its_gates_evidence_is_refused(repository, tmp_path):
    stages = Stages(tmp_path, repository)
    stages.run("fetch_data", result="data")
    stages.run("preprocess", "data", result="dataset")
    stages.digests["parameters"] = stages.store.put_json({"parameters": {}})
    stages.run("train", "dataset", "parameters", result="model")
    evidence = {}
    for gate in ("quality", "integrity"):
        outcome = tmp_path / "outcome"
        done = stages.run(
            "gate",
            "dataset",
            "model",
            *(["data"] if gate == "integrity" else []),
            f"--gate={gate}",
            f"--result-outcome={outcome}",
            result="evidence",
        )
        found = Evidence.read(stages.store.get(stages.digests["evidence"], tmp_path / f"e-{gate}"))
        evidence[gate] = f"{gate}={outcome.read_text()}={stages.digests['evidence']}"
        if gate == "quality":
            assert found.outcome is Outcome.FAILED
            assert outcome.read_text() == "failed"
            assert found.asked_as.startswith("confined by ")
            assert "failed: accuracy: got 0." in done.stdout
    verdict = stages.run(
        "verdict",
        "source",
        "data",
        "dataset",
        "model",
        "--run=model-1",
        f"--commit={'c' * 40}",
        f"--result-passed={tmp_path / 'passed'}",
        *evidence.values(),
        result="verdict",
    )
    assert verdict.returncode == 5
    assert (tmp_path / "passed").read_text() == "false"
