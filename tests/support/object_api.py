"""A stand-in for the Kubernetes API that keeps any object: discovery, apply, list, delete, access.

Fields belong to who applied them last, for whole values and not for the items of lists; a webhook,
a policy or a quota refuses what `refuse` says.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from touchstone.cluster.connect import Cluster
from touchstone.install.api import Api

_NAMESPACED = {
    "v1": ["ConfigMap", "Secret", "ServiceAccount", "Service", "PersistentVolumeClaim", "Pod",
           "LimitRange", "ResourceQuota"],
    "apps/v1": ["Deployment"],
    "networking.k8s.io/v1": ["NetworkPolicy", "Ingress"],
    "policy/v1": ["PodDisruptionBudget"],
    "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
    "tekton.dev/v1": ["Pipeline", "PipelineRun", "Task", "TaskRun"],
    "triggers.tekton.dev/v1beta1": [
        "EventListener", "Trigger", "TriggerBinding", "TriggerTemplate",
    ],
    "triggers.tekton.dev/v1alpha1": ["Interceptor"],
}  # fmt: skip
_GLOBAL = {
    "v1": ["Namespace", "Node"],
    "rbac.authorization.k8s.io/v1": ["ClusterRole", "ClusterRoleBinding"],
    "storage.k8s.io/v1": ["StorageClass"],
    "admissionregistration.k8s.io/v1": [
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    ],
    "triggers.tekton.dev/v1alpha1": ["ClusterInterceptor"],
}  # fmt: skip
_BUSY = (500, {"message": "failed calling webhook: connection refused"})
_PLURALS = {
    "NetworkPolicy": "networkpolicies",
    "Ingress": "ingresses",
    "StorageClass": "storageclasses",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}


class ObjectApi:
    """What the cluster holds, and who refuses what."""

    def __init__(self):
        self.objects = {}
        """By (kind, namespace, name)."""
        self.owners = {}
        self.denied = set()
        """(verb, plural) that this person may not do."""
        self.busy = 0
        """How many of the next changes meet a webhook that is not ready."""
        self.requests = []
        self.refuse: Callable[[dict], str] = lambda document: ""
        self.ready = True
        """Whether what is deployed becomes ready at once."""
        for one in ("kube-system", "tekton-pipelines"):
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        self.put(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "pipelines-info", "namespace": "tekton-pipelines"},
                "data": {"version": "v1.6.0"},
            }
        )
        self.put(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "provisioner": "example.org/disk",
                "metadata": {
                    "name": "standard",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
            }
        )
        self.namespaced = copy.deepcopy(_NAMESPACED)

    def put(self, document):
        """Let it be there, as somebody else's."""
        self.objects[_key(document)] = document

    def find(self, kind, name, namespace=""):
        """The object, or None."""
        return self.objects.get((kind, namespace, name))

    def names(self, kind):
        """Names of all objects of a kind."""
        return {key[2] for key in self.objects if key[0] == kind}

    def served(self, version):
        """The discovery document of a group's version; None where there is no such group."""
        verbs = ["create", "delete", "get", "list", "patch"]
        found = [
            {"name": _plural(kind), "kind": kind, "namespaced": where, "verbs": verbs}
            for where, table in ((True, self.namespaced), (False, _GLOBAL))
            for kind in table.get(version, [])
        ]
        return {"resources": found} if found else None

    def answer(self, method, path, query, body):
        """Status and document."""
        self.requests.append((method, path))
        parts = path.strip("/").split("/")
        if path == "/version":
            return 200, {"gitVersion": "v1.34.1"}
        if path == "/apis":
            versions = {*self.namespaced, *_GLOBAL} - {"v1"}
            return 200, {"groups": [{"preferredVersion": {"groupVersion": v}} for v in versions]}
        if parts[-1] == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            allowed = (asked["verb"], asked["resource"]) not in self.denied
            return 201, {"status": {"allowed": allowed}}
        version, rest = (
            ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        )
        known = self.served(version)
        if not rest or known is None:
            return (200, known) if known and not rest else _gone(path)
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind = next((o["kind"] for o in known["resources"] if o["name"] == rest[0]), "")
        if len(rest) == 1:
            return self._listed(kind, namespace, query.get("labelSelector", [""])[0], rest[0])
        key = (kind, namespace, rest[1])
        if method == "PATCH":
            return self._apply(key, body, query)
        if key not in self.objects:
            return _gone(path)
        if method == "DELETE":
            if self.busy:
                self.busy -= 1
                return _BUSY
            del self.objects[key]
            if kind == "Namespace":
                self.objects = {k: o for k, o in self.objects.items() if k[1] != rest[1]}
            return 200, {}
        return 200, self.objects[key]

    def _listed(self, kind, namespace, selector, plural):
        if ("list", plural) in self.denied:
            return 403, {"message": f'User "ada" cannot list resource "{plural}"'}
        found = [
            document
            for (its, where, _), document in self.objects.items()
            if its == kind and namespace in ("", where) and _selects(selector, document)
        ]
        return 200, {"items": [{k: v for k, v in o.items() if k != "kind"} for o in found]}

    def _apply(self, key, body, query):
        kind, namespace, _ = key
        if self.busy:
            self.busy -= 1
            return _BUSY
        if why := self.refuse(body):
            return 403, {"message": f"admission webhook denied the request: {why}"}
        if namespace and ("Namespace", "", namespace) not in self.objects:
            return _gone(namespace)
        manager, old = query["fieldManager"][0], self.objects.get(key)
        owners = self.owners.setdefault(key, {}) if old is None else self.owners.get(key, {})
        new = copy.deepcopy(old or {"metadata": {}})
        wanted = dict(_leaves(body))
        for path, value in wanted.items():
            other = owners.get(path, "others" if _at(new, path) is not None else manager)
            if other != manager and _at(new, path) != value and query["force"] == ["false"]:
                return 409, {"message": f'conflict with "{other}": {".".join(path)}'}
        for path in [p for p, who in owners.items() if who == manager and p not in wanted]:
            _drop(new, path)
            del owners[path]
        for path, value in wanted.items():
            if _at(new, path) != value or path not in owners:
                if _at(new, path) is None or query["force"] == ["true"]:
                    owners[path] = manager
                _set(new, path, value)
        new.setdefault("status", self._status(kind, new))
        if "dryRun" not in query:
            self.objects[key], self.owners[key] = new, owners
        return 200, new

    def _status(self, kind, document):
        if not self.ready:
            return {}
        if kind == "EventListener":
            return {"conditions": [{"type": "Ready", "status": "True"}]}
        count = document.get("spec", {}).get("replicas", 1) if kind == "Deployment" else 0
        return {"availableReplicas": count, "updatedReplicas": count}


