"""What is fetched: over https alone or by an object store's keys, and no more than was asked."""

import importlib.util
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import PIPE
from urllib.parse import unquote

import obstore
import pytest
from object_stores import BUCKET, s3, s3_backend

from scripts import fetch_data
from touchstone import confine
from touchstone.confine import Confinement
from touchstone.errors import ManifestError, TouchstoneError
from touchstone.home import SHIPPED


@pytest.fixture(scope="module")
def download():
    path = SHIPPED / "training" / "download.py"
    description = importlib.util.spec_from_file_location("download", path)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bucket():
    with s3() as port:
        backend = s3_backend(port, "")
        for key in KEYS:
            obstore.put(backend._store, unquote(key), key.encode())
        yield port


KEYS = ("t.csv", "a%20file.csv", "2026/new%2Byear.csv", "%C3%A4.csv", "a%2523.csv")


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_had_whose_key_is_written_as_in_a_uri(
    download, bucket, tmp_path, key, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{bucket}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    download.main(f"s3://{BUCKET}/{key}", tmp_path / "file", 1000)
    assert (tmp_path / "file").read_bytes() == key.encode()


def test_who_asks_is_told_by_the_secret_else_by_the_environment_else_it_is_nobody(download):
    of_secret = {"region": "eu-west-1", "access-key-id": "a", "secret-access-key": "b"}
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_ENDPOINT_URL_S3": "https://minio.example:9000"}
    given = {**environment, "TOUCHSTONE_DATA_OPTIONS": json.dumps(of_secret)}
    assert download.options_of(given) == of_secret
    assert download.options_of(environment) == {"endpoint": "https://minio.example:9000"}
    assert download.options_of({}) == {"anonymous": "true"}


def test_code_gets_the_data_of_a_bucket_and_neither_a_network_nor_the_secret(bucket, tmp_path):
    """The process that asks is confined too: it reaches the endpoint that the Secret names."""
    secret = tmp_path / "secret"
    secret.mkdir()
    for key, value in {
        "access-key-id": "a",
        "secret-access-key": "b\n",
        "endpoint": f"http://127.0.0.1:{bucket}",
    }.items():
        (secret / key).write_text(value)
    uri = f"s3://{BUCKET}/a%20file.csv"
    options = fetch_data._options(str(secret), uri)
    assert options["secret-access-key"] == "b"
    given = fetch_data._fetched(uri, tmp_path / "fetched", options)
    assert given == (tmp_path / "fetched" / "a file.csv").as_uri()
    seen = Confinement(read=[tmp_path / "fetched"])
    with confine.started(
        ["/bin/cat", tmp_path / "fetched" / "a file.csv"], seen, stdout=PIPE
    ) as code:
        assert code.communicate()[0] == b"a%20file.csv"
    with pytest.raises(TouchstoneError, match="absent.csv cannot be fetched: .*nothing is there"):
        fetch_data._fetched(f"s3://{BUCKET}/absent.csv", tmp_path / "other", options)


def test_a_secret_is_used_for_object_stores_alone_and_its_keys_are_held_to_the_known(tmp_path):
    (tmp_path / "access_key_id").write_text("a")
    assert fetch_data._options("", "s3://b/k") == {}
    assert fetch_data._options(str(tmp_path / "absent"), "s3://b/k") == {}
    assert fetch_data._options(str(tmp_path), "https://host/t.csv") == {}
    with pytest.raises(ManifestError, match="got access_key_id in the Secret for s3://b/k"):
        fetch_data._options(str(tmp_path), "s3://b/k")


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 (http.server's own name)
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
                return
            self.send_response(404 if self.path == "/absent" else 200)
            self.end_headers()
            self.wfile.write(b"x" * 100)

        def log_message(self, *_):
            pass

    found = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()


def test_no_more_is_kept_than_one_byte_too_many(download, server, tmp_path):
    download.main(f"{server}/t.csv", tmp_path / "whole", 1000)
    download.main(f"{server}/t.csv", tmp_path / "part", 10)
    assert (tmp_path / "whole").stat().st_size == 100
    assert (tmp_path / "part").stat().st_size == 11


@pytest.mark.parametrize(
    ("path", "said"),
    [("/absent", "error: HTTP Error 404"), ("/elsewhere", "file:///etc/passwd")],
)
def test_what_cannot_be_fetched_is_told(download, server, tmp_path, path, said):
    with pytest.raises(SystemExit) as caught:
        download.main(f"{server}{path}", tmp_path / "file", 1000)
    assert said in str(caught.value.code)
    assert not (tmp_path / "file").exists()
    assert sys.modules.get("download") is None
