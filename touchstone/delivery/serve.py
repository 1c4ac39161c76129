"""Revisions as processes: start one, wait until it is ready, switch to it, drain the one before."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from touchstone.delivery.envoy import Proxy
from touchstone.delivery.proxy import Target
from touchstone.errors import DeadlineError, PlatformError
from touchstone.home import packages_of

READY_SECONDS = 90.0
"""Importing torch and KServe takes 4 to 8 s on two free cores, and longer on busy ones."""
_STOP_SECONDS = 10.0


class Server:
    """One KServe model server process, answering on a Unix socket of its own.

    No port: another user of this machine could ask it there, past the proxy.
    """

    def __init__(self, *, model: str, model_dir: Path, address: Path, log: Path) -> None:
        self.model = model
        self.log = log
        self.address = address
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = {"model-name": model, "model-dir": model_dir, "socket": address}
        command = [sys.executable, "-P", "-m", "touchstone.delivery.predictor", "--watch-stdin"]
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in arguments.items())],
                # Never written to: it closes when this process ends in whatever way, and then
                # the revision ends too.
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
                start_new_session=True,  # Ctrl-C reaches the platform alone, which stops us
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return once the model answers that it is ready.

        Raises:
            PlatformError: the process ended; with the last lines of its log.
            DeadlineError: it was not ready in `seconds`.
        """
        waiting = Retrying(
            retry=retry_if_result(lambda ready: not ready),
            stop=stop_after_delay(seconds),
            wait=wait_fixed(0.1),
            retry_error_callback=lambda state: False,
        )
        if not waiting(self._ready_or_ended):
            raise DeadlineError(
                f"{self.model} was not ready after {seconds:g} s", hint=f"see {self.log}"
            )

    def stop(self) -> None:
        """End the process: politely first, then not."""
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _ready_or_ended(self) -> bool:
        if not self.alive:
            lines = self.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise PlatformError(
                f"the server of {self.model} ended with {self._process.returncode}: "
                + (" / ".join(lines) or "it printed nothing"),
                hint=f"see {self.log}",
            )
        return _says_ready(self.address, self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A served version and the process that serves it."""

    target: Target
    server: Server
    folder: Path
    """Its own copy of the model tree, removed with it."""


class Serving:
    """All revisions of one platform behind one proxy. Methods may be called from any thread."""

    def __init__(self, home: Path, port: int) -> None:
        self._home = home
        self._lock = threading.RLock()
        self._revisions: dict[tuple[str, str], Revision] = {}
        self._expected: dict[tuple[str, str], bool] = {}
        self._ending: list[threading.Thread] = []
        shutil.rmtree(self._folders, ignore_errors=True)  # left by a platform that was killed
        self._sockets = _private_folder(home / "sockets")
        self._proxy = Proxy(
            folder=home / "proxy", sockets=self._sockets, log=home / "logs" / "proxy.log", port=port
        )

    @property
    def url(self) -> str:
        """Where clients ask, without a path."""
        return self._proxy.url

    @property
    def _folders(self) -> Path:
        return self._home / "revisions"

    def start(self) -> None:
        """Answer clients; nothing is served yet.

        Raises:
            PlatformError, DeadlineError: the proxy did not start.
        """
        self._proxy.start()

    def expect(self, places: Iterable[tuple[str, str]]) -> None:
        """Tell clients of these environments and models, until they are served, that they start.

        Raises:
            PlatformError, DeadlineError: the proxy did not take it up.
        """
        with self._lock:
            self._expected = {one: self._expected.get(one, False) for one in places}
            self._proxy.expect(dict(self._expected))

    def apply(
        self,
        environment: str,
        model: str,
        unpack: Callable[[Path], object] | Path,
        version: str,
    ) -> Revision:
        """Serve `version`; return once the proxy answers with it.

        `unpack` is the model tree's folder, or what writes it into a new one. The version before
        goes on serving until the new one is ready, and altogether if it never is; it ends once
        what was asked of it is answered.

        Raises:
            PlatformError, DeadlineError: the revision did not start, or the proxy did not take it
                up; nothing has changed.
        """
        with self._lock:
            before = self._revisions.get((environment, model))
            folder = self._folder(environment, model, version)
            try:
                revision = self._start(environment, model, version, unpack, folder)
            except BaseException:
                self._tell(environment, model, failed=True)
                raise
            self._tell(environment, model, failed=False)
            try:
                self._proxy.put(revision.target)
            except BaseException:
                _end(revision)
                raise
            self._revisions[environment, model] = revision
            if before:
                self._drain(before)
            return revision

    def remove(self, environment: str, model: str) -> None:
        """Stop serving `model` in `environment`."""
        with self._lock:
            self._proxy.remove(environment, model)
            if revision := self._revisions.pop((environment, model), None):
                self._drain(revision)

    def current(self, environment: str, model: str) -> str | None:
        """The version that is served by a living process, or None."""
        with self._lock:
            revision = self._revisions.get((environment, model))
            return revision.target.version if revision and revision.server.alive else None

    def served(self) -> list[tuple[str, str]]:
        """Environment and model of all that was applied and not removed."""
        with self._lock:
            return list(self._revisions)

    def status(self) -> list[dict[str, Any]]:
        """One document per revision: environment, model, version, url, pid, alive."""
        with self._lock:
            return [
                {
                    "environment": target.environment,
                    "model": target.model,
                    "version": target.version,
                    "url": f"{self.url}/{target.environment}/v1/models/{target.model}:predict",
                    "pid": server.pid,
                    "alive": server.alive,
                    "log": str(server.log),
                }
                for target, server in ((r.target, r.server) for r in self._revisions.values())
            ]

    def stop(self) -> None:
        """Stop the proxy and every revision; what is in flight is cut off."""
        self._proxy.stop()
        with self._lock:
            for revision in self._revisions.values():
                _end(revision)
            self._revisions.clear()
            for thread in self._ending:
                thread.join()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _tell(self, environment: str, model: str, *, failed: bool) -> None:
        """Let clients know how the start of what is expected went, where the proxy can tell."""
        if (environment, model) in self._expected:
            self._expected[environment, model] = failed
            with suppress(PlatformError, DeadlineError):
                self._proxy.expect(dict(self._expected))

    def _drain(self, revision: Revision) -> None:
        """End `revision` once it has answered what it was asked; meanwhile others go on."""

        def drain() -> None:
            try:
                self._proxy.drain(revision.target)
            finally:
                _end(revision)

        thread = threading.Thread(target=drain, name="drain", daemon=True)
        self._ending = [*(one for one in self._ending if one.is_alive()), thread]
        thread.start()

    def _folder(self, environment: str, model: str, version: str) -> Path:
        number = 0
        while (folder := self._folders / f"{environment}.{model}.{version}.{number}").exists():
            number += 1
        return folder

    def _start(
        self,
        environment: str,
        model: str,
        version: str,
        unpack: Callable[[Path], object] | Path,
        folder: Path,
    ) -> Revision:
        target = Target(
            environment=environment,
            model=model,
            version=version,
            socket=Path(tempfile.mkdtemp(dir=self._sockets)) / "http.sock",
        )
        log = self._home / "logs" / f"serve-{environment}-{model}-{version}.log"
        server = None
        try:
            if isinstance(unpack, Path):
                shutil.copytree(unpack, folder)
            else:
                unpack(folder)
            server = Server(model=model, model_dir=folder, address=target.socket, log=log)
            server.wait_ready()
        except BaseException:
            if server:
                server.stop()
            _remove(folder)
            raise
        return Revision(target=target, server=server, folder=folder)


def _says_ready(address: Path, model: str) -> bool:
    """Whether the server says so; of an answer, which is the model's, its status alone is read."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(address))
            client.sendall(f"GET /v2/models/{model}/ready HTTP/1.1\r\nHost: m\r\n\r\n".encode())
            return client.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False


def _end(revision: Revision) -> None:
    revision.server.stop()
    _remove(revision.folder)
    shutil.rmtree(revision.server.address.parent, ignore_errors=True)


def _remove(tree: Path) -> None:
    for folder in (tree, packages_of(tree)):
        shutil.rmtree(folder, ignore_errors=True)


def _private_folder(link: Path) -> Path:
    """A new folder for sockets, for us alone, that `link` names; the one it named is removed.

    Not inside $TOUCHSTONE_HOME: the address of a socket may be 107 bytes long and no more.
    """
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()
    folder = Path(tempfile.mkdtemp(prefix="touchstone-"))
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder)
    return folder
