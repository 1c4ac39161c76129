"""What do the containers of a TaskRun's Pod print? Read while they run, or once they have ended.

The steps' logs come one after the other, as the steps run; those of sidecars beside them. Every
line comes once: the API gives each its time, and where a connection broke reading goes on there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from touchstone.cluster.connect import PODS, ApiError, Cluster, Json

_STEP, _SIDECAR = "step-", "sidecar-"

_PAUSE = 1.0
"""Seconds between two looks at a container that has not begun, or at one whose log ended early."""

_SILENCE = 3600.0
"""Seconds without a line after which a log is asked for anew."""

_LONGEST = 1 << 20
"""Bytes of a line that are held until its end comes."""

_AFTER = 5
"""How often one is still asked for that cannot be read, after its TaskRun has ended."""

Write = Callable[[str, bytes], None]
"""Takes the step's name (or `sidecar-NAME`), and some of what it printed."""


class PodLogs:
    """The logs of one Pod.

    Args:
        write: gets whole lines; called by one thread for each container.
        tail: lines from the end to begin with; all for 0.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, pod: str, write: Write, *, tail: int = 0
    ) -> None:
        self._cluster, self._namespace, self.pod = cluster, namespace, pod
        self._write, self._tail = write, tail
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.gone = False
        """Whether the Pod is not there any more, or never was."""

    def read(self) -> bool:
        """What is there now, of all containers; False where the Pod is gone. Raises ApiError."""
        pod = self._pod()
        if pod is None:
            return False
        for container in (*steps_of(pod), *sidecars_of(pod)):
            for _, line in self._lines(container, b"", follow=False, pod=pod):
                self._write(_name(container), line)
        return True

    def start(self) -> None:
        """Begin to follow; `write` is called until every container has ended, or `end`."""
        thread = threading.Thread(target=self._begin, daemon=True)
        thread.start()
        self._threads.append(thread)

    def end(self) -> None:
        """The TaskRun has ended: what has not begun will not."""
        self._over.set()

    def join(self, seconds: float) -> bool:
        """Wait until all is read; whether it is."""
        limit = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, limit - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _begin(self) -> None:
        pod = None
        while (pod := self._look()) is None:
            if self.gone or self._over.wait(_PAUSE):
                return
        for container in sidecars_of(pod):
            thread = threading.Thread(target=self._follow, args=(container,), daemon=True)
            thread.start()
            self._threads.append(thread)  # begun, as others may wait for it at once
        for container in steps_of(pod):
            self._follow(container)

    def _follow(self, container: str) -> None:
        last, failures = b"", 0
        while True:
            try:
                # What has ended is read to its end, and is not waited for.
                found = self._lines(container, last, follow=not self._over.is_set())
                for moment, line in found:
                    self._write(_name(container), line)
                    last, failures = moment, 0
            except ApiError as error:
                if error.status in (403, 404):
                    return
                failures += 1
            pod = self._look()
            if self.gone or (pod is not None and not failures and _ended(pod, container)):
                return
            if self._over.is_set() and (not failures or failures > _AFTER):
                return
            if self._over.wait(_PAUSE):
                time.sleep(_PAUSE / 5)

    def _lines(
        self, container: str, last: bytes, *, follow: bool, pod: Json | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Time and text of each line after `last`."""
        query: dict[str, object] = {"container": container, "timestamps": "true"}
        pod = pod or self._pod()
        if pod is not None and container.startswith(_SIDECAR) and _restarted(pod, container):
            query["previous"] = (
                "true"  # Tekton ends a sidecar by putting another image in its place
            )
        if follow:
            query["follow"] = "true"
        if last:
            query["sinceTime"] = last.decode()
        elif self._tail:
            query["tailLines"] = self._tail
        path = PODS.path(self._namespace, self.pod, "log")
        rest, begun = b"", b""
        for piece in self._cluster.stream(path, query=query, seconds=_SILENCE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                moment, text = (begun, line) if begun else _parted(line)
                begun = b""
                if moment > last:
                    yield moment, text + b"\n"
            if len(rest) > _LONGEST:  # a line may never end, and is handed on in pieces
                begun, rest = (begun, rest) if begun else _parted(rest)
                if begun > last:
                    yield begun, rest
                rest = b""
        moment, text = (begun, rest) if begun else _parted(rest)
        if text and moment > last:
            yield moment, text

    def _pod(self) -> Json | None:
        return self._cluster.get(PODS, self.pod, namespace=self._namespace)

    def _look(self) -> Json | None:
        """The Pod; None where it is gone, or nobody can tell now."""
        try:
            pod = self._pod()
        except ApiError as error:
            self.gone = error.status == 403
            return None
        self.gone = pod is None
        return pod


def steps_of(pod: Json) -> list[str]:
    """The containers of the steps, in the order in which they run."""
    return [one["name"] for one in pod["spec"]["containers"] if one["name"].startswith(_STEP)]


def sidecars_of(pod: Json) -> list[str]:
    """The containers that run beside the steps."""
    return [one["name"] for one in pod["spec"]["containers"] if one["name"].startswith(_SIDECAR)]


def _parted(line: bytes) -> tuple[bytes, bytes]:
    """When it was printed, and what."""
    moment, _, text = line.partition(b" ")
    return moment, text


def _name(container: str) -> str:
    return container.removeprefix(_STEP)


def _status(pod: Json, container: str) -> Json:
    found = (pod.get("status") or {}).get("containerStatuses") or []
    return next((one for one in found if one["name"] == container), {})


def _ended(pod: Json, container: str) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return "terminated" in (_status(pod, container).get("state") or {}) or phase in (
        "Succeeded",
        "Failed",
    )


def _restarted(pod: Json, container: str) -> bool:
    return int(_status(pod, container).get("restartCount") or 0) > 0
