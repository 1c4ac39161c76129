"""Which store a path, a URI or a mounted Secret names, and what is said where it cannot be had."""

from http.server import BaseHTTPRequestHandler

import pytest
from object_stores import registry, registry_backend, s3_backend, serving

from touchstone.artifacts import objects, places
from touchstone.artifacts import registry as registries
from touchstone.artifacts.store import Store, digest_bytes, open_store
from touchstone.errors import ManifestError, PlatformError, UsageError


def secret(folder, **keys):
    """A Secret's folder as the kubelet lays it out."""
    data = folder / "..2026_11_30"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    for key, value in keys.items():
        name = key.replace("__", ".").replace("_", "-")
        (data / name).write_text(value)
        (folder / name).symlink_to(f"..data/{name}")
    return str(folder)


@pytest.fixture
def read_only(monkeypatch):
    """As a Secret is mounted; to root every folder here can be written."""
    monkeypatch.setattr(places.os, "access", lambda *_: False)


KEYS = {"access_key_id": "a", "secret_access_key": "b\n", "region": "eu-west-1"}


def test_a_secret_names_a_store_elsewhere(tmp_path, read_only):
    folder = secret(tmp_path / "a", uri="s3://models/team/a\n", **KEYS)
    assert str(open_store(folder)) == "s3://models/team/a"
    assert open_store(folder).remote == "s3://models/team/a"
    login = '{"auths": {"https://ghcr.io/v2": {"username": "me", "password": "x"}}}'
    folder = secret(tmp_path / "b", uri="oci://ghcr.io/me/artifacts", __dockerconfigjson=login)
    assert str(open_store(folder)) == "oci://ghcr.io/me/artifacts"


def test_a_store_elsewhere_has_no_folder_to_look_into(tmp_path, read_only):
    store = open_store(secret(tmp_path / "a", uri="s3://models/a", **KEYS))
    with pytest.raises(
        PlatformError, match="got the store s3://models/a, expected one in a folder"
    ):
        store.root  # noqa: B018 (a property that raises)


def test_nobody_who_writes_into_a_volume_sends_others_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "uri").write_text("s3://mallory/store")
    assert open_store(str(tmp_path)).root == tmp_path
    monkeypatch.setattr(places.os, "access", lambda *_: False)
    (tmp_path / "blobs").mkdir()
    assert open_store(str(tmp_path)).root == tmp_path


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"uri": "s3://m/a", "access_key": "a"}, "got access-key in the Secret for s3://m/a"),
        ({"uri": "ftp://m/a"}, "got store 'ftp://m/a', expected /an/absolute"),
        ({"uri": "s3:///a"}, "got store 's3:///a', expected /an/absolute"),
        ({"uri": "s3://key:hidden@m/a"}, "got store 'm/a', expected /an/absolute"),
        ({"uri": "az://m/a?sig=hidden"}, "got store 'az://m/a', expected /an/absolute"),
        ({"uri": "s3://m", "anonymous": "yes"}, "got anonymous: 'yes'.*, expected true or false"),
        ({"uri": "oci://m/Upper"}, "expected oci://registry/repository in lower case"),
        ({"uri": "oci://m"}, "expected oci://registry/repository in lower case"),
        ({"uri": "oci://m/a", "__dockerconfigjson": '{"auths": {}}'}, '{"auths": {"m": '),
        ({"uri": "gs://m/a", "service_account__json": "{hidden"}, "gs://m.*cannot be opened"),
        ({"uri": "s3://m/a", "ca__crt": "hidden"}, "s3://m, which cannot be opened"),
    ],
)
def test_a_secret_that_names_no_store_is_refused_without_a_word_of_its_keys(
    tmp_path, read_only, keys, said
):
    with pytest.raises((ManifestError, PlatformError), match=said) as caught:
        open_store(secret(tmp_path / "secret", **keys))
    assert "hidden" not in str(caught.value) + caught.value.hint


def test_a_store_on_the_command_line_is_a_matter_of_usage():
    assert str(open_store("gs://models/a")) == "gs://models/a"
    with pytest.raises(UsageError, match="expected /an/absolute/folder"):
        open_store("s4://models/a")


def answering(status, code="", **headers):
    """A server that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                xml = f"<Error><Code>{code}</Code><Message>words</Message></Error>"
                self.wfile.write(xml.encode())

        do_GET = do_HEAD = do_PUT = do_POST = _any  # noqa: N815

        def log_message(self, *_):
            pass

    return serving(Handler)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(objects, "_RETRIES", 1)
    monkeypatch.setattr(registries, "_TRIES", 2)


@pytest.mark.parametrize(
    ("status", "code", "said", "hint"),
    [
        (403, "InvalidAccessKeyId", "a credential that it does not accept", "keys of the Secret"),
        (403, "SignatureDoesNotMatch", "a credential that it does not accept", "keys of the Secr"),
        (403, "RequestTimeTooSkewed", "a clock that differs from the store's", "set the clock"),
        (403, "AccessDenied", "a refusal, expected the right to get, put and list", "these rights"),
        (404, "NoSuchBucket", "no such bucket", "create it"),
        (400, "AuthorizationHeaderMalformed", "another region", "region"),
        (500, "InternalError", "InternalError words", "try again"),
    ],
)
def test_what_an_object_store_refuses_is_told_with_what_to_do(status, code, said, hint):
    with answering(status, code) as server:
        store = Store(s3_backend(server.server_port))
        with pytest.raises(PlatformError, match=f"the store s3://models/runs/store: .*{said}") as e:
            store.get_bytes(digest_bytes(b"x"))
    assert hint in e.value.hint


@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (401, "a credential that it does not accept", ".dockerconfigjson"),
        (403, "a refusal, expected the right to pull and push", "this right"),
        (405, "a registry that takes nothing", "read-only"),
        (503, "an error, expected an answer of the specification", "log"),
    ],
)
def test_what_a_registry_refuses_is_told_with_what_to_do(status, said, hint):
    with answering(status) as server:
        store = Store(registry_backend(server.server_port))
        with pytest.raises(PlatformError, match=f"got {said}: {status}") as caught:
            store.put_bytes(b"x")
    assert hint in caught.value.hint


def test_a_repository_that_a_registry_does_not_know_is_named():
    with serving(registry()) as server:
        store = Store(registry_backend(server.server_port, "other/place"))
        with pytest.raises(PlatformError, match="/other/place: got no such repository: 404 NAME"):
            store.put_bytes(b"x")


@pytest.mark.parametrize("backend", [s3_backend, registry_backend])
def test_a_store_that_does_not_answer_is_told_to_be_out_of_reach(backend):
    with pytest.raises(PlatformError, match="cannot be reached") as caught:
        Store(backend(1)).get_bytes(digest_bytes(b"x"))
    assert "the network and its policies" in caught.value.hint


def test_a_token_is_asked_for_over_no_worse_a_connection_than_the_registry_s():
    """Else whoever answers for the registry is given its credential in the clear."""
    realm = 'Bearer realm="http://127.0.0.1:1/token"'
    with answering(401, WWW_Authenticate=realm) as server:
        backend = registry_backend(server.server_port)
        backend._api = backend._api.replace("http:", "https:")
        client = backend._connected()
        with pytest.raises(PlatformError, match="a credential that it does not accept"):
            backend._authorize(client, client.get(f"http://127.0.0.1:{server.server_port}/"))
