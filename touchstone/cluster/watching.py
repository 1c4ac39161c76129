"""What changes among objects of a kind? A list, then a watch from there on, as long as it takes.

A watch ends often: after its time, with a server that is replaced, when the version it began at has
been forgotten (410). It goes on from the last version seen, bookmarks included; after a 410 there
is a new list, so that nothing that came or went meanwhile is missed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from touchstone.cluster.connect import ApiError, Cluster, Json, Kind

_SECONDS = 60
"""Of one watch, which the server then ends; bookmarks keep its version young."""

_SILENCE = _SECONDS + 15.0
"""Seconds without a word after which the connection counts as lost."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0

_FINAL = (400, 401, 403, 404, 405)
"""Answers that asking again does not change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """All there is now; what is not among it is gone."""

    items: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One object came, changed or went; as it is now, or was last."""

    item: Json
    gone: bool


def changes(
    cluster: Cluster,
    kind: Kind,
    *,
    labels: str = "",
    fields: str = "",
    namespace: str = "",
    stop: threading.Event | None = None,
    patience: float | None = None,
    heard: Callable[[], None] | None = None,
) -> Iterator[Listed | Changed]:
    """All there is, then everything that happens, until `stop`.

    Args:
        patience: seconds in a row that the API may be out of reach once it has answered; None for
            ever.
        heard: called for a word of the server that nothing has happened.

    Raises:
        ApiError: the API refuses (401, 403 and the like), or is out of reach for too long.
    """
    stop = stop or threading.Event()
    path = kind.path(namespace or cluster.namespace)
    watch = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": _SECONDS}
    watch |= {"labelSelector": labels, "fieldSelector": fields}
    version, known, failures, since = "", False, 0, 0.0
    while not stop.is_set():
        try:
            if not version:
                items, version = cluster.items(
                    kind, labels=labels, fields=fields, namespace=namespace
                )
                known = True
                yield Listed(items=tuple(items))
            asked = {**watch, "resourceVersion": version}
            for event in _events(cluster.stream(path, query=asked, seconds=_SILENCE)):
                item = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError(str(item.get("message", "")), status=int(item.get("code", 0)))
                version, failures = str(item["metadata"]["resourceVersion"]), 0
                if event["type"] != "BOOKMARK":
                    yield Changed(item=item, gone=event["type"] == "DELETED")
                elif heard is not None:
                    heard()
                if stop.is_set():
                    return
            failures = 0
        except ApiError as error:
            if error.status == 410:
                version = ""
            elif error.status in _FINAL or not known:
                raise
            since = since if failures else time.monotonic()
            failures += 1
            if patience is not None and time.monotonic() - since > patience:
                raise
            stop.wait(min(_FIRST_WAIT * 2.0 ** (failures - 1), _LONGEST_WAIT))


def _events(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The events of a watch: one JSON object a line.

    Raises:
        ApiError: a line is none, as the connection broke within it.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in filter(bytes.strip, lines):
            try:
                event: dict[str, Any] = json.loads(line)
            except ValueError:
                raise ApiError("a watch was cut short within an event", status=0) from None
            yield event
