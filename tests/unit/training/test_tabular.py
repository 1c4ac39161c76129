"""The built-in model of a table, and an author's own: trained, exported and opened again."""

import numpy as np
import pytest
import torch

from touchstone.training import export
from touchstone.training.dataset import batch_of
from touchstone.training.load import load_spec
from touchstone.training.spec import Description
from touchstone.training.tables.asked import BUILT_IN

OWN = """
import torch
from touchstone.training import ModelSpec

class Own(ModelSpec):
    task = "classification"

    def build(self, parameters):
        return torch.nn.Linear(len(self.described.inputs["features"]), len(self.described.classes))

    def loss(self, module, batch):
        return torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module, inputs):
        return module(inputs)
"""


def described(task="classification"):
    return Description(
        task=task,
        classes=("a", "b", "c") if task == "classification" else (),
        inputs={
            "shape": [4],
            "low": 0.0,
            "high": 1.0,
            "kind": "tabular",
            "features": ["w", "x", "y", "z"],
            "table": {"label": "l", "mean": 1000.0, "deviation": 50.0},
        },
        protected={"sex": ("f", "m")},
        seed=0,
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_built_in_model_learns_and_answers_in_the_labels_own_unit(task):
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    inputs = generator.random((64, 4), dtype=np.float32)
    arrays = {"inputs": inputs, "labels": (inputs[:, 0] * 3).astype(np.int64)}
    if task == "regression":
        arrays = {"inputs": inputs, "targets": 1000 + 50 * inputs[:, 0]}
    spec = load_spec(None, BUILT_IN, described(task))
    assert spec.task == task
    module = spec.build({"width": 16, "depth": 1, "dropout": 0.0})
    batch = batch_of(arrays, slice(0, 64))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.03)
    first = float(spec.loss(module, batch).detach())
    for _ in range(200):
        optimizer.zero_grad()
        loss = spec.loss(module, batch)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < first / 5
    answers = spec.predict(module, batch.inputs)
    if task == "regression":
        assert answers.shape == (64,)
        assert float((answers - batch.targets).abs().mean().detach()) < 10
    else:
        assert answers.shape == (64, 3)


@pytest.mark.parametrize("parameters", [{"width": 0}, {"depth": 99}, {"dropout": 1.0}])
def test_a_network_of_no_size_is_refused(parameters):
    with pytest.raises(ValueError, match="expected 1 to 4096, 0 to 32"):
        load_spec(None, BUILT_IN, described()).build(parameters)


@pytest.mark.parametrize("entrypoint", [BUILT_IN, "model.py:Own"])
def test_a_tree_is_opened_again_knowing_what_its_data_are(tmp_path, entrypoint):
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.py").write_text(OWN)
    spec = load_spec(source, entrypoint, described())
    module = spec.build({})
    inputs = torch.rand(5, 4)
    export.export(
        tmp_path / "tree",
        module=module,
        spec=spec,
        sample=inputs,
        source=source,
        entrypoint=entrypoint,
        parameters={},
        description=described(),
        metrics={},
        seed=0,
    )
    again, opened, _ = export.with_code(tmp_path / "tree")
    assert again.described.classes == ("a", "b", "c")
    assert torch.equal(again.predict(opened, inputs), spec.predict(module.eval(), inputs))
