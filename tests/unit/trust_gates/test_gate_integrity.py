"""A model tree with anything executable, altered, leaked or broken in it is refused."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trust_gates import integrity
from trust_gates.integrity import pickles
from trust_gates.samples import Samples
from trust_gates.verdict import Outcome

DIGEST, OTHER = "sha256:" + "0" * 64, "sha256:" + "1" * 64


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def zipped(name, data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def tarred(name, data):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def array_of_objects():
    stream = io.BytesIO()
    np.save(stream, np.array([Malicious()], dtype=object), allow_pickle=True)
    return stream.getvalue()


EVIL = [pickle.dumps(Malicious(), protocol=protocol) for protocol in range(6)]


@pytest.fixture
def model(tmp_path):
    save_file({"weight": torch.ones(3), "steps": torch.tensor(3)}, tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps({"entrypoint": "model.py:M"}))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text('"""A model."""\n\nX = 1\n')
    return tmp_path


def rows(count, seed):
    generator = np.random.default_rng(seed)
    return Samples(
        inputs=generator.random((count, 4), dtype=np.float32),
        labels=np.arange(count) % 2,
        classes=["no", "yes"],
        groups={"sex": np.array(["a", "b"])[np.arange(count) // 2 % 2]},
    )


SPLITS = {"train": rows(200, 0), "validation": rows(40, 1), "test": rows(80, 2)}


def subject(model, **more):
    sound = {
        "expected": {"model": DIGEST},
        "actual": {"model": DIGEST},
        "splits": SPLITS,
        "groups": {"sex": ("a", "b")},
    }
    return integrity.Subject(model=model, **(sound | more))


def failed(evidence):
    return {
        check.name: check.reason for check in evidence.checks if check.outcome.value != "passed"
    }


def test_a_sound_model_passes_every_check(model):
    evidence = integrity.judge(subject(model))
    assert failed(evidence) == {}
    assert evidence.outcome is Outcome.PASSED
    assert len(evidence.checks) == 11
    assert evidence.figures.keys() >= {check.name for check in evidence.checks} | {"label_noise"}


@pytest.mark.parametrize(
    "data",
    [
        *EVIL,
        gzip.compress(EVIL[4], mtime=0),
        bz2.compress(EVIL[4]),
        lzma.compress(EVIL[4]),
        lzma.compress(EVIL[4], format=lzma.FORMAT_ALONE),
        zlib.compress(EVIL[4]),
        gzip.compress(zipped("x", EVIL[0]), mtime=0),
        zipped("archive/data.pkl", b""),
        zipped("innocent.txt", EVIL[2]),
        tarred("innocent.txt", EVIL[2]),
        saved({"weight": torch.ones(2)}),
        array_of_objects(),
        zipped("array.npy", array_of_objects()),
        gzip.compress(EVIL[4], mtime=0)[:-12],
        b"PK\x03\x04 torn",
    ],
)
def test_a_pickle_is_found_whatever_its_name_and_wrapping(model, data):
    (model / "code" / "notes.txt").write_bytes(data)
    assert "notes.txt" in failed(integrity.judge(subject(model)))["pickle_files"]


@pytest.mark.parametrize("suffix", sorted(pickles.SUFFIXES))
def test_an_ending_that_loaders_unpickle_is_enough(model, suffix):
    (model / f"weights{suffix}").write_bytes(b"harmless")
    assert "pickle_files" in failed(integrity.judge(subject(model)))


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"Read me.\n", b"{}", b"[1, 2]", b"# a comment\n", b"\x89PNG\r\n\x1a\n", b"N."],
)
def test_other_files_are_no_pickles(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = "parses as a pickle" if data == b"N." else ""  # which is the pickle of None
    assert expected in pickles.reason(path)
    assert bool(pickles.reason(path)) == bool(expected)


def test_an_array_archive_of_numbers_is_no_pickle(tmp_path):
    np.savez(tmp_path / "data.npz", inputs=np.ones((2, 3)))
    assert pickles.reason(tmp_path / "data.npz") == ""


def test_a_decompression_bomb_is_refused(model):
    (model / "notes.gz").write_bytes(gzip.compress(bytes(65 << 20), compresslevel=1))
    assert "larger than" in failed(integrity.judge(subject(model)))["pickle_files"]


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        ({"model": DIGEST}, {"model": OTHER}, f"model is {OTHER}, expected {DIGEST}"),
        ({"model": DIGEST}, {}, "model is absent"),
        ({}, {"model": DIGEST}, "model is named ''"),
        ({"model": "latest"}, {"model": "latest"}, "model is named 'latest'"),
        ({}, {}, "no digest was given"),
    ],
)
def test_a_digest_that_differs_is_named(model, expected, actual, message):
    evidence = integrity.judge(subject(model, expected=expected, actual=actual))
    assert message in failed(evidence)["digest_mismatches"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(model, value):
    save_file({"ok": torch.ones(1), "bad": torch.tensor([1.0, value])}, model / "model.safetensors")
    assert "bad has values" in failed(integrity.judge(subject(model)))["bad_weights"]


def test_weights_that_are_no_safetensors_fail(model):
    (model / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    assert "no safetensors file" in failed(integrity.judge(subject(model)))["bad_weights"]


def test_a_model_without_weights_fails(model):
    (model / "model.safetensors").unlink()
    assert "got 0, expected >= 1" in failed(integrity.judge(subject(model)))["weight_files"]
