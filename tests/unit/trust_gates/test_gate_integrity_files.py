"""Files that a machine would run are found by what is in them; what a rebuild needs is pinned."""

import json
import shutil
import sys

import pytest
from test_gate_integrity import failed, subject
from test_gate_integrity import model as model  # noqa: PLC0414 (a fixture)

from trust_gates import integrity
from trust_gates.integrity import executables, pinning
from trust_gates.integrity.policy import Integrity

DIGEST = "sha256:" + "a" * 64


def part(number, content):
    """A protobuf field: bytes of less than 128, or a small number."""
    if isinstance(content, int):
        return bytes([*tag(number, 0), content])
    assert len(content) < 128
    return bytes([*tag(number, 2), len(content)]) + content


def tag(number, kind):
    key = number << 3 | kind
    return [key] if key < 128 else [key & 0x7F | 0x80, key >> 7]


def onnx(*, domain=b"", tensor=b"", node=b"", extra=b""):
    one = part(4, b"Relu") + (part(7, domain) if domain else b"") + node
    graph = part(1, one) + (part(5, tensor) if tensor else b"")
    return part(7, graph) + part(8, part(1, b"") + part(2, 20)) + extra


def notebook(outputs):
    return json.dumps(
        {"cells": [{"cell_type": "code", "source": "1", "outputs": outputs}]}
    ).encode()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("ops.so", b"", "its ending .so"),
        ("ops.so.1", b"", "its ending .1"),
        ("ops.PYD", b"", "its ending"),
        ("start.sh", b"", "its ending .sh"),
        ("layer.keras", b"", "its ending .keras"),
        ("site.pth", b"import os", "its ending .pth"),
        ("data", b"\x7fELF\x02\x01", "an ELF program"),
        ("data.txt", b"MZ\x90\x00", "a Windows program"),
        ("data.bin", b"\xcf\xfa\xed\xfe", "a Mach-O program"),
        ("README", b"#!/bin/sh\n", "a script"),
        ("run.ipynb", notebook([{"text": "x"}]), "outputs of 1 cells"),
        ("run.ipynb", b"not json", "could not be examined"),
        ("run.ipynb", b"[]", "could not be examined"),
        ("net.onnx", onnx(domain=b"com.evil"), "operators of com.evil"),
        ("net.onnx", onnx(node=part(5, part(6, part(1, part(7, b"own"))))), "operators of own"),
        ("net.onnx", onnx(extra=part(8, part(1, b"com.microsoft"))), "of com.microsoft"),
        ("net.onnx", onnx(tensor=part(13, b"")), "tensors in other files"),
        ("net.onnx", onnx(tensor=part(14, 1)), "tensors in other files"),
        ("net.onnx", b"not onnx", "could not be examined"),
        ("net.onnx", b"", "could not be examined"),
    ],
)
def test_what_could_run_is_named(model, name, content, why):
    (model / name).write_bytes(content)
    reason = failed(integrity.judge(subject(model)))["executable_files"]
    assert name in reason
    assert why in reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.py", b"#!/usr/bin/env python\n"),
        ("README.md", b"# A model\n"),
        ("empty", b""),
        ("run.ipynb", notebook([])),
        ("net.onnx", onnx()),
        ("net.onnx", onnx(tensor=part(14, 0), domain=b"ai.onnx.ml")),
        ("net.onnx", onnx(domain=b"mine", extra=part(25, part(1, b"F") + part(10, b"mine")))),
    ],
)
def test_other_files_do_not_run(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert executables.reason(tmp_path / name) == ""


def test_this_interpreter_is_a_program(tmp_path):
    shutil.copyfile(sys.executable, tmp_path / "weights")
    assert "program" in executables.reason(tmp_path / "weights")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Containerfile", f"FROM python:3.11@{DIGEST}\n", []),
        ("Containerfile", "FROM python:3.11\n", ["Containerfile:1: the image python:3.11"]),
        ("Dockerfile", "# FROM a\nfrom --platform=linux/amd64 \\\n  a:1 AS b\n", ["Dockerfile:2"]),
        ("gpu.Dockerfile", f"FROM a@{DIGEST} AS base\nFROM base\nFROM scratch\n", []),
        ("Containerfile", "ARG BASE=a:1\nFROM ${BASE}\n", ["Containerfile:2: the image ${BASE}"]),
        ("Containerfile", "FROM a@sha256:abc\n", ["Containerfile:1"]),
        ("requirements.txt", "numpy==2.4.6\ntorch==2.13.0 # CPU\n", []),
        ("requirements.txt", f"numpy==2.4.6 \\\n    --hash={DIGEST.replace('sha256', 'x')}\n", []),
        ("requirements.txt", "numpy\n\nscipy>=1\n", [":1: numpy has no", ":3: scipy has no"]),
        ("requirements.txt", "numpy==2.*\n", ["numpy has no exact version"]),
        ("requirements-dev.txt", "-e .\n-r requirements.txt\n", ["-e . is whatever lies there"]),
        ("requirements.txt", f"a @ https://x/a.whl#sha256={'0' * 64}\n", []),
        ("requirements.txt", "a @ https://x/a.whl\n", ["a has no exact version"]),
        ("requirements.txt", "./local\n", ["./local names no package"]),
        ("requirements.txt", 'a==1; python_version < "3.12"\n', []),
        (".venv/requirements.txt", "numpy\n", []),
        ("notes.txt", "numpy\n", []),
    ],
)
def test_what_is_not_pinned_is_named(tmp_path, name, text, expected):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    found, _ = pinning.unpinned(tmp_path)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert wanted in got


def test_what_is_not_pinned_is_noted_or_refused_as_the_policy_says(model, tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    (source / "requirements.txt").write_text("numpy\n")
    evidence = integrity.judge(subject(model, source=source))
    assert failed(evidence) == {}
    assert any("not pinned: requirements.txt:1: numpy" in note for note in evidence.notes)
    strict = integrity.judge(subject(model, source=source), Integrity(pinned=True))
    assert "numpy has no exact version" in failed(strict)["unpinned_dependencies"]
