"""Bodies of requests are read strictly: what can be meant in two ways, or in none, is refused."""

import json
import struct
import time

import pytest

from touchstone.delivery import wire

DEEP = b"[" * 900 + b"]" * 900


def tensor(**changes):
    own = {"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [0, 1, 1]} | changes
    return {name: value for name, value in own.items() if value is not None}


def v2(*inputs, **more):
    return json.dumps({"inputs": list(inputs), **more}).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"instances": [NaN]}', "no JSON"),
        (b'{"instances": [-Infinity]}', "no JSON"),
        (b'{"instances": [1e999]}', "no JSON"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "no JSON"),
        (b'{"instances": ["\xff"]}', "no JSON"),
        (b'{"instances": ["\\ud800"]}', "no JSON"),
        ('{"instances": []}'.encode("utf-16"), "no JSON"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b"[" * 1_000_000, "no JSON"),
        (b'{"instances": [1],}', "no JSON"),
        (b'{"instances": [1]}{}', "no JSON"),
        (b'{"instances": [1], "instances": [2]}', "got 'instances' twice in one object"),
        (b'{"instances": [{"a": 1, "b": 2, "a": 3}]}', "got 'a' twice in one object"),
    ],
)
def test_what_is_no_json_is_refused(body, said):
    with pytest.raises(ValueError, match=said):
        wire.parsed(body)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "got null, expected {"),
        ([[1]], "got a list of 1, expected {"),
        ({}, "got no instances"),
        ({"instances": "abc"}, "got 'abc' as instances"),
        ({"instances": {"a": 1}}, "got an object as instances"),
    ],
)
def test_what_is_no_v1_request_is_refused(document, said):
    with pytest.raises(ValueError, match=said):
        wire.instances(document)


def test_a_v2_request_may_be_flat_or_nested_and_says_what_it_wants():
    body = v2(
        tensor(data=[[0, 1, 1]]),
        tensor(name="words", datatype="BYTES", shape=[2], data=["a", None]),
        id="7",
        outputs=[{"name": "label"}, {"name": "value", "parameters": {"binary_data": True}}],
        parameters={"binary_data_output": False},
    )
    asked = wire.tensors(body)
    assert asked.inputs["input"].values == [0, 1, 1]
    assert asked.inputs["words"].values == ["a", None]
    assert (asked.id, asked.outputs, asked.binary) == ("7", {"label": None, "value": True}, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "got null as the name"),
        ({"name": 3}, "got 3 as the name"),
        ({"shape": None}, "got shape null"),
        ({"shape": "13"}, "got shape '13'"),
        ({"shape": [-1, 3]}, r"got shape \[-1, 3\], expected a list of up to 16 whole"),
        ({"shape": [1.0, 3]}, "got shape"),
        ({"shape": [True, 3]}, r"got shape \[true, 3\]"),
        ({"shape": [2**40, 2**40]}, "got 3 values, expected as many as shape"),
        ({"shape": [9] * 1_000_000}, "got shape a list of 1000000, expected"),
        ({"shape": [2, 3]}, r"got 3 values, expected as many as shape \[2, 3\] says"),
        ({"datatype": "FP99"}, "got datatype 'FP99', expected one of FP16"),
        ({"datatype": "fp32"}, "got datatype 'fp32'"),
        ({"datatype": 5}, "got datatype 5"),
        ({"datatype": "BOOL"}, "got datatype 'BOOL'"),
        ({"data": None}, "expected either data or the parameter binary_data_size"),
        ({"data": "abc"}, "got 'abc' as data, expected a list"),
        ({"data": [[0, 1]]}, r"got a list of 2 at \[0\], expected a list of 3, as its shape says"),
        ({"data": [[0, 1, 1], [0, 1, 1]]}, "got a list of 2, expected a list of 1"),
        ({"parameters": 3}, "got 3 as parameters"),
        ({"parameters": {"binary_data_size": 12}}, "expected either data or"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        wire.tensors(v2(tensor() | {k: v for k, v in changes.items() if v is not None})
                     if None not in changes.values() else v2(tensor(**changes)))  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "got a list of 0, expected"),
        (b"{}", "got no inputs"),
        (b'{"inputs": []}', "got a list of 0 as inputs"),
        (b'{"inputs": [7]}', "got 7 among inputs"),
        (b'{"inputs": ' + DEEP + b"}", "got a list of 1 among inputs"),
        (v2(tensor(), tensor()), "got two tensors named 'input'"),
        (v2(tensor(), id=3), "got id 3"),
        (v2(tensor(), outputs="label"), "got 'label' among outputs"),
        (v2(tensor(), outputs=[{"name": "a"}, {"name": "a"}]), "got the output 'a' twice"),
        (v2(tensor(), parameters=[1]), "got a list of 1 as parameters"),
        (v2(tensor(), parameters={"binary_data_output": "yes"}), "got 'yes' as binary_data_output"),
    ],
)
def test_what_is_no_v2_request_is_refused(body, said):
    with pytest.raises(ValueError, match=said):
        wire.tensors(body)


