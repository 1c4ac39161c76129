"""The embedded platform: listener, engine, sync loop and serving proxy in one process.

Nothing here decides anything. It wires the rooms together and gives each a thread; what must
survive a kill is in touchstone.runs.store, in git or in the artifact store. What breaks one round
of a thread's work is told and tried again later, and ends neither the thread nor the platform.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.artifacts.store import Store
from touchstone.errors import PlatformError, TouchstoneError
from touchstone.home import SHIPPED, Home, write_private
from touchstone.platform.addresses import Addresses
from touchstone.platform.traces import Traces
from touchstone.runs import faults, outbox
from touchstone.runs.faults import Postponed
from touchstone.runs.otlp import Exporter
from touchstone.runs.queue import Limits, decide
from touchstone.runs.store import State

if TYPE_CHECKING:
    import uvicorn

    from touchstone.delivery.tracker import Server
    from touchstone.events.evaluate import Override
    from touchstone.events.listener import Listener

_log = logging.getLogger(__name__)

DEFINITIONS = SHIPPED / "tekton"
"""The same files that a cluster gets."""

_TICK = 0.2
"""Seconds between two looks at whether a signal asked the platform to stop."""

_TRIES = 12
"""How often a run may meet what the machine lacks before it is given up: some eight minutes."""

_LONGEST_PAUSE = 10.0
"""Seconds that a thread waits at most after a failure, so that it is back soon once all is well."""


def prepare(home: Home, addresses: Addresses) -> None:
    """Lay out $TOUCHSTONE_HOME: keys, secrets and the repositories; idempotent."""
    from touchstone.delivery import gitops
    from touchstone.delivery.attestation import generate_keys, key_text
    from touchstone.platform import repositories

    home.prepare()
    for folder in (home.signing_key, home.recording_key, home.reviewer_key):
        if not (folder / "private.pem").exists():
            generate_keys(folder)
    if not home.gitops_repository.exists():
        person = gitops.caller()
        founders = gitops.Founders(
            reviewer=gitops.slug(person.name if person else getpass.getuser()),
            key=key_text(home.reviewer_key / "public.pem"),
            recorder=key_text(home.recording_key / "public.pem"),
        )
        gitops.create(home.gitops_repository, founders=founders)
    if not home.model_repositories:
        repositories.create(home, home.model_repository.stem)
    for one in [*home.model_repositories.values(), home.gitops_repository]:
        gitops.unlock(one)
    repositories.connect(home, addresses.listener_url)


def overrides(home: Home) -> dict[str, Override]:
    """Params of the triggers that this installation alone knows."""

    from touchstone.platform import repositories

    def own(given: str) -> Path:
        return home.model_repositories[repositories.meant(home, given)]

    return {
        "gitops-url": home.gitops_repository.as_uri(),
        "image-registry": "localhost/models",
        "model-url": lambda given: own(given).as_uri(),
        "model-repository": lambda given: own(given).stem,
    }


def _name_tracker(home: Home, tracker: Server | None) -> None:
    """Let the Secret that the stage `track` reads hold this tracker, or nothing."""
    from touchstone.delivery.tracker import SECRET

    folder = home.root / "secrets" / SECRET
    shutil.rmtree(folder, ignore_errors=True)
    if tracker is not None:
        folder.mkdir(mode=0o700, parents=True)
        for key, value in tracker.files().items():
            write_private(folder / key, value)


def listener_of(home: Home, state: State, definitions: Path = DEFINITIONS) -> Listener:
    """The platform's listeners: the one that forges reach, and those of its own events.

    Raises:
        ManifestError: a Trigger or something it refers to is wrong.
    """
    from touchstone.events.listener import Listener
    from touchstone.events.triggers import load_listeners

    outside, *inside = load_listeners([definitions / "triggers", definitions / "sources"])
    return Listener(
        state, triggers=outside, inside=inside, secrets=home.secret, overrides=overrides(home)
    )


class Platform:
    """All of the platform's threads; `run` returns after `stop`, or when a server ended."""

    def __init__(
        self,
        home: Home,
        addresses: Addresses,
        *,
        definitions: Path = DEFINITIONS,
        limits: Limits | None = None,
        sink: str = "",
        tracker: Server | None = None,
        schedules: Sequence[Path] = (),
    ) -> None:
        from touchstone.delivery.serve import Serving
        from touchstone.delivery.sync import Sync
        from touchstone.engine import Engine
        from touchstone.events.schedules import Schedules, load_schedules

        self.home = home
        self.addresses = addresses
        self.state = State(home.root)
        outbox.set_sink(self.state, sink)
        _name_tracker(home, tracker)
        self.limits = limits or Limits(os.cpu_count() or 1)
        self.listener = listener_of(home, self.state, definitions)
        self.schedules = Schedules(
            self.state, load_schedules(schedules, listeners=self.listener.inside)
        )
        self.engine = Engine(
            self.state,
            home.root,
            definitions=[definitions / "tasks", definitions / "pipelines"],
            parallel=self.limits.runs,
        )
        self.serving = Serving(home.root, addresses.serving)
        self.sync = Sync(
            home.gitops_repository.as_uri(),
            store=Store(home.artifacts),
            public_key=home.signing_key / "public.pem",
            serving=self.serving,
        )
        self._traces = Traces(Exporter.of(), self.state, home.gitops_repository)
        self._asked = False
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._running: dict[str, threading.Thread] = {}
        self._postponed = Postponed()
        """Runs that met what the machine lacks for a while."""
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Work until `stop`; raises what broke a thread, once everything else has stopped."""
        _share_cores()
        self.engine.warm_up()
        from touchstone.events.server import create_app
        from touchstone.platform.http_server import server_of

        app = create_app(self.listener, on_stored=self._wake.set)
        server = server_of(app, self.addresses.listener)
        threads: list[threading.Thread] = []
        try:
            self.serving.start()
            threads += [
                self._thread("events", lambda: server.run()),
                self._thread("runs", self._work),
                self._thread("sync", lambda: self._repeat("sync", self._synchronise, 0.5)),
                self._thread("outbox", lambda: self._repeat("outbox", self._send, 0.2)),
            ]
            self._wait_started(server)
            if not self._asked:
                self._announce()
                spool = self._thread("spool", lambda: self._repeat("spool", self._drain, 10))
                threads.append(spool)
            while not (self._asked or self._stopping.wait(_TICK)):
                pass
            self.stop()
        finally:
            self.engine.stop()
            server.should_exit = True
            for thread in threads:
                thread.join(timeout=15)
            self.engine.close()
            self.serving.stop()
            self.home.platform_file.unlink(missing_ok=True)
        if self._failure is not None:
            raise self._failure

    def ask_to_stop(self) -> None:
        """Have `run` stop soon. For a signal's handler, which may have interrupted whoever holds a
        lock: it takes none."""
        self._asked = True

    def stop(self) -> None:
        """Ask every thread to end; unfinished runs go on at the next start."""
        self._stopping.set()
        self._wake.set()

    def _wait_started(self, server: uvicorn.Server) -> None:
        deadline = time.monotonic() + 30
        while not (server.started or self._asked):
            if self._stopping.is_set() or time.monotonic() > deadline:
                raise PlatformError(
                    "the listener did not start", hint="another process may hold the port: --port"
                )
            time.sleep(0.02)

    def _thread(
        self, name: str, work: Callable[[], None], *, lasting: bool = True
    ) -> threading.Thread:
        """Start `work`; the platform ends when it breaks, or when `lasting` work ends."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # a thread must not end unseen
                if not self._stopping.is_set():
                    self._failure = error
                    _log.exception("%s broke", name)
                self.stop()
                return
            if lasting:
                self.stop()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _repeat(
        self,
        name: str,
        work: Callable[[], object],
        pause: float,
        wake: threading.Event | None = None,
    ) -> None:
        """Do `work` every `pause` seconds, or once woken, until `stop`; after a failure later."""
        failures = 0
        while not self._stopping.is_set():
            if wake:
                wake.clear()
            try:
                work()
            except Exception as error:
                failures += 1
                seconds = min(faults.wait_after(failures), _LONGEST_PAUSE)
                _tell(name, error, seconds)
                self._stopping.wait(seconds)
            else:
                failures = 0
                (wake or self._stopping).wait(pause)

    def _announce(self) -> None:
        import psutil

        document = {
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "listener": self.addresses.listener_url,
            "serving": self.addresses.serving_url,
            "parallel": self.limits.runs,
            "perModel": self.limits.per_model,
        }
        partial = self.home.platform_file.with_suffix(".partial")
        write_private(partial, json.dumps(document))
        partial.replace(self.home.platform_file)

    def _drain(self) -> None:
        from touchstone.events.forge_hook import alone, drain_spool

        with alone(self.home.spool, wait=False) as nobody_pushes:
            if nobody_pushes:
                drain_spool(
                    self.home.spool,
                    url=self.addresses.listener_url + "/",
                    secret=self.home.webhook_token.read_bytes(),
                )

    def _work(self) -> None:
        try:
            self._repeat("runs", self._advance, 0.5, self._wake)
        finally:
            for thread in self._running.values():
                thread.join()

    def _advance(self) -> None:
        parts: tuple[Callable[[], object], ...] = (
            lambda: self.schedules.tick(time.time()),
            self.listener.process_pending,
            self._start_runs,
        )
        faults.each(lambda part: part(), parts)

    def _start_runs(self) -> None:
        alive = {name: thread for name, thread in self._running.items() if thread.is_alive()}
        self._running = alive
        # One that waits for the machine takes no place of another.
        unfinished = [
            run for run in self.state.runs(done=False) if not self._postponed.waits(run.name)
        ]
        queue = decide(unfinished, self._running, self.limits)
        for name, value in queue.cancel.items():
            self.state.set_spec_status(name, value)
        for name in queue.start:
            self._running[name] = self._thread(
                f"run {name}", partial(self._execute, name), lasting=False
            )

    def _execute(self, name: str) -> None:
        """Execute the run once; what the machine lacks postpones it, in the end it is given up."""
        try:
            if self._postponed.failures(name) < _TRIES:
                self.engine.execute(name)
            else:
                why = f"it could not go on {_TRIES} times: {self._postponed.why(name)}"
                self.engine.give_up(name, why)
            self._postponed.forget(name)
            self._traces.ended(name)
        except Exception as error:
            _tell(f"run {name}", error, self._postponed.note(name, error))
        self._wake.set()

    def _send(self) -> None:
        while not self._stopping.is_set() and outbox.deliver(self.state):
            pass

    def _synchronise(self) -> None:
        for event in self.sync.step():
            _log.info("sync: %s", event)
            self._traces.synced(event)


def _tell(name: str, error: Exception, seconds: float) -> None:
    expected = faults.passing(error) or isinstance(error, TouchstoneError)
    text = "%s: %s; tried again in %g s"
    trace = None if expected else error
    _log.error(text, name, faults.words(error), seconds, exc_info=trace)


def _share_cores() -> None:
    """Let stages that run side by side (four gates) share the cores instead of fighting for them.

    OpenMP's threads wait for work by spinning: two stages with a thread a core each take
    longer together than one after the other. What the operator has set stays.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 4)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def serve_until_signal(platform: Platform) -> None:
    """`platform.run` in the main thread; SIGTERM and SIGINT stop it in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: platform.ask_to_stop())
    platform.run()