@contextmanager
def object_api():
    """The stand-in, served on loopback; with an `Api` that speaks to it."""
    cluster = ObjectApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _any(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            url = urlsplit(self.path)
            with lock:
                status, document = cluster.answer(self.command, url.path, parse_qs(url.query), body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    cluster.api = Api(_client(cluster.url))
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()


def _client(url):
    from kubernetes import client

    settings = client.Configuration()
    settings.host = url
    return Cluster(client.ApiClient(settings), "touchstone")


def kubeconfig(url):
    """A kubeconfig for the stand-in, as text."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "ada"}}],
            "clusters": [{"name": "here", "cluster": {"server": url}}],
            "users": [{"name": "ada", "user": {}}],
        }
    )


def _key(document):
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]


def _plural(kind):
    return _PLURALS.get(kind, kind.lower() + "s")


def _gone(what):
    return 404, {"message": f"{what} not found"}


def _selects(selector, document):
    labels = document["metadata"].get("labels") or {}
    pairs = [one.partition("=") for one in selector.split(",") if one]
    return all(labels.get(key) == value for key, _, value in pairs)


def _leaves(document, path=()):
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _at(document, path):
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _set(document, path, value):
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value


def _drop(document, path):
    for key in path[:-1]:
        document = document.get(key, {})
    document.pop(path[-1], None)
