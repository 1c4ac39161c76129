"""Is nothing left of an installation? What it made is found by its label, whatever made it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from touchstone.errors import DeadlineError, PlatformError
from touchstone.install.api import INSTALLATION, SHARED, Api, Kind, manager_of, shown
from touchstone.install.apply import Say, patiently

_AT_ONCE = 8
_PAUSE = 1.0
_APPLICATIONS = ("argoproj.io/v1alpha1", "Application")
_SERVED = ("serving.kserve.io/v1beta1", "InferenceService")
_RUNS = (("tekton.dev/v1", "PipelineRun"), ("tekton.dev/v1", "TaskRun"))
_FIRST = ("Application", "ApplicationSet", "EventListener", "PipelineRun", "TaskRun", "Deployment")
"""What would make new objects while the others go."""
_ONCE = ("ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
"""What a cluster has once, however many installations there are."""
_OF_RUNS = "touchstone.dev/pod-security=restricted"
_DATA = ("Secret", "PersistentVolumeClaim", "Namespace")
"""Keys, credentials and the store, and the namespaces that hold them."""
_COPIED = ("Endpoints", "EndpointSlice", "Pod", "ReplicaSet", "Event")
"""They have labels of what made them, and go with it."""


@dataclass(slots=True)
class Found:
    """What there is of one installation."""

    own: list[Mapping[str, Any]] = field(default_factory=list)
    """What it made, in the order to delete it."""
    shared: list[Mapping[str, Any]] = field(default_factory=list)
    """Objects of others that it wrote into."""
    served: list[Mapping[str, Any]] = field(default_factory=list)
    """Models that are served in its namespaces."""
    needed: list[Mapping[str, Any]] = field(default_factory=list)
    """What it made once for the cluster, and another installation rests on: it stays."""
    unseen: list[str] = field(default_factory=list)
    """Kinds that this person may not list."""

    @property
    def namespaces(self) -> list[str]:
        """Those that it made."""
        return [one["metadata"]["name"] for one in self.own if one["kind"] == "Namespace"]


def find(api: Api, installation: str) -> Found:
    """Everything in the cluster that carries the installation's label."""
    found = Found()

    def listed(kind: Kind) -> None:
        for label, into in ((INSTALLATION, found.own), (SHARED, found.shared)):
            try:
                into += api.list(kind, selector=f"{label}={installation}")
            except PlatformError:
                found.unseen.append(kind.plural)
                return

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(listed, [one for one in api.everything() if one.kind not in _COPIED]))
    others = api.list(api.kind("v1", "Namespace"), selector=_OF_RUNS)
    if any(one["metadata"]["name"] not in {*found.namespaces, installation} for one in others):
        found.needed = [one for one in found.own if one["kind"] in _ONCE]
        found.own = [one for one in found.own if one["kind"] not in _ONCE]
    served = api.kind(*_SERVED)
    found.served = [one for name in found.namespaces for one in api.list(served, name)]
    found.own.sort(key=_rank)
    return found


def _rank(document: Mapping[str, Any]) -> int:
    kind = str(document["kind"])
    if kind in _FIRST:
        return _FIRST.index(kind)
    return len(_FIRST) + (kind == "Namespace")


def remove(
    api: Api, installation: str, found: Found, *, keep_data: bool, seconds: float, say: Say
) -> list[Mapping[str, Any]]:
    """Delete what was found and give back what was shared; what was kept.

    Args:
        keep_data: leave keys, credentials and the store, with the namespaces that hold them.

    Raises:
        DeadlineError: something is still there after `seconds`, with what keeps it.
    """
    deadline = time.monotonic() + seconds
    kept = [one for one in found.own if keep_data and one["kind"] in _DATA]
    going = [one for one in found.own if all(one is not other for other in kept)]
    if keep_data:
        going = [*_runs(api, found), *going]
    starters = [one for one in going if one["kind"] == "ApplicationSet"]
    for one in starters:
        _delete(api, one)
        say(f"deleted {shown(one)}")
    # An Application whose project is gone can never end: its project waits for it.
    _until(lambda: _applications(api, starters), deadline, "Applications of Argo CD")
    for one in going:
        if one["kind"] not in ("ApplicationSet", "Namespace"):
            _delete(api, one)
            say(f"deleted {shown(one)}")
    for one in found.shared:
        _give_back(api, one, installation)
        say(f"gave back {shown(one)}")
    for one in going:
        if one["kind"] == "Namespace":
            _delete(api, one)
            say(f"deleting {shown(one)} and all in it")
    _until(lambda: [one for one in going if api.live(one) is not None], deadline, "objects")
    return [*kept, *found.needed]


def _delete(api: Api, document: Mapping[str, Any]) -> None:
    for attempt in patiently():
        with attempt:
            api.delete(document)


def _runs(api: Api, found: Found) -> Iterator[Mapping[str, Any]]:
    for version, name in _RUNS:
        for namespace in found.namespaces:
            yield from api.list(api.kind(version, name), namespace)


def _applications(api: Api, sets: list[Mapping[str, Any]]) -> list[Any]:
    known = api.kind(*_APPLICATIONS)
    names = {one["metadata"]["name"] for one in sets}
    return [
        one
        for namespace in {one["metadata"]["namespace"] for one in sets}
        for one in api.list(known, namespace)
        if any(owner["name"] in names for owner in one["metadata"].get("ownerReferences") or ())
    ]


def _give_back(api: Api, document: Mapping[str, Any], installation: str) -> None:
    """Own nothing of an object any more: fields that nobody else owns go with that."""
    metadata = {key: document["metadata"].get(key) for key in ("name", "namespace")}
    bare = {key: value for key, value in metadata.items() if value}
    head = {"apiVersion": document["apiVersion"], "kind": document["kind"]}
    api.apply({**head, "metadata": bare}, manager=manager_of(installation), force=False)


def _until(left: Any, deadline: float, what: str) -> None:
    while remaining := left():
        if time.monotonic() > deadline:
            said = "; ".join(f"{shown(one)}{_held(one)}" for one in remaining[:10])
            raise DeadlineError(
                f"{len(remaining)} {what} are still there: {said}",
                hint="what has a finalizer waits for its controller; uninstall again once it runs",
            )
        time.sleep(_PAUSE)


def _held(document: Mapping[str, Any]) -> str:
    finalizers = document["metadata"].get("finalizers") or ()
    return f" (finalizers {', '.join(finalizers)})" if finalizers else ""
