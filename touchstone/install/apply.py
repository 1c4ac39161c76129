"""What would change in the cluster, and is it done? Applied object by object, then waited for.

What this installation made carries its label, so that it can be found and taken away again. An
object that was there before gets another one: it is written into, never taken over or deleted.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from touchstone.errors import DeadlineError
from touchstone.install.api import (
    INSTALLATION,
    SHARED,
    Api,
    BusyError,
    ConflictError,
    manager_of,
    shown,
)

Outcome = Literal["new", "changed", "unchanged", "skipped"]
Say = Callable[[str], None]
_AT_ONCE = 8
"""Questions to the API server that change nothing."""
_BUSY_SECONDS = 60
_PAUSE = 1.0
_NOISE = ("managedFields", "resourceVersion", "generation")
"""Of an object's metadata: what a change brings along that changes nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one object."""

    document: Mapping[str, Any]
    outcome: Outcome
    why: str = ""
    """Why it is skipped."""

    def plain(self) -> dict[str, str]:
        """For machines."""
        told = {"object": shown(self.document), "outcome": self.outcome}
        return {**told, "why": self.why} if self.why else told


class Applier:
    """Applies the objects of one installation to one cluster."""

    def __init__(self, api: Api, objects: Iterable[Mapping[str, Any]], installation: str) -> None:
        self._api = api
        self._installation = installation
        self.objects = [self._placed(one) for one in objects]
        """As the cluster has room for them: kustomize does not know of every kind whether it has
        a namespace."""

        namespaces = {one["metadata"].get("namespace", "") for one in self.objects} - {""}
        self._there = {one for one in namespaces if api.get("v1", "Namespace", one)}
        self._made = {one["metadata"]["name"] for one in self.objects if one["kind"] == "Namespace"}

    def _placed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        known = self._api.kind(document["apiVersion"], document["kind"])
        placed = copy.deepcopy(dict(document))
        if known is not None and not known.namespaced:
            placed["metadata"].pop("namespace", None)
        return placed

    def plan(self) -> list[Change]:
        """What applying would do, asked of the API server without changing anything.

        Raises:
            RefusedError: the API server, a webhook or a policy would refuse an object.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda one: self._one(one, dry_run=True), self.objects))

    def apply(self, *, namespaces: bool) -> Iterator[Change]:
        """Apply all namespaces, or all the rest; what became of each.

        Raises:
            RefusedError: one was refused, also after a minute where a webhook was not ready.
        """
        for document in self.objects:
            if (document["kind"] == "Namespace") is namespaces:
                for attempt in patiently():
                    with attempt:
                        change = self._one(document, dry_run=False)
                yield change

    def _one(self, document: Mapping[str, Any], *, dry_run: bool) -> Change:
        if self._api.kind(document["apiVersion"], document["kind"]) is None:
            why = f"the cluster knows no {document['kind']} of {document['apiVersion']}"
            return Change(document, "skipped", why)
        namespace = document["metadata"].get("namespace", "")
        if namespace and namespace not in self._there | self._made:
            return Change(document, "skipped", f"there is no namespace {namespace}")
        if dry_run and namespace and namespace not in self._there:
            return Change(document, "new")  # nothing can be asked about what it will hold
        live = self._api.live(document)
        own = live is None or _labels(live).get(INSTALLATION) == self._installation
        marked = _marked(document, self._installation, own=own)
        manager = manager_of(self._installation)
        try:
            after = self._api.apply(marked, manager=manager, force=own, dry_run=dry_run)
        except ConflictError:
            if namespace:
                raise
            why = f"{shown(document)} is there once for the cluster, and others keep it as it is"
            return Change(document, "skipped", why)
        if live is None:
            return Change(marked, "new")
        return Change(marked, "unchanged" if _bare(after) == _bare(live) else "changed")


def patiently() -> Retrying:
    """Attempts for a minute, while the API server or a webhook of it is busy."""
    return Retrying(
        retry=retry_if_exception_type(BusyError),
        wait=wait_exponential(multiplier=0.5, max=5),
        stop=stop_after_delay(_BUSY_SECONDS),
        reraise=True,
    )


def _marked(document: Mapping[str, Any], installation: str, *, own: bool) -> dict[str, Any]:
    marked = copy.deepcopy(dict(document))
    labels = marked["metadata"].setdefault("labels", {})
    if own and SHARED not in labels:
        labels[INSTALLATION] = installation
    else:
        labels.pop(INSTALLATION, None)
        labels[SHARED] = installation
    return marked


def _labels(document: Mapping[str, Any]) -> Mapping[str, str]:
    return document["metadata"].get("labels") or {}


def _bare(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: one for key, one in document["metadata"].items() if key not in _NOISE}
    return {**document, "metadata": metadata}


def wait(api: Api, objects: Iterable[Mapping[str, Any]], *, seconds: float, say: Say) -> None:
    """Return once everything that runs all the time is ready.

    Raises:
        DeadlineError: something is not after `seconds`; with what it waits for.
    """
    waiting = [one for one in objects if one["kind"] in ("Deployment", "EventListener")]
    deadline = time.monotonic() + seconds
    while waiting:
        left = [(one, why) for one in waiting if (why := unready(api, one))]
        for one in waiting:
            if all(one is not late for late, _ in left):
                say(f"ready: {shown(one)}")
        waiting = [one for one, _ in left]
        if waiting and time.monotonic() > deadline:
            said = "; ".join(f"{shown(one)}: {why}" for one, why in left)
            raise DeadlineError(
                f"not ready after {seconds:.0f} s: {said}",
                hint=f"{_look(left[0][0])} says more; applied again, what is there stays as it is",
            )
        if waiting:
            time.sleep(_PAUSE)


def _look(document: Mapping[str, Any]) -> str:
    metadata = document["metadata"]
    name = ("el-" if document["kind"] == "EventListener" else "") + metadata["name"]
    return f"kubectl logs -n {metadata['namespace']} deployment/{name}"


def unready(api: Api, document: Mapping[str, Any]) -> str:
    """What an object is waiting for; empty where it is ready."""
    live = api.live(document)
    if live is None:
        return "it is gone"
    status = live.get("status") or {}
    if document["kind"] == "EventListener":
        ready = {one["type"]: one for one in status.get("conditions") or ()}.get("Ready", {})
        if ready.get("status") == "True":
            return ""
        said = ready.get("message") or "Tekton Triggers has not taken it up"
        return f"{said}{_pods(api, live, {'eventlistener': document['metadata']['name']})}"
    wanted = live["spec"].get("replicas", 1)
    ready = status.get("availableReplicas", 0)
    current = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    if current and ready >= wanted and status.get("updatedReplicas", 0) >= wanted:
        return ""
    labels = live["spec"]["selector"].get("matchLabels", {})
    return f"{ready} of {wanted} Pods ready{_pods(api, live, labels)}"


def _pods(api: Api, live: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Why Pods do not start, as far as they say."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    namespace = live["metadata"]["namespace"]
    found = api.list(api.kind("v1", "Pod"), namespace, selector=selector)
    said = {why for pod in found for why in reasons(pod)}
    said |= {
        one["message"]
        for one in (live.get("status") or {}).get("conditions") or ()
        if one["type"] == "ReplicaFailure" and one.get("message")
    }
    return f" ({'; '.join(sorted(said))})" if said else ""


def reasons(pod: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a Pod from running: no node for it, no image, a container that ends."""
    status = pod.get("status") or {}
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False":
            yield one.get("message", one.get("reason", ""))
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            state = (container.get("state") or {}).get("waiting") or {}
            if state.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
                yield f"{state['reason']}: {state.get('message', container['image'])}"


def kinds(objects: Iterable[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    """(apiVersion, kind, namespace) of all, as permissions are asked for."""
    return {
        (one["apiVersion"], one["kind"], one["metadata"].get("namespace", "")) for one in objects
    }
