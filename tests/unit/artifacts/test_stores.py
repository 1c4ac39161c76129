"""Every kind of store gives the same digests and gives back what was put in, or says why not."""

import json
import os
import re
from io import BytesIO
from itertools import count

import obstore
import pytest
from object_stores import BUCKET, Cut, registry, registry_backend, s3, s3_backend, serving

from touchstone.artifacts import objects
from touchstone.artifacts import registry as registries
from touchstone.artifacts import store as stores
from touchstone.artifacts.store import Store, digest_bytes
from touchstone.errors import PlatformError

_KINDS = ("folder", "s3", "oci")
_numbers = count()


@pytest.fixture(scope="module")
def s3_port():
    with s3() as port:
        yield port


@pytest.fixture
def registry_server():
    with serving(registry()) as server:
        yield server


@pytest.fixture(params=_KINDS)
def store(request, tmp_path):
    if request.param == "folder":
        return Store(tmp_path / "store")
    if request.param == "s3":
        return Store(s3_backend(request.getfixturevalue("s3_port"), f"x/{next(_numbers)}"))
    return Store(registry_backend(request.getfixturevalue("registry_server").server_port))


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "folder"
    (found / "deep").mkdir(parents=True)
    (found / "empty").touch()
    (found / "deep" / "weights").write_bytes(os.urandom(100_000))
    (found / "run.sh").write_text("#!/bin/sh\n")
    (found / "run.sh").chmod(0o755)
    for number in range(20):
        (found / "deep" / f"{number}.json").write_text(str(number))
    return found


def test_a_folder_has_one_digest_in_every_store_and_comes_back_equal(store, folder, tmp_path):
    digest = store.put(folder)
    assert digest == Store(tmp_path / "another").put(folder)
    copy = store.get(digest, tmp_path / "copy")
    assert Store(tmp_path / "third").put(copy) == digest
    assert store.put(folder) == digest
    assert store.reach([digest.encode()]) > {digest, digest_bytes(b"7")}


def test_one_file_comes_back_under_the_name_asked_for(store, folder, tmp_path):
    digest = store.put(folder / "deep" / "weights")
    copy = store.get(digest, tmp_path / "a" / "copy")
    assert copy.read_bytes() == (folder / "deep" / "weights").read_bytes()


def test_what_is_absent_is_named_with_the_store(store, tmp_path):
    absent = digest_bytes(b"never stored")
    assert absent not in store
    for get in (store.get_bytes, store.get_json, lambda one: store.get(one, tmp_path / "x")):
        with pytest.raises(PlatformError, match=f"{absent} is not in {store}"):
            get(absent)


def test_a_reference_points_to_what_was_set_last_and_can_be_listed(store):
    first, last = store.put_bytes(b"first"), store.put_bytes(b"last")
    long = "/".join(["runs", "a_-b.c", *["deep"] * 40])
    assert store.ref("runs/a_-b.c/verdict") is None
    for name in ("runs/a_-b.c/verdict", "runs/a_/-b", "runs-of/others", long):
        store.set_ref(name, first)
    store.set_ref("runs/a_-b.c/verdict", last)
    assert store.ref("runs/a_-b.c/verdict") == last
    assert store.ref(long) == first
    assert store.refs("runs") == sorted(["runs/a_-b.c/verdict", "runs/a_/-b", long])
    assert store.refs("runs/a") == []


def test_a_file_that_changes_while_it_is_stored_is_not_kept(store, folder, monkeypatch):
    """Else the honest digest names bytes of someone's choice, and whoever stores it is believed."""

    def digest_then_change(stream):
        digest = _digest(stream)
        (folder / "deep" / "weights").write_bytes(b"x" * 100_000)
        return digest

    honest = digest_bytes((folder / "deep" / "weights").read_bytes())
    _digest = stores.digest_stream
    monkeypatch.setattr(stores, "digest_stream", digest_then_change)
    with pytest.raises(PlatformError, match=f"expected {honest}: a file changed while"):
        store.put(folder / "deep" / "weights")
    assert honest not in store


