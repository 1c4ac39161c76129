"""Are NetworkPolicies enforced? Two Pods try one address; a policy forbids it to one of them.

The API takes policies whether or not a network plugin acts on them, so only a Pod can tell.
"""

from __future__ import annotations

import random
import string
import time
from typing import Any

from touchstone.errors import DeadlineError
from touchstone.install.api import Api
from touchstone.install.apply import reasons
from touchstone.install.checks import Check

_MANAGER = "touchstone-probe"
_NAME = "NetworkPolicies"
_SETTLE = 5.0
"""Seconds in which a plugin takes up a policy before the first packet is sent."""
_TRY = (
    "import os, socket, sys, time\n"
    f"time.sleep({_SETTLE})\n"
    "address = (os.environ['KUBERNETES_SERVICE_HOST'],"
    " int(os.environ['KUBERNETES_SERVICE_PORT']))\n"
    "try:\n"
    "    socket.create_connection(address, timeout=5).close()\n"
    "except OSError as error:\n"
    "    sys.exit(f'refused: {error}')\n"
)
"""Whether the API server can be reached: exit code 0, else 1."""


def enforced(api: Api, *, image: str, seconds: float = 180) -> Check:
    """Make a namespace with two Pods of `image`, which has python, and take it away again.

    Raises:
        DeadlineError: a Pod did not end in time; with what it waits for.
        PlatformError: this person may not make such a namespace.
    """
    name = "touchstone-probe-" + "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    try:
        for one in (namespace, _policy(name), _pod(name, "free", image), _pod(name, "held", image)):
            _made(api, one)
        codes = {one: _ended(api, name, one, seconds) for one in ("free", "held")}
    finally:
        api.delete(namespace)
    if codes["free"]:
        said = "no Pod reaches the API server, whether a policy forbids it or not"
        return Check(_NAME, "unknown", said, "look for a policy or firewall over all namespaces")
    if codes["held"]:
        return Check(_NAME, "ok", "enforced: a Pod reached only what no policy forbids")
    return Check(
        _NAME,
        "missing",
        "not enforced: a Pod reached what a policy forbids, so code of models may speak to anybody",
        "install a network plugin that enforces them: Cilium, Calico, or kube-router beside yours",
    )


def _made(api: Api, document: dict[str, Any], seconds: float = 30) -> None:
    """Apply it; a new namespace takes a moment to get the ServiceAccount that Pods need."""
    deadline = time.monotonic() + seconds
    namespace = document["metadata"].get("namespace", "")
    while document["kind"] == "Pod" and time.monotonic() < deadline:
        if api.get("v1", "ServiceAccount", "default", namespace):
            break
        time.sleep(0.5)
    api.apply(document, manager=_MANAGER, force=True)


def _policy(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "held", "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {"probe": "held"}}, "policyTypes": ["Egress"]},
    }


def _pod(namespace: str, name: str, image: str) -> dict[str, Any]:
    container = {
        "name": "probe",
        "image": image,
        "command": ["python3", "-c", _TRY],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"probe": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def _ended(api: Api, namespace: str, name: str, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while True:
        pod = api.get("v1", "Pod", name, namespace) or {}
        status = pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            state = status["containerStatuses"][0]["state"]["terminated"]
            return int(state["exitCode"])
        if time.monotonic() > deadline:
            why = "; ".join(reasons(pod)) or f"it is {status.get('phase', 'not there')}"
            raise DeadlineError(
                f"the Pod {namespace}/{name} did not end within {seconds:.0f} s: {why}",
                hint="--image NAME takes another image that has python3",
            )
        time.sleep(1)
