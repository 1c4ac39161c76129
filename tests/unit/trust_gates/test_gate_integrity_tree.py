"""Links, pipes and malformed or empty weights of a model are refused, each by its name."""

import json
import os
import socket

import pytest
import torch
from safetensors.torch import save_file
from test_gate_integrity import failed, subject
from test_gate_integrity import model as model  # noqa: PLC0414 (a fixture)

from trust_gates import integrity, outside
from trust_gates.errors import GateError, PolicyError
from trust_gates.gates import Gates
from trust_gates.integrity import pickles, pinning, specimens, tensors, tree
from trust_gates.integrity.policy import Integrity
from trust_gates.policy import Check


def test_links_pipes_and_sockets_are_named_and_none_is_entered(model, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "evil.pkl").write_bytes(b"\x80\x04.")
    (model / "sub").symlink_to(elsewhere)
    (model / "broken").symlink_to("/nonexistent")
    (model / ".hidden").mkdir()
    os.mkfifo(model / ".hidden" / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(model / "socket"))
        reason = failed(integrity.judge(subject(model)))
    assert set(reason) == {"irregular_files"}
    for told in (
        f"sub: it is a symbolic link to '{elsewhere}'",
        "broken: it is a symbolic link to '/nonexistent'",
        ".hidden/pipe: it is a FIFO",
        "socket: it is a socket",
    ):
        assert told in reason["irregular_files"]


def test_a_second_name_of_a_file_is_a_file(model):
    os.link(model / "model.json", model / "again.json")
    assert failed(integrity.judge(subject(model))) == {}


def test_a_hidden_file_is_examined(model):
    (model / ".cache").mkdir()
    (model / ".cache" / "x.pkl").write_bytes(b"")
    assert ".cache/x.pkl" in failed(integrity.judge(subject(model)))["pickle_files"]


def test_a_repository_is_not_read_through_a_link(model, tmp_path_factory):
    source, secret = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("secret") / "s"
    secret.write_text("password\n")
    (source / "requirements.txt").symlink_to(secret)
    assert pinning.unpinned(source) == ([], 0)
    evidence = integrity.judge(subject(model, source=source))
    assert "repository: requirements.txt: it is a symbolic" in failed(evidence)["irregular_files"]
    assert "password" not in str(evidence.to_json())


def test_data_with_a_link_or_a_pipe_are_a_wrong_folder(model, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    os.mkfifo(data / "train.npz")
    with pytest.raises(ValueError, match=r"train\.npz: it is a FIFO .*nothing of the folder"):
        outside.examine(model, data, Gates(), expected={})


def test_a_file_behind_a_link_has_no_digest(model, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "w").write_bytes(b"x")
    (model / "sub").symlink_to(elsewhere)
    expected = {"sub/w": "sha256:" + "0" * 64}
    evidence = outside.examine(model, None, Gates(), expected=expected)
    assert "sub/w is absent" in failed(evidence)["digest_mismatches"]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        *((value, kind) for value in (NAN, INF) for kind in (
            torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
            torch.float8_e5m2,
        )),
        (NAN, torch.float8_e4m3fn),
        (NAN, torch.float8_e5m2fnuz),
        (NAN, torch.float8_e4m3fnuz),
    ],
)  # fmt: skip
def test_values_that_are_no_number_are_found_in_every_type(model, values, type_):
    bad = torch.tensor([1.0, values], dtype=torch.float32).to(type_)
    save_file({"ok": torch.ones(5), "bad": bad}, model / "model.safetensors")
    assert "bad has values" in failed(integrity.judge(subject(model)))["bad_weights"]


@pytest.mark.parametrize(
    "type_",
    [
        *(torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float16, torch.complex64),
        *(torch.int8, torch.uint8, torch.int64, torch.bool),
    ],
)
def test_sound_values_of_every_type_pass(model, type_):
    largest = torch.tensor([0, 1, -1, 100]).to(torch.float32).to(type_)
    save_file({"w": largest, "scalar": torch.tensor(1).to(type_)}, model / "model.safetensors")
    assert failed(integrity.judge(subject(model))) == {}


@pytest.mark.parametrize("weights", [{}, {"w": torch.zeros(0, 3)}])
def test_a_file_without_a_value_is_a_model_without_weights(model, weights):
    save_file(weights, model / "model.safetensors")
    reason = failed(integrity.judge(subject(model)))
    assert "got 0, expected >= 1" in reason["weight_files"]
    assert "holds no value" in reason["bad_weights"]


def entry(start, end, kind="F32", shape=(1,)):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}


def packed(header, body, text=None):
    text = json.dumps(header).encode() if text is None else text
    return len(text).to_bytes(8, "little") + text + body


