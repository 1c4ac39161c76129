"""The model repository's file of the tables' tests: a small network on rows of any units."""

import torch

from touchstone.training import ModelSpec


class Standard(torch.nn.Module):
    """Each column without its mean, in units of its standard deviation."""

    def __init__(self, columns):
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def forward(self, inputs):
        return (inputs - self.mean) / self.scale


class Rows(ModelSpec):
    """Tells one of two classes."""

    task = "classification"

    def load_data(self, uri, *, seed):
        raise ValueError("nothing to load")

    def build(self, parameters):
        columns = int(parameters["columns"])
        return torch.nn.Sequential(
            Standard(columns), torch.nn.Linear(columns, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
        )

    def loss(self, module, batch):
        return torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module, inputs):
        return module(inputs)
