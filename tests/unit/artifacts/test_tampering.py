"""Whoever may write into the store's folder changes nothing that another stage reads from it."""

import random
import shutil

import pytest

from touchstone.artifacts.store import Store, digest_bytes
from touchstone.errors import TouchstoneError


@pytest.fixture
def tree(tmp_path):
    """A stored folder of three files: its store, its digest and its blobs."""
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for name, size in {"a": 10, "deep/b": 5000, "c": 70000}.items():
        (folder / name).write_bytes(random.Random(name).randbytes(size))
    store = Store(tmp_path / "store")
    return store, store.put(folder), sorted((store.root / "blobs" / "sha256").iterdir())


def test_of_100_single_changed_bytes_none_is_read(tree, tmp_path):
    store, digest, blobs = tree
    chance = random.Random(5)
    for number in range(100):
        blob = chance.choice(blobs)
        whole = blob.read_bytes()
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= chance.randrange(1, 256)
        blob.write_bytes(changed)
        with pytest.raises(TouchstoneError, match="other bytes than its name says"):
            store.get(digest, tmp_path / f"out-{number}")
        blob.write_bytes(whole)
    store.get(digest, tmp_path / "whole")


def test_a_file_that_was_added_is_in_no_tree(tree, tmp_path):
    store, digest, blobs = tree
    (blobs[0].parent / ("0" * 64)).write_text("planted")
    (store.root / "deep").mkdir()
    (store.root / "deep" / "planted").write_text("planted")
    copy = store.get(digest, tmp_path / "copy")
    names = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())
    assert names == ["a", "c", "deep/b"]


def test_a_file_that_was_removed_swapped_or_linked_elsewhere_is_missed(tree, tmp_path):
    store, digest, blobs = tree
    for number, blob in enumerate(blobs):
        whole = blob.read_bytes()
        for change in (
            lambda blob=blob: None,
            lambda blob=blob: shutil.copy(next(one for one in blobs if one != blob), blob),
            lambda blob=blob: blob.symlink_to("/etc/passwd"),
            lambda blob=blob: blob.symlink_to("absent"),
            lambda blob=blob: blob.symlink_to(blob.name),
        ):
            blob.unlink(missing_ok=True)
            change()
            with pytest.raises((TouchstoneError, OSError)):
                store.get(digest, tmp_path / f"out-{number}")
        blob.unlink()
        blob.write_bytes(whole)
    store.get(digest, tmp_path / "whole")


def test_a_reference_to_what_is_no_digest_is_refused(tree):
    store, digest, _ = tree
    store.set_ref("runs/one/verdict", digest)
    for planted in ("sha256:../../../etc/passwd", "", digest_bytes(b"x")[:-1]):
        (store.root / "refs" / "runs" / "one" / "verdict").write_text(planted)
        with pytest.raises(TouchstoneError, match="expected sha256"):
            store.get_bytes(store.ref("runs/one/verdict") or "")
