"""What is fetched: over https alone, signed as object stores ask, and no more than was asked."""

import importlib.util
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from touchstone.home import SHIPPED


@pytest.fixture(scope="module")
def download():
    path = SHIPPED / "training" / "download.py"
    description = importlib.util.spec_from_file_location("download", path)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


def test_a_request_of_an_object_store_is_signed_as_aws_says(download):
    """With the example keys of Amazon's documentation; the signature is botocore's of the same."""
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_REGION": "us-east-1",
    }
    moment = time.strptime("20130524T000000Z", "%Y%m%dT%H%M%SZ")
    found = download.request("s3://examplebucket/a file.csv", environment, moment)
    assert found.full_url == "https://s3.us-east-1.amazonaws.com/examplebucket/a%20file.csv"
    assert found.headers["Authorization"] == SIGNED


SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
    " SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
    "32f698630c5d44bd58a8bb42875b60fb1128d23437b97c65dca74baba3eedae6"
)


def test_a_store_of_ones_own_is_asked_without_a_key_where_there_is_none(download):
    environment = {"AWS_ENDPOINT_URL_S3": "https://minio.example:9000/"}
    found = download.request("s3://bucket/t.csv", environment, time.gmtime(0))
    assert found.full_url == "https://minio.example:9000/bucket/t.csv"
    assert "Authorization" not in found.headers


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
