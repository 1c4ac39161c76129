"""A model tree that training code wrote to deceive: what it says is held against the data."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from touchstone.training import dataset, graph
from touchstone.training.spec import Description
from touchstone.training.target import open_described
from trust_gates.errors import GateError
from trust_gates.host import protocol
from trust_gates.host.protocol import BrokenError, Channel, Memory

DATA = Description(
    task="classification",
    classes=("no", "yes"),
    inputs={"shape": [4], "low": 0.0, "high": 1.0},
    protected={},
    seed=0,
)
WEIGHTS = {"w": torch.ones(4, 4), "short": torch.ones(2)}
RELU = {"op": "aten.relu.default", "result": "r", "args": [{"value": "inputs"}], "kwargs": {}}


def tree(folder, nodes, answer="r", **other):
    model = {
        "entrypoint": "model.py:M",
        "parameters": {},
        "task": "classification",
        "classes": ["no", "yes"],
        "inputs": dict(DATA.inputs),
        "torch": "",
        "seed": 0,
        **other,
    }
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "graph.json").write_text(
        json.dumps({"nodes": nodes, "answer": answer, "learned": []})
    )
    save_file(WEIGHTS, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "other",
    [
        {"classes": ["yes", "no"]},
        {"classes": ["no"]},
        {"inputs": {"shape": [4], "low": 0.0, "high": 2.0}},
        {"task": "detection"},
    ],
)
def test_a_tree_that_names_its_answers_otherwise_than_the_data_is_not_judged(tmp_path, other):
    with pytest.raises(ValueError, match="expected the dataset's"):
        open_described(tree(tmp_path, [RELU], **other), DATA)
    (tmp_path / "same").mkdir()
    assert open_described(tree(tmp_path / "same", [RELU]), DATA).asked_as == "graph"


def asked(folder, nodes):
    network = graph.read(tree(folder, nodes), WEIGHTS)
    return network(torch.rand(3, 4))


def norm(figures):
    value = {"value": figures}
    return {
        "op": "aten._native_batch_norm_legit_no_training.default",
        "result": "r",
        "args": [{"value": "inputs"}, None, None, value, value, 0.1, 1e-5],
        "kwargs": {},
    }


def test_a_graph_does_not_read_beyond_its_weights(tmp_path):
    with pytest.raises(GateError, match="channels"):
        asked(tmp_path, [norm("short")])


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("mul", [[0], 10**9]),
        ("mul", ["x", 10**9]),
        ("mul", [10**4000, 10**4000]),
        ("mod", ["%1000000000d", 5]),
        ("add", ["a", "b"]),
        ("getitem", ["words", 0]),
    ],
)
def test_a_graphs_numbers_are_numbers(tmp_path, op, args):
    node = {"op": f"number.{op}", "result": "r", "args": args, "kwargs": {}}
    with pytest.raises(GateError):
        asked(tmp_path, [node])


def test_all_tensors_of_a_message_together_are_bounded(monkeypatch):
    import socket

    monkeypatch.setattr(protocol, "MOST_BYTES", 1 << 20)
    ours, theirs = socket.socketpair()
    memory = Memory.new()
    os.ftruncate(memory.descriptor, 1 << 20)
    body = json.dumps({"tensors": [["float32", [1 << 17], 0]] * 3}).encode()
    theirs.sendall(len(body).to_bytes(4, "big") + body)
    with pytest.raises(BrokenError, match="bytes of tensors"):
        Channel(ours, memory).receive()


def test_nobody_learns_from_the_split_that_judges(tmp_path):
    for name in ("train.npz", "validation.npz", "test.npz", "dataset.json"):
        (tmp_path / name).touch()
    dataset.learned_from(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "dataset.json",
        "train.npz",
        "validation.npz",
    ]


def test_arrays_that_grow_when_read_are_not_read(tmp_path):
    import numpy as np

    (tmp_path / "dataset.json").write_text(json.dumps(DATA.to_json()))
    arrays = {"inputs": np.zeros((9, 4), np.float32), "labels": np.zeros(9, np.int64)}
    np.savez_compressed(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match="compressed"):
        dataset.read_raw(tmp_path)
    np.savez(tmp_path / "data.npz", **arrays)
    assert len(dataset.read_raw(tmp_path).arrays["labels"]) == 9


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("aten.dropout.default", [{"value": "inputs"}, 0.5, True]),
        ("aten.alpha_dropout.default", [{"value": "inputs"}, 0.5, {"value": "inputs"}]),
        ("aten.batch_norm.default", [{"value": "inputs"}, None, None, None, None, True, 0.1, 1e-5]),
        (
            "aten.instance_norm.default",
            [{"value": "inputs"}, None, None, {"value": "inputs"}, None, True, 0.1, 1e-5, False],
        ),
        (
            "aten.scaled_dot_product_attention.default",
            [{"value": "inputs"}, {"value": "inputs"}, {"value": "inputs"}, None, 0.5],
        ),
    ],
)
def test_an_operator_as_in_training_is_in_no_graph(tmp_path, op, args):
    """The answer to one sample would depend on luck, or on who else is asked about."""
    node = {"op": op, "result": "a", "args": args, "kwargs": {}}
    document = {"nodes": [node], "answer": "a", "learned": []}
    (tmp_path / graph.FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match="as in training, expected"):
        graph.read(tmp_path, {})
