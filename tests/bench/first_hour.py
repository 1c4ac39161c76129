"""How long does a newcomer wait: from `init` to a promoted model, and after a push of nothing new?

`python -m tests.bench.first_hour [--times 3]` starts a platform of its own for each round, pushes
the tabular example, then an empty commit, then one that changes the report's text alone (one that
changes a README alone starts nothing), then one that changes a threshold alone. Seconds are those
of a clock and, beside them, of processors: of the platform with every process that it started,
which other work on the machine changes little. Exit code 1 where an aim was missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.waiting import free_ports
from touchstone.home import Home
from touchstone.runs import record
from touchstone.runs.memory import Run
from touchstone.runs.store import State

FIRST_S, SECOND_S = 20.0, 1.5
_PROMOTED, _JUDGED = "promote", "verdict"
_PIPELINE = "model"
_CHANGES = {
    "nothing": ("", ""),
    "the report's text": ("purpose: Tell", "purpose: Say"),
    "a threshold": ("atLeast: 0.55", "atLeast: 0.56"),
}
_LONGEST = 600.0

_AUTHOR = ["-c", "user.name=Bench", "-c", "user.email=bench@example.org"]


@dataclass(frozen=True, slots=True)
class Took:
    """What one push took until its promotion waited for review."""

    seconds: float
    judged: float
    """Seconds until the verdict."""

    processor: float
    stages: tuple[str, ...]
    """Those that ran, and were not taken from the cache."""


def main() -> int:
    """Measure, print the medians, and say which aims were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}, median of {times}\n"
    )
    rounds = [_round() for _ in range(times)]
    print(f"{'':<34}{'to promoted':>12}{'to verdict':>12}{'processors':>12}  stages that ran")
    for name in rounds[0]:
        found = [one[name] for one in rounds]
        seconds, judged, processor = (
            statistics.median(getattr(took, field) for took in found)
            for field in ("seconds", "judged", "processor")
        )
        ran = found[-1].stages
        shown = ", ".join(ran) if len(ran) < 8 else f"all {len(ran)}"
        print(f"{name:<34}{seconds:>10.1f} s{judged:>10.1f} s{processor:>10.1f} s  {shown}")
    first, second = (
        statistics.median(one[name].seconds for one in rounds) for name in list(rounds[0])[:2]
    )
    kept = first <= FIRST_S and second <= SECOND_S
    print(
        f"\naims, on an idle machine: promoted within {FIRST_S:g} s of `init`, {SECOND_S:g} s"
        f" after a push that changed nothing: {'kept' if kept else 'MISSED'}"
    )
    return 0 if kept else 1


def _round() -> dict[str, Took]:
    """A fresh platform, and what each of three pushes took on it."""
    with tempfile.TemporaryDirectory() as folder:
        home, work = Home(Path(folder) / "home"), Path(folder) / "model"
        began = time.monotonic()
        _touchstone("init", str(work))
        server = subprocess.Popen(
            [sys.executable, "-m", "touchstone", "up", f"--port={free_ports()}"],
            env={**os.environ, "TOUCHSTONE_HOME": str(home.root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _until(lambda: home.platform() is not None, "the platform did not start")
            _git(work, "init", "--quiet", "--initial-branch=main")
            _git(work, "remote", "add", "origin", str(home.model_repository))
            taken = {"`init`, `up`, the first push": _pushed(home, work, server.pid, began)}
            file = work / "touchstone.yaml"
            for what, change in _CHANGES.items():
                file.write_text(file.read_text().replace(*change), encoding="utf-8")
                taken[f"a push that changes {what}"] = _pushed(home, work, server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    return taken


def _pushed(home: Home, work: Path, server: int, began: float | None = None) -> Took:
    """Push what is there; what it took until promote had ended, and then wait for the run's end."""
    state = State(home.root)
    known = {run.name for run in _of_models(state)}
    before = 0.0 if began is not None else _processor(server)
    began = time.monotonic() if began is None else began
    _git(work, "add", "--all")
    _git(work, *_AUTHOR, "commit", "--quiet", "--message=Try it", "--allow-empty")
    _git(work, "push", "--quiet", "origin", "main")
    ends: dict[str, float] = {}
    name = ""
    while not (name and (run := state.run(name)) is not None and run.done):
        if time.monotonic() - began > _LONGEST:
            raise SystemExit(f"the run of the push did not end within {_LONGEST:g} s")
        time.sleep(0.05)
        name = name or next((run.name for run in _of_models(state) if run.name not in known), "")
        for taskrun, status in state.taskruns(name).items() if name else ():
            if record.succeeded_condition(status)["status"] == "True":
                ends.setdefault(_stage(taskrun, name), time.monotonic() - began)
    if _PROMOTED not in ends:
        raise SystemExit(f"the push was not promoted: {record.succeeded_condition(run.status)}")
    processor = _processor(server) - before
    ran = tuple(
        _stage(taskrun, name)
        for taskrun, status in state.taskruns(name).items()
        if status.get("steps")
    )
    return Took(ends[_PROMOTED], ends[_JUDGED], processor, ran)


def _of_models(state: State) -> list[Run]:
    """Those of the pipeline: what no event says all of is looked at by a run of its own before."""
    return [run for run in state.runs() if run.name.startswith(f"{_PIPELINE}-")]


def _stage(taskrun: str, run: str) -> str:
    return taskrun.removeprefix(f"{run}-")


def _processor(pid: int) -> float:
    """Seconds of processors that a process and all it ever started have used so far."""
    total = 0.0
    leader = psutil.Process(pid)
    for process in [leader, *leader.children(recursive=True)]:
        try:
            found = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += found.user + found.system + found.children_user + found.children_system
    return total


def _until(holds: Callable[[], bool], problem: str) -> None:
    limit = time.monotonic() + 60
    while not holds():
        if time.monotonic() > limit:
            raise SystemExit(problem)
        time.sleep(0.02)


def _git(work: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=work, check=True)


def _touchstone(*arguments: str) -> None:
    command = [sys.executable, "-m", "touchstone", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    raise SystemExit(main())
