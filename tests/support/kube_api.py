"""A Kubernetes API as far as runs need one: lists, watches, logs of Pods, and what goes wrong."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from touchstone.cluster.connect import Cluster

NAMESPACE = "team"
STARTED = "2026-11-30T10:00:00Z"
ENDED = "2026-11-30T10:00:07Z"


class KubeApi:
    """One namespace. `put` and `remove` change it as controllers would; the rest are its faults."""

    def __init__(self):
        self.objects, self.logs, self.news = {}, {}, []
        self.version = self.oldest = 1
        self.changed = threading.Condition()
        self.asked = []
        self.refused = {}
        """HTTP code by a part of the path that is answered so."""
        self.cut_watches = self.cut_logs = 0
        """How many of the next ones break off, in the middle of a line."""
        self.stopped = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.answer(self)

            def do_POST(self):
                api.answer(self)

            def do_PATCH(self):
                api.answer(self)

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def cluster(self):
        settings = client.Configuration(host=self.url)
        settings.retries = False
        return Cluster(client.ApiClient(settings), NAMESPACE)

    def close(self):
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def put(self, plural, item):
        with self.changed:
            self.version += 1
            key = (plural, item["metadata"]["name"])
            what = "MODIFIED" if key in self.objects else "ADDED"
            item["metadata"] |= {"resourceVersion": str(self.version), "namespace": NAMESPACE}
            item["metadata"].setdefault("uid", f"uid-{key[1]}")
            item["metadata"].setdefault("creationTimestamp", STARTED)
            self.objects[key] = json.loads(json.dumps(item))
            self.news.append((self.version, what, plural, self.objects[key]))
            self.changed.notify_all()
        return item

    def remove(self, plural, name):
        with self.changed:
            self.version += 1
            item = self.objects.pop((plural, name))
            item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
            self.news.append((self.version, "DELETED", plural, item))
            self.changed.notify_all()

    def forget(self):
        """No watch can go on from a version before this one (410)."""
        with self.changed:
            self.oldest = self.version + 1
            self.news.clear()

    def pod(self, name, *containers, ended=False):
        """A Pod with logs that are empty yet; `ended` or not."""
        self.logs |= {(name, one): self.logs.get((name, one), []) for one in containers}
        state = {"terminated": {"exitCode": 0}} if ended else {"running": {}}
        statuses = [{"name": one, "state": state, "restartCount": 0} for one in containers]
        spec = {"containers": [{"name": one} for one in containers]}
        status = {"phase": "Succeeded" if ended else "Running", "containerStatuses": statuses}
        self.put("pods", {"metadata": {"name": name}, "spec": spec, "status": status})

    def say(self, pod, container, *texts):
        with self.changed:
            self.logs.setdefault((pod, container), []).extend(text.encode() for text in texts)
            self.changed.notify_all()

    def answer(self, request):
        url = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        parts = url.path.split("/")
        place = parts.index("namespaces")
        plural, name, part = [*parts[place + 2 :], "", ""][:3]
        size = int(request.headers.get("content-length") or 0)
        body = json.loads(request.rfile.read(size) or "null")
        self.asked.append((request.command, url.path, query))
        code = next((code for text, code in self.refused.items() if text in request.path), 0)
        if code:
            return self._send(request, code, {"message": "as the test wants it", "code": code})
        if part == "log":
            return self._log(request, name, query)
        if query.get("watch") == "true":
            return self._watch(request, plural, query)
        with self.changed:
            return self._send(request, *self._answer(request.command, plural, name, query, body))

    def _answer(self, verb, plural, name, query, body):
        if verb == "POST":
            metadata = body["metadata"]
            metadata.setdefault("name", f"{metadata.get('generateName')}abcde")
            return 201, self.put(plural, body)
        if not name:
            items = [
                {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
                for (kind, _), item in self.objects.items()
                if kind == plural and _selected(item, query)
            ]
            return 200, {"metadata": {"resourceVersion": str(self.version)}, "items": items}
        if (plural, name) not in self.objects:
            return 404, {"message": f'{plural} "{name}" not found'}
        item = self.objects[plural, name]
        if verb == "PATCH":
            self.put(plural, {**item, "spec": {**item.get("spec", {}), **body["spec"]}})
        return 200, item

    def _send(self, request, code, document):
        content = json.dumps(document).encode()
        request.send_response(code)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _watch(self, request, plural, query):
        seen = int(query["resourceVersion"])
        if seen + 1 < self.oldest:
            gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
            return self._stream(request, iter([json.dumps(gone).encode() + b"\n"]))

        def events():
            last = seen
            while not self.stopped:
                with self.changed:
                    due = [one for one in self.news if one[0] > last]
                    if not due:
                        self.changed.wait(0.5)
                        continue
                for version, what, kind, item in due:
                    last = version
                    if kind == plural and _selected(item, query):
                        line = json.dumps({"type": what, "object": item}).encode() + b"\n"
                        if self.cut_watches:
                            self.cut_watches -= 1
                            yield line[: len(line) // 2]
                            return
                        yield line

        return self._stream(request, events())

    def _log(self, request, pod, query):
        key = (pod, query["container"])
        if ("pods", pod) not in self.objects:
            return self._send(request, 404, {"message": f'pods "{pod}" not found'})
        if key not in self.logs:
            return self._send(request, 400, {"message": "container is waiting to start"})
        since = query.get("sinceTime", "")

        def lines():
            number = 0
            while not self.stopped:
                with self.changed:
                    texts = self.logs[key][number:]
                    ended = ("pods", pod) not in self.objects or _ended(
                        self.objects["pods", pod], key[1]
                    )
                    if not texts and query.get("follow") and not ended:
                        self.changed.wait(0.2)
                        continue
                for text in texts:
                    number += 1
                    # Kubernetes gives back the line of that moment too.
                    moment = f"2026-11-30T10:00:{number // 100:02d}.{number % 100:09d}Z"
                    if moment < since:
                        continue
                    if self.cut_logs:
                        self.cut_logs -= 1
                        yield f"{moment} {text.decode()[:2]}".encode()
                        return
                    yield f"{moment} ".encode() + text
                if not texts:
                    return

        return self._stream(request, lines())

    def _stream(self, request, pieces):
        """In chunks; where it broke off, the last one is missing."""
        request.send_response(200)
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        cut = self.cut_watches + self.cut_logs
        try:
            for piece in pieces:
                request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                request.wfile.flush()
            if self.cut_watches + self.cut_logs < cut:
                request.close_connection = True
                return
            request.wfile.write(b"0\r\n\r\n")
        except OSError:
            request.close_connection = True


def _ended(pod, container):
    (found,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == container]
    return "terminated" in found["state"]


def _selected(item, query):
    for field in filter(None, query.get("fieldSelector", "").split(",")):
        if item["metadata"]["name"] != field.removeprefix("metadata.name="):
            return False
    labels = item["metadata"].get("labels") or {}
    for selector in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = selector.removeprefix("!").partition("=")
        if (key in labels) if selector[0] == "!" else (labels.get(key) != value):
            return False
    return True


def status(succeeded=None, reason="", **more):
    """A status that says so; of what runs where `succeeded` is None."""
    word = {None: "Unknown", True: "True", False: "False"}[succeeded]
    reason = reason or {None: "Running", True: "Succeeded", False: "Failed"}[succeeded]
    condition = {"type": "Succeeded", "status": word, "reason": reason, "message": "as said"}
    end = {} if succeeded is None else {"completionTime": ENDED}
    return {"startTime": STARTED, "conditions": [condition], **end, **more}


def pipeline_run(name, found, tasks=(), **metadata):
    """A PipelineRun with a TaskRun for each task."""
    children = [
        {"kind": "TaskRun", "name": f"{name}-{task}", "pipelineTaskName": task} for task in tasks
    ]
    return {
        "kind": "PipelineRun",
        "metadata": {"name": name, **metadata},
        "spec": {"pipelineRef": {"name": "model"}},
        "status": {**found, "childReferences": children},
    }


def task_run(run, task, found, **more):
    """The TaskRun of a task; its Pod is called after it."""
    name = f"{run}-{task}"
    labels = {"tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": task}
    owner = {"kind": "PipelineRun", "name": run, "uid": f"uid-{run}"}
    return {
        "kind": "TaskRun",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {},
        "status": {**found, "podName": f"{name}-pod", **more},
    }


def step(name, code=0):
    """`status.steps` of one that ended."""
    times = {"startedAt": STARTED, "finishedAt": ENDED}
    return {"name": name, "container": f"step-{name}", "terminated": {"exitCode": code, **times}}


def until(condition, seconds=20):
    """What `condition` gives once it is true."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not come to it"
        time.sleep(0.02)
    return found
