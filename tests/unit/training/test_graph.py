"""A network as data: the same answers and gradients, and nothing but arithmetic in it."""

import json

import pytest
import torch
from torch import nn

from touchstone.training import graph
from touchstone.training.evasion.network import Activations
from touchstone.training.spec import ModelSpec
from trust_gates.errors import GateError
from trust_gates.target import penultimate


class Spec(ModelSpec):
    task = "classification"
    load_data = build = loss = None

    def predict(self, module, inputs):
        return module(inputs)


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.drop, self.last = nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(16, 3)
        self.register_buffer("shift", torch.arange(3.0), persistent=False)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x)))
        x = nn.functional.adaptive_avg_pool2d(x, 2).reshape(x.shape[0], -1)
        return self.last(self.drop(x)) + self.shift * torch.tensor([1.0, 2.0, 0.5])


NETWORKS = {
    "rows": (lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), (5,)),
    "images": (Images, (1, 8, 8)),
    "attention": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (4, 6)),
            nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
            nn.Flatten(),
            nn.Linear(24, 3),
        ),
        (24,),
    ),
}


@pytest.fixture(params=NETWORKS)
def both(request, tmp_path):
    """A network and its graph, and inputs."""
    torch.manual_seed(1)
    make, shape = NETWORKS[request.param]
    module = make().eval()
    with torch.no_grad():  # as if it had been trained
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    constants, why_not = graph.write(tmp_path, Spec(), module, torch.rand(6, *shape))
    assert not why_not
    read = graph.read(tmp_path, {**module.state_dict(), **constants})
    return module, read, torch.rand(7, *shape)


def test_a_graph_answers_and_differentiates_as_the_network_does(both):
    module, read, inputs = both
    for rows in (inputs, inputs[:1]):
        a, b = rows.clone().requires_grad_(), rows.clone().requires_grad_()
        ours, theirs = read(a), module(b)
        torch.testing.assert_close(ours, theirs)
        ours[:, 0].sum().backward()
        theirs[:, 0].sum().backward()
        torch.testing.assert_close(a.grad, b.grad)


def test_what_the_gates_look_at_inside_is_the_same(both):
    module, read, inputs = both
    torch.testing.assert_close(
        penultimate(read, lambda: read(inputs)), penultimate(module, lambda: module(inputs))
    )
    if inputs.shape[1:] == (24,):
        return  # a summary of tokens is asked of no network
    seen = [Activations(one).of(lambda one=one: one(inputs)) for one in (read, module)]
    torch.testing.assert_close(*seen)


def test_its_weights_are_parameters_and_running_statistics_are_not(both):
    module, read, _ = both
    ours, theirs = list(read.parameters()), list(module.parameters())
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_what_is_no_fixed_list_of_operators_keeps_its_code_and_says_why(tmp_path):
    class Branching(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 3 else x

    constants, why_not = graph.write(tmp_path, Spec(), Branching(), torch.rand(4, 3))
    assert not constants
    assert why_not
    assert graph.read(tmp_path, {}) is None


def test_a_graph_that_answers_otherwise_than_its_network_is_not_written(tmp_path):
    class Drawing(nn.Module):
        """Its answers depend on how many it is asked at once, by Python's arithmetic."""

        def __init__(self):
            super().__init__()
            self.asked = 0

        def forward(self, x):
            self.asked += 1
            return x * float(self.asked)

    _, why_not = graph.write(tmp_path, Spec(), Drawing(), torch.rand(4, 3))
    assert "differ" in why_not


@pytest.mark.parametrize(
    "op",
    [
        "aten.from_file.default",
        "aten.set_.source_Storage",
        "aten.empty.memory_format",
        "aten.relu_.default",
        "aten.add.out",
        "aten.relu",
        "aten.relu.no_such_overload",
        "prim.device.default",
        "number.__import__",
        "number.attrgetter",
        "os.system.default",
        "aten.__class__.mro",
        "",
    ],
)
def test_an_operator_that_is_not_on_the_list_is_refused(tmp_path, op):
    node = {"op": op, "result": "a", "args": [{"value": "inputs"}], "kwargs": {}}
    document = {"nodes": [node], "answer": "a", "learned": []}
    (tmp_path / graph.FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"graph\.json: got the operator"):
        graph.read(tmp_path, {})


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"nodes": 3, "answer": "a", "learned": []},
        {"nodes": [{"op": "aten.relu.default"}], "answer": "a", "learned": []},
        {"nodes": [{}] * 100_001, "answer": "a", "learned": []},
    ],
)
def test_a_malformed_graph_is_refused_when_it_is_read(tmp_path, document):
    (tmp_path / graph.FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"graph\.json"):
        graph.read(tmp_path, {})


@pytest.mark.parametrize(
    "args",
    [[], [{"value": "nowhere"}], [{"value": "inputs", "more": 1}], [{"eval": "1"}], ["text"]],
)
def test_operators_that_do_not_fit_together_are_the_gates_error(tmp_path, args):
    node = {"op": "aten.relu.default", "result": "a", "args": args, "kwargs": {}}
    document = {"nodes": [node], "answer": "a", "learned": []}
    (tmp_path / graph.FILE).write_text(json.dumps(document))
    with pytest.raises((GateError, ValueError)):
        graph.read(tmp_path, {})(torch.rand(2, 3))


def test_every_operator_on_the_list_exists_and_changes_no_argument_in_some_overload():
    for name in graph.OPERATORS:
        packet = getattr(torch.ops.aten, name)
        kinds = [getattr(packet, one) for one in packet.overloads()]
        assert any(not one._schema.is_mutable for one in kinds), name
        takes = {str(a.type) for one in kinds for a in one._schema.arguments}
        assert not {"Storage", "Stream", "QScheme"} & takes, name
