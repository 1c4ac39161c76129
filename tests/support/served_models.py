"""Model trees of each kind of inputs that a client may send: rows of a table, and texts."""

import textwrap

import torch

from touchstone.training.export import export
from touchstone.training.load import load_spec
from touchstone.training.spec import Description
from trust_gates.inputs.table import Column, Columns

COLUMNS = Columns(
    (
        Column(name="age", kind="number", missing=True, low=17, high=90),
        Column(name="work", kind="category", missing=False, values=("private", "state", "1")),
        Column(name="hours", kind="number", missing=False, low=0, high=99),
    )
)
ROW = {"age": 39, "work": "private", "hours": 40}

WORDS = ["", "good", "bad", "film"]

_CODE = """\
    import numpy as np
    import torch
    from touchstone.training import ModelSpec

    WORDS = ["", "good", "bad", "film"]

    class Mine(ModelSpec):
        task = "{task}"

        def load_data(self, uri, *, seed):
            raise ValueError("nothing to load")

        def build(self, parameters):
            return {network}

        def loss(self, module, batch):
            return module(batch.inputs).square().mean()

        def predict(self, module, inputs):
            return {predict}
"""

_ENCODE = """\

        def encode(self, values):
            rows = np.zeros((len(values), 3), dtype=np.int64)
            for row, value in zip(rows, values):
                for place, word in enumerate(value.split()[:3]):
                    if word == "crash":
                        raise SystemExit
                    if word == "fail":
                        raise KeyError(word)
                    if word not in WORDS:
                        raise ValueError(f"got the word {word!r}, expected one of {WORDS[1:]}")
                    row[place] = WORDS.index(word)
            return rows
"""


def table_tree(folder):
    """A classifier of rows, `yes` the likelier the older."""
    features = list(COLUMNS.features)
    inputs = {"kind": "tabular", "shape": [len(features)], "low": 0.0, "high": 1.0}
    description = Description(
        task="classification",
        classes=("no", "yes"),
        inputs={**inputs, "features": features, "columns": COLUMNS.to_json()},
        protected={},
        seed=1,
    )
    network = torch.nn.Linear(len(features), 2)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.zero_()
        network.weight[1, 0] = 4.0
    code = _CODE.format(
        task="classification", network=f"torch.nn.Linear({len(features)}, 2)",
        predict="module(inputs)",
    )  # fmt: skip
    return _exported(folder, code, network, description, torch.rand(8, len(features)))


def number_tree(folder):
    """A regression of three features: their sum."""
    inputs = {"kind": "tabular", "shape": [3], "low": 0.0, "high": 1.0, "features": ["a", "b", "c"]}
    description = Description(task="regression", classes=(), inputs=inputs, protected={}, seed=1)
    network = torch.nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    code = _CODE.format(
        task="regression", network="torch.nn.Linear(3, 1, bias=False)", predict="module(inputs)"
    )
    return _exported(folder, code, network, description, torch.rand(8, 3))


def text_tree(folder):
    """A classifier of texts of up to three words, which its own code encodes."""
    description = Description(
        task="classification",
        classes=("worse", "better"),
        inputs={"kind": "tokens", "dtype": "int64", "shape": [3], "low": 0, "high": 3},
        protected={},
        seed=1,
    )
    network = torch.nn.Embedding(4, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.0, 0.0], [0.0, 6.0], [6.0, 0.0], [0.0, 0.0]]))
    code = _CODE.format(
        task="classification",
        network="torch.nn.Embedding(4, 2)",
        predict="module(inputs).mean(1)",
    )
    return _exported(folder, code + _ENCODE, network, description, torch.randint(4, (8, 3)))


def _exported(folder, code, network, description, sample):
    source = folder.with_name(folder.name + "-source")
    source.mkdir(parents=True)
    (source / "model.py").write_text(textwrap.dedent(code))
    export(
        folder,
        module=network,
        spec=load_spec(source, "model.py:Mine"),
        sample=sample,
        source=source,
        entrypoint="model.py:Mine",
        parameters={},
        description=description,
        metrics={},
        seed=1,
    )
    return folder
