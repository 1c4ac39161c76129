"""A model tree answers raw values, each input alone, and one that cannot answer does not start."""

import types

import numpy as np
import pytest
import torch
from linear_model import DESCRIPTION, model_tree
from served_models import COLUMNS, ROW, table_tree, text_tree

from touchstone.delivery.predictor import Predictor
from touchstone.delivery.server import _finite
from touchstone.delivery.wire import Instances
from touchstone.training.opened import open_model
from trust_gates.errors import GateError, HostGoneError


def predictor(tree):
    opened = open_model(tree)
    return Predictor(opened.spec, opened.module, opened.document, encode=opened.encode)


def answers(asked, *values):
    inputs, groups = asked.read(Instances(values=list(values)))
    return asked.as_json(asked.answer(inputs, groups))


def test_a_row_of_a_table_is_encoded_by_what_the_tree_says_of_its_columns(tmp_path):
    asked = predictor(table_tree(tmp_path / "tree"))
    asked.rehearse()
    old, young = answers(asked, {**ROW, "age": 90}, {**ROW, "age": 17})
    assert (old["label"], young["label"]) == ("yes", "no")
    (encoded,) = answers(asked, COLUMNS.encode([{**ROW, "age": 90}])[0].tolist())
    assert encoded == old


def test_a_text_is_encoded_by_the_models_own_code_in_its_host(tmp_path):
    asked = predictor(text_tree(tmp_path / "tree"))
    asked.rehearse()
    better, worse = answers(asked, "good film", "bad")
    assert (better["label"], worse["label"]) == ("better", "worse")
    with pytest.raises(ValueError, match="got the word 'awful'"):
        answers(asked, "awful")
    with pytest.raises(GateError, match="KeyError: 'fail'"):
        answers(asked, "fail")
    with pytest.raises(HostGoneError, match="gave no answer"):
        answers(asked, "crash")


def test_a_model_that_takes_inputs_only_has_no_encode(tmp_path):
    assert open_model(model_tree(tmp_path / "tree", 1.0)).encode is None


def made_up(task, classes, answer):
    """A predictor of three features, whatever it answers."""
    document = {"task": task, "classes": classes, "inputs": DESCRIPTION.inputs}
    spec = types.SimpleNamespace(predict=lambda module, inputs: answer(inputs))
    return Predictor(spec, torch.nn.Identity(), document)


def test_numbers_are_answered_with_their_value():
    asked = made_up("regression", [], lambda inputs: inputs.sum(1, keepdim=True))
    assert answers(asked, [0, 0.5, 1], [0, 0, 0]) == [{"value": 1.5}, {"value": 0.0}]
    tensors = asked.as_tensors(asked.answer(np.ones((2, 3), np.float32)))
    assert (tensors["value"].dtype, tensors["value"].tolist()) == (np.float32, [3.0, 3.0])
    (output,) = asked.described()["outputs"]
    assert output == {"name": "value", "datatype": "FP32", "shape": [-1]}


def test_a_model_that_answers_in_another_form_does_not_start():
    asked = made_up("classification", ["a", "b"], lambda inputs: inputs)
    with pytest.raises(ValueError, match="longer|shorter"):
        asked.rehearse()


def test_a_large_request_is_answered_in_parts_and_an_answer_that_is_no_number_is_none():
    seen = []

    def answer(inputs):
        seen.append(len(inputs))
        return inputs[:, :2] / inputs[:, 2:]

    asked = made_up("classification", ["a", "b"], answer)
    rows = np.ones((1000, 3), np.float32)
    assert len(asked.answer(rows)) == 1000
    assert max(seen) <= 128
    rows[700, 2] = 0
    with pytest.raises(RuntimeError, match=r"for the input at \[700\] are NaN or infinite"):
        _finite(asked.answer(rows))
