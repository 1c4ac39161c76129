"""Servers that artifacts are kept in, on this machine: S3, an OCI registry, and a bad network."""

import base64
import hashlib
import json
import logging
import re
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from touchstone.artifacts.objects import Objects
from touchstone.artifacts.registry import Registry

BUCKET = "models"
CREDENTIAL = base64.b64encode(b"robot:secret").decode()


@contextmanager
def s3():
    """The port of moto's S3, with an empty bucket."""
    import urllib.request

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    host = {"Host": "s3.us-east-1.amazonaws.com"}
    address = f"http://127.0.0.1:{port}/{BUCKET}"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=host)).close()
    yield port
    server.stop()


def s3_backend(port, prefix="runs/store"):
    options = {
        "access-key-id": "a",
        "secret-access-key": "b",
        "endpoint": f"http://127.0.0.1:{port}",
    }
    return Objects("s3", BUCKET, prefix, options)


def registry_backend(port, repository="team/artifacts"):
    login = json.dumps({"auths": {f"127.0.0.1:{port}": {"auth": CREDENTIAL}}})
    options = {"plain-http": "true", ".dockerconfigjson": login}
    return Registry(f"127.0.0.1:{port}", repository, options)


@contextmanager
def serving(handler):
    """The server with `handler`, on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def registry():
    """A registry after the OCI Distribution Specification 1.1, which asks for a token.

    It keeps `blobs`, `manifests` by tag and what is being `uploads`; of `asked` each request's
    method and path. What no manifest names, `swept()` takes away.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        blobs, manifests, uploads, asked, expired = {}, {}, {}, [], []

        def _answer(self, status, body=b"", **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", headers.get("length", str(len(body))))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _no(self, status, code):
            error = {"errors": [{"code": code, "message": "no"}]}
            self._answer(status, json.dumps(error).encode())

        def _body(self):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _any(self):
            parts = urlsplit(self.path)
            self.asked.append((self.command, parts.path))
            if parts.path == "/token":
                if self.headers.get("Authorization") != f"Basic {CREDENTIAL}":
                    return self._no(401, "UNAUTHORIZED")
                token = f"t{len(self.expired)}"
                return self._answer(200, json.dumps({"token": token}).encode())
            if self.headers.get("Authorization") != f"Bearer t{len(self.expired)}":
                self._body()
                realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="here"'
                return self._answer(401, b"{}", WWW_Authenticate=realm)
            found = re.fullmatch(r"/v2/team/artifacts/(\w+)/(.*)", parts.path)
            if not found:
                return self._no(404, "NAME_UNKNOWN")
            name = f"_{found[1]}"
            return getattr(self, name)(found[2], parse_qs(parts.query))

        def _blobs(self, name, query):
            if name == "uploads/":
                key = str(len(self.asked))
                self.uploads[key] = bytearray()
                return self._answer(202, Location=f"{key}?state=x")
            if name.startswith("uploads/"):
                return self._upload(name.removeprefix("uploads/"), query)
            if name not in self.blobs:
                return self._no(404, "BLOB_UNKNOWN")
            data = self.blobs[name]
            start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if start:
                return self._answer(206, data[int(start[1]) :])
            return self._answer(200, data)

        def _upload(self, key, query):
            data = self.uploads[key]
            if self.command == "PATCH":
                start, end = map(int, self.headers["Content-Range"].split("-"))
                if start != len(data):
                    self._body()
                    return self._no(416, "BLOB_UPLOAD_INVALID")
                left = end + 1 - start
                while left and (part := self.rfile.read(min(left, 1 << 16))):
                    self.uploads[key] += part
                    left -= len(part)
            elif self.command == "PUT":
                data = bytes(data) + self._body()
                digest = query["digest"][0]
                if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
                    return self._no(400, "DIGEST_INVALID")
                self.blobs[digest] = data
                return self._answer(201)
            elif self.command == "DELETE":
                del self.uploads[key]
                return self._answer(204)
            said = f"0-{len(self.uploads[key]) - 1}"
            status = 204 if self.command == "GET" else 202
            return self._answer(status, Location=f"{key}?state=y", Range=said)

        def _manifests(self, tag, query):
            if self.command == "PUT":
                body = self._body()
                manifest = json.loads(body)
                for one in (manifest["config"], *manifest["layers"]):
                    if len(self.blobs.get(one["digest"], b"")) != one["size"]:
                        return self._no(404, "MANIFEST_BLOB_UNKNOWN")
                self.manifests[tag] = body
                return self._answer(201)
            if tag not in self.manifests:
                return self._no(404, "MANIFEST_UNKNOWN")
            return self._answer(200, self.manifests[tag])

        def _tags(self, name, query):
            tags = sorted(self.manifests)
            after = query.get("last", [""])[0]
            page = [tag for tag in tags if tag > after][:2]
            link = {}
            if page and page[-1] != tags[-1]:
                link = {"Link": f'</v2/team/artifacts/tags/list?last={page[-1]}>; rel="next"'}
            return self._answer(200, json.dumps({"tags": page}).encode(), **link)

        @classmethod
        def swept(cls):
            named = {
                one["digest"]
                for text in cls.manifests.values()
                for one in (json.loads(text)["config"], *json.loads(text)["layers"])
            }
            gone = set(cls.blobs) - named
            for digest in gone:
                del cls.blobs[digest]
            return gone

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_):
            pass

    return Handler


class Cut:
    """A network before `port` that cuts a connection after `down` bytes to us or `up` from us.

    Only the first `times` connections that come so far; `moved` counts all bytes both ways.
    """

    def __init__(self, port, *, down=0, up=0, times=1):
        self.target, self.limits, self.left = port, {"down": down, "up": up}, times
        self.moved = {"down": 0, "up": 0}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.target))
            for way, source, sink in (("up", ours, theirs), ("down", theirs, ours)):
                pair = (way, source, sink)
                threading.Thread(target=self._move, args=pair, daemon=True).start()

    def _move(self, way, source, sink):
        moved = 0
        with suppress(OSError):
            while part := source.recv(1 << 16):
                moved += len(part)
                if self.limits[way] and moved > self.limits[way] and self.left:
                    self.left -= 1
                    break
                self.moved[way] += len(part)
                sink.sendall(part)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()
