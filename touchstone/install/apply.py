"""What would change in the cluster, and is it done? Applied object by object, then waited for.

What this installation made carries its label, so that it can be found and taken away again. An
object that was there before gets another one: it is written into, never taken over or deleted.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from touchstone.errors import DeadlineError
from touchstone.install.api import INSTALLATION, SHARED, Api, BusyError, Kind, shown

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


def plan(api: Api, objects: Sequence[Mapping[str, Any]], installation: str) -> list[Change]:
    """What applying would do, asked of the API server without changing anything.

    Raises:
        RefusedError: the API server, a webhook or a policy would refuse an object.
    """

    def asked(document: Mapping[str, Any]) -> Change:
        return _one(api, document, installation, objects, dry_run=True)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(asked, objects))


def apply(api: Api, objects: Sequence[Mapping[str, Any]], installation: str) -> Iterator[Change]:
    """Apply the objects one after the other; what became of each.

    Raises:
        RefusedError: one was refused, also after a minute where a webhook was not ready.
    """
    for document in objects:
        for attempt in _patiently():
            with attempt:
                change = _one(api, document, installation, objects, dry_run=False)
        yield change


def _patiently() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(BusyError),
        wait=wait_exponential(multiplier=0.5, max=5),
        stop=stop_after_delay(_BUSY_SECONDS),
        reraise=True,
    )


def _one(
    api: Api,
    document: Mapping[str, Any],
    installation: str,
    objects: Sequence[Mapping[str, Any]],
    *,
    dry_run: bool,
) -> Change:
    if why := _unfit(api, document, objects):
        return Change(document, "skipped", why)
    namespace = document["metadata"].get("namespace", "")
    if dry_run and namespace and api.get("v1", "Namespace", namespace) is None:
        return Change(document, "new")  # nothing can be asked about what it will hold
    live = api.live(document)
    own = live is None or _labels(live).get(INSTALLATION) == installation
    marked = _marked(document, installation, own=own)
    after = api.apply(marked, force=own, dry_run=dry_run)
    if live is None:
        return Change(marked, "new")
    return Change(marked, "unchanged" if _bare(after) == _bare(live) else "changed")


def _unfit(api: Api, document: Mapping[str, Any], objects: Iterable[Mapping[str, Any]]) -> str:
    """Why this cluster has no place for an object; empty where it has."""
    if api.kind(document["apiVersion"], document["kind"]) is None:
        return f"the cluster knows no {document['kind']} of {document['apiVersion']}"
    namespace = document["metadata"].get("namespace", "")
    made = {one["metadata"]["name"] for one in objects if one["kind"] == "Namespace"}
    if namespace and namespace not in made and api.get("v1", "Namespace", namespace) is None:
        return f"there is no namespace {namespace}"
    return ""


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
                hint="apply it again once that is mended: what is there stays as it is",
            )
        if waiting:
            time.sleep(_PAUSE)


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
    found = api.list(api.kind("v1", "Pod"), namespace, labelSelector=selector)
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


def gone(api: Api, kind: Kind, document: Mapping[str, Any]) -> bool:
    """Whether an object is no longer there."""
    metadata = document["metadata"]
    return api.ask("GET", kind.url(metadata.get("namespace", ""), metadata["name"])) is None
