"""Model repositories with a network each, exported as trees whose code must answer."""

from __future__ import annotations

import textwrap

import torch

from touchstone.training.export import export
from touchstone.training.load import load_spec
from touchstone.training.spec import Description

ROWS = """\
    import os, sys
    import torch
    from torch import nn
    from touchstone.training import ModelSpec

    class Mine(ModelSpec):
        task = "classification"

        def load_data(self, uri, *, seed):
            raise NotImplementedError

        def build(self, parameters):
            return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

        def loss(self, module, batch):
            return nn.functional.cross_entropy(module(batch.inputs), batch.labels)

        def predict(self, module, inputs):
            {predict}
"""

BOXES = """\
    import torch
    from torch import nn
    from touchstone.training import ModelSpec
    from touchstone.training.spec import Detection

    class Mine(ModelSpec):
        task = "detection"

        def load_data(self, uri, *, seed):
            raise NotImplementedError

        def build(self, parameters):
            return nn.Conv2d(1, 2, 3)

        def loss(self, module, batch):
            return (module(batch.inputs).mean() - batch.boxes.mean()).square()

        def predict(self, module, inputs):
            maps = module(inputs).sigmoid()
            found = []
            for number, one in enumerate(maps):
                scores = one.flatten(1).amax(1)[: number % 3]
                boxes = torch.stack([scores, scores, scores + 1, scores + 1], 1) * 4
                labels = torch.zeros(len(scores)).long()
                found.append(Detection(boxes=boxes, labels=labels, scores=scores))
            return found
"""


def tree(folder, code, *, shape, task="classification"):
    source = folder / "source"
    source.mkdir()
    (source / "model.py").write_text(textwrap.dedent(code))
    spec = load_spec(source, "model.py:Mine")
    torch.manual_seed(3)
    module = spec.build({}).eval()
    export(
        folder / "tree",
        module=module,
        spec=spec,
        sample=torch.rand(4, *shape),
        source=source,
        entrypoint="model.py:Mine",
        parameters={},
        description=Description(
            task=task,
            classes=("a", "b", "c"),
            inputs={"shape": list(shape), "low": 0.0, "high": 1.0},
            protected={},
            seed=1,
        ),
        metrics={},
        seed=1,
    )
    (folder / "tree" / "graph.json").unlink(missing_ok=True)
    return spec, module, folder / "tree"


def rows(folder, predict="return module(inputs)"):
    lines = f"\n{' ' * 12}".join(predict.splitlines())
    return tree(folder, ROWS.format(predict=lines), shape=(4,))