ONE = json.dumps(entry(0, 4))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (packed({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)), "begins at byte"),
        (packed({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "begins at byte"),
        (packed({"a": entry(4, 8)}, bytes(8)), "begins at byte"),
        (packed({"a": entry(0, 4)}, bytes(9)), "its tensors end at"),
        (packed({"a": entry(0, 4)}, b""), "its tensors end at"),
        (packed({"a": entry(0, 8)}, bytes(8)), "has 32 bits"),
        (packed({"a": entry(0, 4, "F128")}, bytes(4)), "of the type 'F128'"),
        (packed({"a": entry(0, 4, shape=(-1,))}, bytes(4)), "has the shape"),
        (packed({"a": entry(0, 4, shape=(True,))}, bytes(4)), "has the shape"),
        (packed({"a": []}, b""), "is described by"),
        (packed({"__metadata__": {"a": 1}}, b""), "is not text"),
        (packed(None, bytes(4), f'{{"a":{ONE},"a":{ONE}}}'.encode()), "names 'a' twice"),
        (packed(None, b"", b" {}"), "does not begin with"),
        (packed(None, b"", b"{"), "Expecting"),
        ((200 << 20).to_bytes(8, "little") + b"{}", "got a header of"),
        (b"{}", "expected a header"),
    ],
)
def test_a_header_that_readers_could_read_in_two_ways_is_refused(model, data, why):
    with pytest.raises(ValueError, match=why):
        tensors.header(data)
    (model / "model.safetensors").write_bytes(data)
    assert why in failed(integrity.judge(subject(model)))["bad_weights"]


def test_a_header_whose_length_begins_as_a_pickle_is_none(model):
    text = json.dumps({"a": entry(0, 4)}).encode().ljust(0x180)
    (model / "model.safetensors").write_bytes(packed(None, bytes(4), text))
    assert failed(integrity.judge(subject(model))) == {}


def test_a_truth_value_is_0_or_1(model):
    data = packed({"a": entry(0, 2, "BOOL", (2,))}, b"\x01\x07")
    (model / "model.safetensors").write_bytes(data)
    assert "a has values" in failed(integrity.judge(subject(model)))["bad_weights"]


def test_a_gate_that_misses_a_specimen_does_not_work(model, monkeypatch):
    monkeypatch.setattr(pickles, "reason", lambda path: "")
    with pytest.raises(GateError, match="accepted a pickle named as text, one behind"):
        integrity.judge(subject(model))


def test_what_was_tried_on_the_gate_is_told(model):
    evidence = integrity.judge(subject(model))
    told = " ".join(evidence.notes)
    assert "a pickle named as text" in told
    assert "a link and a pipe" in told
    assert "refused, as it must be: a test split of which 50% was copied from what was" in told


@pytest.mark.parametrize(("metric", "bound"), [("leaked_test_samples", 80), ("label_noise", 0.9)])
def test_a_bound_that_lets_everything_pass_is_a_wrong_policy(model, metric, bound):
    policy = Integrity(checks=(Check(metric=metric, at_most=bound),))
    with pytest.raises(PolicyError, match=r"gates\.integrity asks for nothing"):
        integrity.judge(subject(model), policy)


def test_what_was_examined_is_told_first(model):
    asked = dict(integrity.judge(subject(model)).asked)
    assert asked == {
        "files of the model": "3",
        "digests expected": "model",
        "samples": "train 200, validation 40, test 80",
        "range of the inputs": "0 to 1",
        "groups of sex": "a, b",
        "backdoors": "not searched",
        "dependencies": "need not be pinned",
    }


def test_a_noise_estimate_that_sees_nothing_does_not_work(model, monkeypatch):
    blind = specimens.labels.exact(0.0, 200)
    monkeypatch.setattr(specimens.labels, "noise", lambda *given: blind)
    policy = Integrity(checks=(Check(metric="label_noise", at_most=0.2),))
    with pytest.raises(GateError, match="label_noise did not see"):
        integrity.judge(subject(model), policy)


def test_a_folder_reached_by_a_link_is_a_folder(model, tmp_path_factory):
    link = tmp_path_factory.mktemp("named") / "model"
    link.symlink_to(model)
    assert len(tree.walk(link).files) == 3


@pytest.mark.parametrize(("name", "what"), [("absent", "is absent"), ("m.onnx", "is a file")])
def test_what_is_no_folder_is_a_wrong_path_and_no_refused_model(tmp_path, name, what):
    (tmp_path / "m.onnx").write_bytes(b"weights")
    with pytest.raises(ValueError, match=what):
        outside.examine(tmp_path / name, None, Gates(), expected={})
