"""How does a laptop read what a recorder stored? By a forwarded port, with no key of the store.

Only whoever may forward ports of the recorder's Pod gets there; every blob is compared with its
digest here, so the recorder need not be believed.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from touchstone.beneath import Readable
from touchstone.cluster.connect import PODS, Cluster
from touchstone.errors import PlatformError

RECORDER = "app.kubernetes.io/name=touchstone-recorder"
PORT = 8081
_SECONDS = 30


class Forwarded:
    """A `touchstone.artifacts.backend.Backend` to read from, of a recorder's Pod."""

    at_once = 1
    remote = ""

    def __init__(self, cluster: Cluster, pod: str) -> None:
        self._cluster, self._pod = cluster, pod
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"the store of Pod {self._pod} in {self._cluster}"

    def contains(self, digest: str) -> bool:
        """See `Backend`."""
        return self._ask(f"/blobs/{digest}") is not None

    @contextmanager
    def opened(self, digest: str) -> Iterator[Readable]:
        """See `Backend`."""
        content = self._ask(f"/blobs/{digest}")
        if content is None:
            raise FileNotFoundError(digest)
        yield BytesIO(content)

    def put(self, digest: str, source: Readable, size: int) -> None:
        """Nothing is written this way."""
        raise self._read_only

    def bind(self, digest: str, parts: Iterable[str]) -> None:
        """Nothing is written this way."""
        raise self._read_only

    def ref(self, name: str) -> str | None:
        """See `Backend`."""
        content = self._ask(f"/refs/{name}")
        return None if content is None else content.decode()

    def set_ref(self, name: str, digest: str) -> None:
        """Nothing is written this way."""
        raise self._read_only

    def refs(self, under: str) -> Iterator[str]:
        """See `Backend`."""
        return iter((self._ask(f"/names/{under}") or b"").decode().split())

    def remedy(self, digest: str) -> str:
        """See `Backend`."""
        return f"remove {digest} where the recorder stores"

    @property
    def _read_only(self) -> PlatformError:
        return PlatformError(f"got a change of {self}, expected one to be read from only")

    def _ask(self, path: str) -> bytes | None:
        """The answer; None where there is no such thing. A connection that broke is made anew."""
        with self._lock:
            for last in (False, True):
                try:
                    if self._connection is None:
                        self._connection = self._connect()
                    self._connection.request("GET", path)
                    answer = self._connection.getresponse()
                    content = answer.read()
                    break
                except (OSError, http.client.HTTPException) as error:
                    self._connection = None
                    if last:
                        raise PlatformError(
                            f"{self} does not answer: {type(error).__name__}: {error}",
                            hint=f"kubectl -n {self._cluster.namespace} logs {self._pod}",
                        ) from None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise PlatformError(f"{self} answered {answer.status}: {content[:200].decode()}")
        return content

    def _connect(self) -> http.client.HTTPConnection:
        from kubernetes.client import ApiException, CoreV1Api
        from kubernetes.stream import portforward

        # Forwarding takes over the client that it is given.
        api = CoreV1Api(type(self._cluster.client)(self._cluster.client.configuration))
        try:
            forward = portforward(
                api.connect_get_namespaced_pod_portforward,
                self._pod,
                self._cluster.namespace,
                ports=str(PORT),
            )
        except ApiException as error:
            raise PlatformError(
                f"got no way to port {PORT} of Pod {self._pod}: {_first_line(error)}",
                hint="what outlives Pods is read through the recorder: kubectl auth can-i create"
                f" pods/portforward -n {self._cluster.namespace}",
            ) from None
        connection = http.client.HTTPConnection("recorder", PORT, timeout=_SECONDS)
        connection.sock = forward.socket(PORT)
        connection.sock.settimeout(_SECONDS)
        return connection


def recorder_pod(cluster: Cluster) -> str:
    """The Pod of the namespace's recorder that runs; empty where none does."""
    pods, _ = cluster.items(PODS, labels=RECORDER)
    return next((pod["metadata"]["name"] for pod in pods if _runs(pod)), "")


def _runs(pod: dict[str, Any]) -> bool:
    """Also one that is not Ready, which on a busy node may only answer late."""
    leaves = pod["metadata"].get("deletionTimestamp")
    return not leaves and (pod.get("status") or {}).get("phase") == "Running"


def _first_line(error: Exception) -> str:
    return next(iter(str(getattr(error, "reason", "") or error).splitlines()), "")
