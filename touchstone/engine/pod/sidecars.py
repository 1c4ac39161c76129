"""How do sidecars live? Started first, ready before the first step, ended after the last."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.engine.pod.process import GRACE, Call, Guard, Halt, Running, run, shell_code
from touchstone.engine.pod.streams import Streams
from touchstone.runs import record
from touchstone.runs.record import Json

_SETTLE = 0.5
"""Seconds a sidecar with no probe has before the first step; in a Pod an image's start is away."""

_DEFAULT_PERIOD, _DEFAULT_TIMEOUT, _DEFAULT_FAILURES = 10.0, 1.0, 3


@dataclass
class _Sidecar:
    name: str
    spec: Mapping[str, Any]
    call: Call
    running: Running
    streams: Streams
    started: str
    code: int | None = None
    ended: bool = False
    """Whether it ended by itself, before it was told to."""


class SidecarError(Exception):
    """A sidecar could not start, or did not become ready in the time its probe gives."""


class Sidecars:
    """The sidecars of one attempt. They share this machine's localhost, as in a Pod its own."""

    def __init__(self, guard: Guard, halt: Halt, deadline: float | None) -> None:
        self._guard, self._halt, self._deadline = guard, halt, deadline
        self._all: list[_Sidecar] = []

    def start(self, name: str, spec: Mapping[str, Any], call: Call, log: Path) -> None:
        """Start one, its output going to `log`. Raises SidecarError where it cannot."""
        streams = Streams(log)
        try:
            with streams as descriptors:
                running = self._guard.start(call, descriptors)
        except OSError as error:
            raise SidecarError(f'"sidecar-{name}" could not start: {error}') from None
        self._all.append(_Sidecar(name, spec, call, running, streams, record.now()))

    def wait_until_ready(self) -> None:
        """Return when all are ready or ended, or the TaskRun's time is over or it is halted.

        Raises SidecarError for one whose startup probe gives up.
        """
        began = time.monotonic()
        for sidecar in self._all:
            probes = [
                sidecar.spec[p] for p in ("startupProbe", "readinessProbe") if p in sidecar.spec
            ]
            for probe in probes:
                gives_up = probe is sidecar.spec.get("startupProbe")
                self._await_probe(sidecar, probe, gives_up=gives_up)
            if not probes:
                self._pause(sidecar, began + _SETTLE - time.monotonic())

    def states(self) -> list[Json]:
        """`status.sidecars`: those that ended say so."""
        found = []
        for sidecar in self._all:
            state: Json = {"name": sidecar.name, "container": f"sidecar-{sidecar.name}"}
            if sidecar.code is None:
                state["running"] = {"startedAt": sidecar.started}
            else:
                reason = "Completed" if sidecar.code == 0 else "Error"
                state["terminated"] = record.terminated(sidecar.code, reason, sidecar.started)
            found.append(state)
        return found

    def failure(self, *, pod_goes_on: bool) -> str:
        """What is wrong with the first sidecar that broke, in Tekton's words; empty if none did.

        While the steps succeed (`pod_goes_on`) it counts only if no other sidecar was running: the
        Pod has failed when all its containers ended and one of them badly.
        """
        if pod_goes_on and not all(sidecar.ended for sidecar in self._all):
            return ""
        for sidecar in self._all:
            if sidecar.code:
                return f'"sidecar-{sidecar.name}" exited with code {sidecar.code}: Error'
        return ""

    def stop(self) -> None:
        """Ask all to end, kill what has not after the grace time; called once."""
        for sidecar in self._all:
            sidecar.ended = sidecar.running.wait(time.monotonic(), None) == "exited"
            sidecar.running.ask_to_end()
        limit = time.monotonic() + GRACE
        for sidecar in self._all:
            sidecar.running.wait(limit, None)
            code = shell_code(sidecar.running.end())
            # One that was told to end has done its work, however it took the signal.
            sidecar.code = code if sidecar.ended else 0

    def _await_probe(self, sidecar: _Sidecar, probe: Mapping[str, Any], *, gives_up: bool) -> None:
        period = float(probe.get("periodSeconds", _DEFAULT_PERIOD))
        check = _check(probe, self._exec(sidecar))
        failures = 0
        if not self._pause(sidecar, float(probe.get("initialDelaySeconds", 0))):
            return
        while not check():
            failures += 1
            if gives_up and failures >= probe.get("failureThreshold", _DEFAULT_FAILURES):
                raise SidecarError(
                    f'"sidecar-{sidecar.name}" was not ready after {failures} tries of its'
                    " startupProbe"
                )
            # A probe that is not ready yet is asked again soon: here a try costs little.
            if not self._pause(sidecar, min(period, 0.2 * failures)):
                return

    def _pause(self, sidecar: _Sidecar, seconds: float) -> bool:
        """Wait; whether the sidecar goes on and there is time left."""
        until = time.monotonic() + max(0.0, seconds)
        limit = until if self._deadline is None else min(until, self._deadline)
        ending = sidecar.running.wait(limit, self._halt)
        return ending == "timeout" and (self._deadline is None or time.monotonic() < self._deadline)

    def _exec(self, sidecar: _Sidecar) -> Callable[[tuple[str, ...], float], bool]:
        def command(argv: tuple[str, ...], timeout: float) -> bool:
            deadline = time.monotonic() + timeout
            with suppress(OSError):
                call = replace(sidecar.call, argv=argv)
                streams = Streams(Path("/dev/null"))
                return (
                    run(
                        call, streams=streams, deadline=deadline, halt=self._halt, guard=self._guard
                    ).code
                    == 0
                )
            return False

        return command


def _check(
    probe: Mapping[str, Any], command: Callable[[tuple[str, ...], float], bool]
) -> Callable[[], bool]:
    """One try of a probe: exec, httpGet or tcpSocket; a probe of none of these passes."""
    timeout = float(probe.get("timeoutSeconds", _DEFAULT_TIMEOUT))
    if "exec" in probe:
        argv = tuple(probe["exec"]["command"])
        return lambda: command(argv, timeout)
    if "httpGet" in probe:
        return lambda: _answers(probe["httpGet"], timeout)
    if "tcpSocket" in probe:
        return lambda: _listens(probe["tcpSocket"], timeout)
    return lambda: True


def _answers(target: Mapping[str, Any], timeout: float) -> bool:
    secure = target.get("scheme", "HTTP") == "HTTPS"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(target.get("host") or "127.0.0.1", int(target["port"]), timeout=timeout)
    headers = {item["name"]: item["value"] for item in target.get("httpHeaders", [])}
    try:
        connection.request("GET", target.get("path", "/"), headers=headers)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(target: Mapping[str, Any], timeout: float) -> bool:
    address = (target.get("host") or "127.0.0.1", int(target["port"]))
    try:
        with socket.create_connection(address, timeout=timeout):
            return True
    except OSError:
        return False
