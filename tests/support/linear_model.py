"""The smallest model that is served: linear, of three features, with an answer told by its bias."""

import torch

from touchstone.training.export import export
from touchstone.training.load import load_spec
from touchstone.training.spec import Description

CODE = """
import torch
from touchstone.training.spec import ModelSpec

class Tiny(ModelSpec):
    task = "classification"

    def load_data(self, uri, *, seed):
        raise ValueError("nothing to load")

    def build(self, parameters):
        return torch.nn.Linear(3, 2)

    def loss(self, module, batch):
        return torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module, inputs):
        return module(inputs)
"""
DESCRIPTION = Description(
    task="classification",
    classes=("no", "yes"),
    inputs={"shape": [3], "low": 0.0, "high": 1.0, "kind": "tabular", "features": ["a", "b", "c"]},
    protected={},
    seed=1,
)
INPUT = [0.1, 0.2, 0.3]


def model_tree(folder, bias):
    """A linear classifier that answers `yes` with probability sigmoid(bias)."""
    source = folder.with_name(folder.name + "-source")
    source.mkdir(parents=True)
    (source / "model.py").write_text(CODE)
    module = torch.nn.Linear(3, 2)
    with torch.no_grad():
        module.weight.zero_()
        module.bias.copy_(torch.tensor([0.0, bias]))
    export(
        folder,
        module=module,
        spec=load_spec(source, "model.py:Tiny"),
        sample=torch.rand(8, 3),
        source=source,
        entrypoint="model.py:Tiny",
        parameters={},
        description=DESCRIPTION,
        metrics={"accuracy": 1.0},
        seed=1,
    )
    return folder