@pytest.mark.parametrize("size", [9 << 20, 3])
def test_tampered_bytes_are_never_written_out(s3_port, tmp_path, size, monkeypatch):
    backend = s3_backend(s3_port, f"x/{next(_numbers)}")
    store, honest = Store(backend), digest_bytes(b"h" * size)
    hexadecimal = honest.removeprefix("sha256:")
    obstore.put(backend._store, f"blobs/sha256/{hexadecimal}", b"f" * size)
    remedy = f"remove s3://{BUCKET}/.*/blobs/sha256/{hexadecimal}"
    for read in (store.get_bytes, lambda one: store.get(one, tmp_path / "out" / "file")):
        with pytest.raises(PlatformError, match="has other bytes than its name says") as caught:
            read(honest)
        assert re.match(remedy, caught.value.hint)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_blob_in_a_bucket_is_created_only_where_none_is(s3_port):
    backend = s3_backend(s3_port, f"x/{next(_numbers)}")
    digest = digest_bytes(b"first")
    backend.put(digest, BytesIO(b"first"), 5)
    backend.put(digest, BytesIO(b"other"), 5)
    with backend.opened(digest) as stream:
        assert stream.read() == b"first"


def test_a_download_that_breaks_off_goes_on_where_it_was(s3_port, registry_server, tmp_path):
    data = os.urandom(12 << 20)
    (tmp_path / "data").write_bytes(data)
    for backend, port in ((s3_backend, s3_port), (registry_backend, registry_server.server_port)):
        digest = Store(backend(port)).put(tmp_path / "data")
        network = Cut(port, down=7 << 20)
        found = _through(backend, network).get(digest, tmp_path / "copy")
        assert found.read_bytes() == data
        assert network.left == 0
        assert network.moved["down"] < 14 << 20
        network.close()


def test_an_upload_in_parts_survives_a_broken_connection(
    s3_port, registry_server, tmp_path, monkeypatch
):
    monkeypatch.setattr(registries, "_CHUNK", 8 << 20)
    data = os.urandom(18 << 20)
    (tmp_path / "data").write_bytes(data)
    for backend, port in ((s3_backend, s3_port), (registry_backend, registry_server.server_port)):
        network = Cut(port, up=5 << 20)
        digest = _through(backend, network).put(tmp_path / "data")
        assert network.left == 0
        assert network.moved["up"] < 28 << 20
        assert Store(backend(port)).get(digest, tmp_path / "copy").read_bytes() == data
        network.close()


def _through(backend, network):
    """The store behind a bad network."""
    if backend is s3_backend:
        return Store(s3_backend(network.port))
    found = registry_backend(network.port)
    found._basic = registry_backend(network.target)._basic
    return Store(found)


def test_a_registry_keeps_all_that_an_artifact_is_made_of(registry_server, folder, tmp_path):
    """Registries sweep away what no manifest names."""
    handler = registry_server.RequestHandlerClass
    store = Store(registry_backend(registry_server.server_port))
    verdict = store.put_json({"passed": True, "model": store.put(folder)})
    store.set_ref("runs/a/verdict", verdict)
    assert handler.swept() == set()
    tree = store.get_json(verdict)["model"]
    layers = json.loads(handler.manifests[f"artifact.{tree.removeprefix('sha256:')}"])["layers"]
    assert len(layers) == 24
    assert store.get(tree, tmp_path / "copy").is_dir()


def test_a_token_of_a_registry_is_renewed_when_it_has_expired(registry_server):
    handler = registry_server.RequestHandlerClass
    store = Store(registry_backend(registry_server.server_port))
    digest = store.put_bytes(b"x")
    handler.expired.append(True)
    assert store.get_bytes(digest) == b"x"
    assert [path for _, path in handler.asked].count("/token") == 2


def test_a_tree_larger_than_one_manifest_is_named_by_several(registry_server, folder, monkeypatch):
    monkeypatch.setattr(registries, "_LAYERS", 10)
    Store(registry_backend(registry_server.server_port)).put(folder)
    handler = registry_server.RequestHandlerClass
    assert handler.swept() == set()
    assert len(handler.manifests) == 3


def test_parts_are_as_large_as_s3_asks():
    assert objects._PART >= 5 << 20
