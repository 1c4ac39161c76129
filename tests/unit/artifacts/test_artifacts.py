"""The store gives back exactly what was put in, or says why it cannot."""

from pathlib import Path

import pytest

from touchstone.artifacts.store import Store, digest_bytes, open_store
from touchstone.errors import PlatformError, UsageError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_folder_comes_back_equal_and_has_one_digest(store, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("a")
    script = folder / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    digest = store.put(folder)
    copy = store.get(digest, tmp_path / "copy")
    assert (copy / "deep" / "a.txt").read_text() == "a"
    assert (copy / "run.sh").stat().st_mode & 0o111
    assert store.put(copy) == digest


def test_tampered_bytes_are_refused(store):
    digest = store.put_bytes(b"honest")
    (store.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(b"forged")
    with pytest.raises(PlatformError, match="other bytes"):
        store.get_bytes(digest)


def test_an_absent_artifact_is_named(store):
    with pytest.raises(PlatformError, match=digest_bytes(b"x")):
        store.get_bytes(digest_bytes(b"x"))


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "md5:00", "sha256:../../etc/passwd", "sha256:" + "G" * 64]
)
def test_a_malformed_digest_never_reaches_the_file_system(store, digest):
    with pytest.raises(UsageError, match="expected sha256"):
        store.get_bytes(digest)


def test_a_tree_cannot_write_outside_its_folder(store, tmp_path):
    blob = store.put_bytes(b"x")
    tree = store.put_json(
        {
            "type": "application/vnd.touchstone.tree.v1+json",
            "entries": {"../escaped": {"digest": blob, "executable": False}},
        }
    )
    with pytest.raises(PlatformError, match="leaves its folder"):
        store.get(tree, tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def test_a_link_that_leaves_the_folder_is_refused(store, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="symbolic link"):
        store.put(folder)


def test_nan_never_enters_a_document(store):
    with pytest.raises(ValueError, match="JSON"):
        store.put_json({"accuracy": float("nan")})


def test_open_store_takes_a_file_uri_and_refuses_the_rest():
    assert open_store("file:///tmp/a%20b").root == Path("/tmp/a b")
    with pytest.raises(UsageError, match="expected file:///"):
        open_store("ftp://example/x")


def test_a_reference_points_to_the_digest_set_last(store):
    first, last = store.put_bytes(b"first"), store.put_bytes(b"last")
    assert store.ref("runs/a-1/verdict") is None
    store.set_ref("runs/a-1/verdict", first)
    store.set_ref("runs/a-1/verdict", last)
    assert store.ref("runs/a-1/verdict") == last


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a//b", "a/../b", "a b"])
def test_a_reference_cannot_leave_the_store(store, name):
    with pytest.raises(UsageError, match="expected parts"):
        store.set_ref(name, digest_bytes(b"x"))
