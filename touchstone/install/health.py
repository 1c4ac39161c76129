"""Does what is installed work? Its programs, Secrets, volume, and values that nobody gave."""

from __future__ import annotations

import re
from collections.abc import Iterator

from touchstone.errors import PlatformError
from touchstone.install import secrets
from touchstone.install.api import Api
from touchstone.install.apply import unready
from touchstone.install.checks import Check
from touchstone.install.overlay import CLAIM
from touchstone.install.values import FORGES

_TRIGGERS = "triggers.tekton.dev/v1beta1"
_LISTENER = "touchstone"
_BINDING = "touchstone-installation"
_NEEDED = {
    secrets.SIGNING: "no model is promoted",
    secrets.RECORDING: "decisions in comments are not recorded",
    secrets.PUSH: "no promotion is pushed",
    secrets.REGISTRY: "no image is pushed, unless the registry takes anybody's",
}


def installed(api: Api, namespace: str) -> list[Check]:
    """How an installation is; one check that says so where there is none."""
    listener = api.get(_TRIGGERS, "EventListener", _LISTENER, namespace)
    if listener is None:
        return [
            Check(
                "Installation",
                "optional",
                f"got no EventListener {_LISTENER} in namespace {namespace}",
                "touchstone install --plan says what would be made; --namespace looks elsewhere",
            )
        ]
    return [
        *_programs(api, namespace, listener),
        *_secrets(api, namespace),
        *_values(api, namespace),
        *_volume(api, namespace),
    ]


def _programs(api: Api, namespace: str, listener: dict[str, object]) -> Iterator[Check]:
    deployments = api.list(
        api.kind("apps/v1", "Deployment"),
        namespace,
        selector="app.kubernetes.io/part-of=touchstone",
    )
    head = {"apiVersion": _TRIGGERS, "kind": "EventListener"}
    for one in [{**head, **listener}, *deployments]:
        name = f"{one['kind']} {one['metadata']['name']}"
        why = unready(api, one)
        remedy = f"kubectl describe pods -n {namespace}" if why else ""
        yield Check(name, "missing" if why else "ok", why or "ready", remedy)


def _secrets(api: Api, namespace: str) -> Iterator[Check]:
    try:
        known = {
            one["metadata"]["name"]: set(one.get("data") or {})
            for one in api.list(api.kind("v1", "Secret"), namespace)
        }
    except PlatformError as error:
        yield Check("Secrets", "unknown", str(error))
        return
    if not set(FORGES.values()) & set(known):
        yield Check(
            "Secrets",
            "missing",
            f"got none of {', '.join(FORGES.values())}, expected that of your forge: no webhook"
            " starts anything",
            "touchstone install --apply makes it",
        )
    absent = {name: loss for name, loss in _NEEDED.items() if name not in known}
    for name, loss in absent.items():
        yield Check(
            f"Secret {name}",
            "missing",
            f"not there: {loss}",
            "touchstone install --apply makes keys; --secrets FOLDER has the others",
        )
    if not absent:
        yield Check("Secrets", "ok", f"{len(known)}, with all that are needed")


def _values(api: Api, namespace: str) -> Iterator[Check]:
    binding = api.get(_TRIGGERS, "TriggerBinding", _BINDING, namespace) or {}
    for one in binding.get("spec", {}).get("params", []):
        if re.search(r"\bexample\.(com|org|net)\b", one["value"]):
            yield Check(
                f"Value {one['name']}",
                "missing",
                f"got {one['value']}, expected one of your own: a run fails at its end",
                "touchstone install --apply --registry … --gitops …",
            )


def _volume(api: Api, namespace: str) -> Iterator[Check]:
    claim = api.get("v1", "PersistentVolumeClaim", CLAIM, namespace)
    if claim is None:
        return
    phase = claim.get("status", {}).get("phase", "Pending")
    if phase == "Bound":
        yield Check("Volume", "ok", f"{CLAIM} is bound")
    else:
        yield Check(
            "Volume", "unknown", f"{CLAIM} is {phase}: it may wait for the first Pod",
            f"kubectl describe pvc {CLAIM} -n {namespace}",
        )  # fmt: skip
