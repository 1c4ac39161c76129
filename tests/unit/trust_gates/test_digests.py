"""What a verdict names by digest are the bytes that were judged."""

import hashlib
import os
from pathlib import Path

import pytest

from touchstone.artifacts.store import Store
from trust_gates import digests
from trust_gates.digests import Held


def test_a_folder_has_the_digest_that_the_artifact_store_gives_it(tmp_path):
    folder = tmp_path / "tree"
    (folder / "code").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "code" / "mödel.py").write_text("x = 1")
    (folder / "code" / "run").write_text("#!/bin/sh")
    (folder / "code" / "run").chmod(0o755)
    assert digests.of(folder) == Store(tmp_path / "store").put(folder)


def test_a_file_has_that_of_its_bytes_and_what_is_absent_none(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"weights")
    held = Held.of(model=tmp_path / "m.onnx", data=tmp_path / "absent", policy=None)
    expected = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    assert held.digests == {"model": expected}
    held.confirm()


@pytest.mark.parametrize("kind", ["link", "pipe", "file", "mode"])
def test_another_file_link_or_pipe_is_another_folder(tmp_path, kind):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a").write_text("a")
    held = Held.of(model=folder)
    match kind:
        case "link":
            (folder / "b").symlink_to("/nowhere")
        case "pipe":
            os.mkfifo(folder / "b")
        case "file":
            (folder / "a").write_text("b")
        case "mode":
            (folder / "a").chmod(0o755)
    with pytest.raises(ValueError, match="the model changed while it was judged: .* was sha256:"):
        held.confirm()


def test_what_goes_away_or_appears_changed_too(tmp_path):
    file = tmp_path / "d.csv"
    held = Held.of(data=file)
    file.write_text("label\n")
    with pytest.raises(ValueError, match="was absent and is sha256:"):
        held.confirm()


def test_folders_nested_too_deep_to_list_are_refused(tmp_path, monkeypatch):
    """A pipeline's user can push such a folder; making one here would be as hard to remove."""

    def endless(*_):
        raise RecursionError

    monkeypatch.setattr(Path, "rglob", endless)
    with pytest.raises(ValueError, match="nested too deep"):
        digests.of(tmp_path)
