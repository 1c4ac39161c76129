"""The store gives back exactly what was put in, or says why it cannot."""

import os
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
    with pytest.raises(UsageError, match="expected /an/absolute/folder or its file:// URI"):
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


_SPECIAL = {
    "a FIFO": os.mkfifo,
    "a folder": lambda path: path.symlink_to("deep"),
}


@pytest.mark.parametrize(("named", "leave"), _SPECIAL.items(), ids=_SPECIAL)
def test_a_tree_holds_files_and_folders_and_nothing_is_left_out_unsaid(
    store, tmp_path, named, leave
):
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    leave(tmp_path / "folder" / "x")
    with pytest.raises(UsageError, match=f"got {named}, expected a regular file"):
        store.put(tmp_path / "folder")


def test_a_file_whose_name_is_no_text_is_refused_by_it(store, tmp_path):
    (tmp_path / os.fsdecode(b"\xff.py")).touch()
    with pytest.raises(UsageError, match=r"udcff.py'.*expected a name in UTF-8"):
        store.put(tmp_path)


def test_a_link_within_a_folder_is_stored_as_its_file(store, tmp_path):
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "f").write_text("f")
    (tmp_path / "folder" / "link").symlink_to("deep/f")
    copy = store.get(store.put(tmp_path / "folder"), tmp_path / "copy")
    assert (copy / "link").read_text() == "f" and not (copy / "link").is_symlink()


def test_what_is_put_is_no_link_itself(store, tmp_path):
    for target in (tmp_path, Path(__file__)):
        link = tmp_path / "link"
        link.symlink_to(target)
        with pytest.raises(UsageError, match="got a symbolic link"):
            store.put(link)
        link.unlink()


def test_a_tree_is_written_through_no_link(store, tmp_path):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "f").write_text("f")
    (tmp_path / "outside").mkdir()
    digest = store.put(tmp_path / "tree")
    (tmp_path / "itself").symlink_to("outside")
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "deep").symlink_to("../outside")
    for destination in ("itself", "within"):
        with pytest.raises(PlatformError, match="got a symbolic link"):
            store.get(digest, tmp_path / destination)
    assert not list((tmp_path / "outside").iterdir())


def test_a_fifo_among_the_blobs_keeps_nobody_waiting(store):
    digest = store.put_json({})
    blob = store.root / "blobs" / "sha256" / digest.removeprefix("sha256:")
    blob.unlink()
    os.mkfifo(blob)
    for read in (store.get_bytes, lambda digest: store.reach([digest.encode()])):
        with pytest.raises(PlatformError, match="got a FIFO"):
            read(digest)