def binary(data, size=None, **changes):
    size = len(data) if size is None else size
    text = v2(tensor(data=None, parameters={"binary_data_size": size}, **changes))
    return text + data, str(len(text))


ROW = struct.pack("<3f", 0, 1, 1)


def test_tensors_may_follow_their_json_as_bytes():
    assert wire.tensors(*binary(ROW)).inputs["input"].values == [0, 1, 1]
    half = struct.pack("<3e", 0, 1, 1)
    assert wire.tensors(*binary(half, datatype="FP16")).inputs["input"].values == [0, 1, 1]
    words = b"".join(struct.pack("<I", len(one)) + one for one in ("ä".encode(), b""))
    asked = wire.tensors(*binary(words, datatype="BYTES", shape=[2]))
    assert asked.inputs["input"].values == ["ä", ""]


@pytest.mark.parametrize(
    ("body", "length", "said"),
    [
        (*binary(ROW[:8]), "got 8 bytes, expected 4 for each value"),
        (*binary(ROW, size=13), "got binary_data_size 13 with 12 bytes after the JSON"),
        (*binary(ROW, size=-1), "got binary_data_size -1"),
        (*binary(ROW, size="12"), "got binary_data_size '12'"),
        (*binary(ROW, size=True), "got binary_data_size true"),
        (*binary(ROW, shape=[2**60, 2**60]), "got 12 bytes, expected 4 for each value"),
        (binary(ROW)[0] + b"x", binary(ROW)[1], "got 1 bytes after the last tensor"),
        (binary(ROW)[0], "x", "for a body of"),
        (binary(ROW)[0], "-1", "for a body of"),
        (binary(ROW)[0], "9" * 5000, "for a body of"),
        (binary(ROW)[0], "1_0", "for a body of"),
        (binary(ROW)[0], "0", "no JSON"),
        (binary(ROW)[0], None, "no JSON"),
        (*binary(struct.pack("<I", 2**31) + b"x", datatype="BYTES", shape=[1]), "longer than its"),
        (*binary(b"\1\0\0", datatype="BYTES", shape=[1]), "longer than its data"),
        (*binary(b"\1\0\0\0\xff", datatype="BYTES", shape=[1]), "no UTF-8"),
        (*binary(b"\0\0\0\0", datatype="BYTES", shape=[2]), "got 1 words, expected as many"),
    ],
)
def test_binary_data_that_is_not_what_its_json_says_is_refused(body, length, said):
    with pytest.raises(ValueError, match=said):
        wire.tensors(body, length)


def test_an_error_shows_of_a_value_no_more_than_a_line_and_takes_no_time_for_it():
    started = time.monotonic()
    names = ", ".join(f'"{n}": 0' for n in range(100_000))
    with pytest.raises(ValueError, match="got '99999' twice"):
        wire.parsed(f'{{{names}, "99999": 1}}'.encode())
    with pytest.raises(ValueError) as refused:
        wire.tensors(v2(tensor(name="x" * 1_000_000, shape=[9])))
    assert len(str(refused.value)) < 200
    assert time.monotonic() - started < 5
