"""A real repository to start runs of, and a Kubernetes API to keep them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import yaml

from touchstone.git import git
from touchstone.platform.embedded import DEFINITIONS

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org")


class Repository:
    """A bare repository and a work tree that pushes to it."""

    def __init__(self, root):
        self.bare, self.work = root / "model.git", root / "work"
        git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=self.bare)
        git("init", "--quiet", "--initial-branch=main", str(self.work))
        self.url = self.bare.as_uri()

    def commit(self, **files):
        for name, text in files.items():
            (self.work / name.replace("__", ".")).write_text(text)
        git("add", "--all", cwd=self.work)
        git(*AUTHOR, "commit", "--quiet", "--allow-empty", "--message=x", cwd=self.work)
        return self.tip()

    def tip(self):
        return git("rev-parse", "HEAD", cwd=self.work)

    def push(self, *refs):
        git("push", "--quiet", "--force", str(self.bare), *(f"HEAD:{ref}" for ref in refs),
            cwd=self.work)  # fmt: skip


class ApiServer:
    """A Kubernetes API as far as PipelineRuns and TriggerTemplates need one, over HTTP."""

    def __init__(self):
        self.objects = {}
        self.forbidden = False
        text = (DEFINITIONS / "triggers" / "template.yaml").read_text()
        for document in yaml.safe_load_all(text):
            self.objects["triggertemplates", document["metadata"]["name"]] = document
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer()

            def do_POST(self):
                self.answer()

            def do_PATCH(self):
                self.answer()

            def answer(self):
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size) or "null")
                code, document = api.handle(self.command, urlsplit(self.path), body)
                kind = self.headers.get("content-type")
                if self.command == "PATCH" and kind != "application/merge-patch+json":
                    code = 415  # custom resources take no strategic merge patch
                content = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, verb, url, body):
        *_, namespace, plural, name = [*url.path.split("/"), ""][:8]
        assert namespace == "default"
        if self.forbidden:
            return 403, {"reason": "Forbidden"}
        if verb == "POST":
            metadata = body["metadata"]
            metadata.setdefault("name", f"{metadata.get('generateName')}abcde")
            metadata["creationTimestamp"] = f"2026-11-24T10:00:{len(self.objects):02d}Z"
            key = (plural, metadata["name"])
            if key in self.objects:
                return 409, {"reason": "AlreadyExists"}
            self.objects[key] = body
            return 201, body
        if not name:
            (selector,) = parse_qs(url.query)["labelSelector"]
            label, value = selector.split("=")
            found = [item for (kind, _), item in self.objects.items() if kind == plural]
            return 200, {"items": [i for i in found if i["metadata"]["labels"].get(label) == value]}
        if (plural, name) not in self.objects:
            return 404, {"reason": "NotFound"}
        if verb == "PATCH":
            self.objects[plural, name]["spec"] |= body["spec"]
        return 200, self.objects[plural, name]
