"""One file through `touchstone run`, alone in a fresh home: what came back, or why nothing did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the command said."""

    exit_code: int | None
    """None where the time limit passed."""

    seconds: float
    objects: Sequence[Mapping[str, Any]] = ()
    """The runs and their children with their status, as `--json` printed them."""

    stderr: str = ""
    logs: Mapping[str, str] = field(default_factory=dict)
    """The last line of each step's log that is not empty, by the log's path."""

    @property
    def complaint(self) -> str:
        """The last sentence on stderr that says what went wrong."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("touchstone: ")]
        if lines:
            return lines[-1].removeprefix("touchstone: ")
        return self.stderr.strip().rpartition("\n")[2]

    def first(self, kind: str) -> Mapping[str, Any] | None:
        """The first object of that kind, which is the first one created."""
        return next((item for item in self.objects if item["kind"] == kind), None)


def run(file: Path, *, limit: float, options: Sequence[str] = ()) -> Answer:
    """Run `file` with the command of this environment, for at most `limit` seconds."""
    with tempfile.TemporaryDirectory(prefix="yardstick-") as folder:
        home = Path(folder) / "home"
        environment = {**os.environ, "TOUCHSTONE_HOME": str(home), "NO_COLOR": "1"}
        # The command's own interpreter stands first, as an activated environment would put it.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "touchstone", "run", "--json", "-f", str(file), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=folder,
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=limit)
                code: int | None = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                stdout, stderr = process.communicate()
                code = None
        return Answer(
            exit_code=code,
            seconds=time.monotonic() - began,
            objects=_objects(stdout),
            stderr=stderr,
            logs=_last_lines(home),
        )


def _objects(text: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(text)["items"])
    except (ValueError, KeyError, TypeError):
        return []


def _last_lines(home: Path) -> dict[str, str]:
    found = {}
    for log in sorted(home.rglob("*.log")):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            found[str(log.relative_to(home))] = lines[-1].strip()
    return found


def succeeded(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Succeeded condition of an object, empty where there is none."""
    for condition in thing.get("status", {}).get("conditions", []):
        if condition["type"] == "Succeeded":
            return dict(condition)
    return {}


def awaited(answer: Answer, kind: str, wanted: str = "True") -> str:
    """Why the first `kind` did not end with Succeeded=`wanted`; empty where it did."""
    if answer.exit_code is None:
        return f"did not end within {answer.seconds:.0f} s"
    thing = answer.first(kind)
    if thing is None:
        return answer.complaint or f"no {kind} came back"
    condition = succeeded(thing)
    if condition.get("status") == wanted:
        return ""
    said = f"{condition.get('reason')}: {condition.get('message')}"
    failed = _failed_steps(answer.objects)
    logs = [
        line
        for path, line in answer.logs.items()
        if any(path.endswith(f"/{step}.log") for step in failed)
    ]
    return f"{said} | {logs[-1]}" if logs else said


def _failed_steps(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        step["name"]
        for item in objects
        for step in item.get("status", {}).get("steps", [])
        if step.get("terminated", {}).get("exitCode")
    ]
