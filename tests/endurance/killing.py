"""Does a run whose engine is killed again and again end as one that nobody disturbs?"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from touchstone.runs.store import State

_PIPELINE = Path(__file__).with_name("pipeline.yaml")
_ENGINE = """
import sys
from pathlib import Path
from touchstone.engine import Engine
from touchstone.runs.store import State
home = Path(sys.argv[1])
engine = Engine(State(home), home, definitions=[home / "pipeline.yaml"], parallel=2)
print("ready", flush=True)
engine.execute("long")
"""
_HANGS_AFTER = 120


@dataclass
class Ended:
    """What was left behind."""

    seconds: float
    """From the last start to the end."""
    outcome: Any
    """All that lasts, without what may differ: times, uids."""
    marks: Counter[str] = field(default_factory=Counter)
    """How often each attempt of a run ran."""
    wrong: list[str] = field(default_factory=list)
    """What must not be, whatever the outcome."""
    kills: list[str] = field(default_factory=list)


def run(ending: str, moments: list[tuple[float, bool]]) -> Ended:
    """Run the pipeline, killing its engine `moments` seconds after each of its starts.

    The flag of a moment says whether everything the engine started is killed with it.
    """
    with _home(ending) as home:
        state, kept, wrong, kills = State(home), {}, [], []
        for seconds, everything in moments:
            if killed(_engine(home), seconds, everything):
                kills.append(f"{seconds:.2f}{'+' if everything else ''}")
            kept |= {n: s for n, s in state.taskruns("long").items() if s.get("completionTime")}
        engine = start(_engine(home))
        began = time.monotonic()
        if engine.wait(_HANGS_AFTER):
            wrong.append(f"the engine ended with {engine.returncode}")
        seconds = time.monotonic() - began
        found = state.run("long")
        taskruns = state.taskruns("long")
        wrong += [f"{n} had ended and changed" for n, s in kept.items() if taskruns.get(n) != s]
        wrong += [f"left behind: {name}" for name in _left(home)]
        if found is None or not found.done:
            wrong.append("the run is not done")
        marks = Counter((home / "log").read_text().split())
        status = found.status if found else {}
        outcome = _lasting({"run": status, "taskruns": taskruns}, str(home))
    return Ended(seconds=seconds, outcome=outcome, marks=marks, wrong=wrong, kills=kills)


def moments(chance: random.Random, seconds: float, most: int) -> list[tuple[float, bool]]:
    """One to three random moments within a run that takes `seconds`, at most `most`."""
    count = min(most, chance.randint(1, 3))
    return [(chance.uniform(0, seconds), chance.random() < 0.5) for _ in range(count)]


def difference(disturbed: Ended, undisturbed: Ended) -> list[str]:
    """What is not as it should be; empty where all is well."""
    wrong = list(disturbed.wrong)
    wrong += paths(undisturbed.outcome, disturbed.outcome)
    if set(disturbed.marks) != set(undisturbed.marks):
        wrong.append(f"ran {sorted(disturbed.marks)}, expected {sorted(undisturbed.marks)}")
    # Two TaskRuns go at a time, so that a kill makes no more than two attempts run again.
    again = sum(disturbed.marks.values()) - sum(undisturbed.marks.values())
    if again > 2 * len(disturbed.kills):
        wrong.append(f"{again} attempts ran again after {len(disturbed.kills)} kills")
    return wrong


@contextmanager
def _home(ending: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="touchstone-kill-") as folder:
        home = Path(folder)
        (home / "pipeline.yaml").write_text(_PIPELINE.read_text().replace("MARKS", folder))
        spec = {"pipelineRef": {"name": "long"}, "params": [{"name": "ending", "value": ending}]}
        State(home).add_run(
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "PipelineRun",
                "metadata": {"name": "long"},
                "spec": spec,
            }
        )
        yield home


def _engine(home: Path) -> list[str]:
    return [sys.executable, "-c", _ENGINE, str(home)]


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program; return once it says that it is ready."""
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    program.stdout.close()
    return program


def killed(command: Sequence[str], seconds: float, everything: bool) -> bool:
    """Start the program and kill it `seconds` later; False where it had ended before."""
    program = start(command)
    time.sleep(seconds)
    if program.poll() is not None:
        return False
    victim = psutil.Process(program.pid)
    victims = [victim, *(victim.children(recursive=True) if everything else ())]
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return program.wait() == -signal.SIGKILL


def _left(home: Path) -> list[str]:
    left = []
    for process in psutil.process_iter(["name", "environ"]):
        if (process.info["environ"] or {}).get("TOUCHSTONE_HOME") == str(home):
            left.append(process.info["name"])
    return left


_PASSING = {"startTime", "completionTime", "finallyStartTime", "startedAt", "finishedAt",
            "lastTransitionTime", "uid"}  # fmt: skip


def _lasting(value: Any, home: str) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item, home) for key, item in value.items() if key not in _PASSING}
    if isinstance(value, list):
        return [_lasting(item, home) for item in value]
    return value.replace(home, "HOME") if isinstance(value, str) else value


def paths(expected: Any, got: Any, path: str = "") -> list[str]:
    """The fields that differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        keys = dict.fromkeys((*expected, *got))
        return [
            line
            for key in keys
            if expected.get(key) != got.get(key)
            for line in paths(expected.get(key), got.get(key), f"{path}.{key}")
        ]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return [line for i, (e, g) in pairs if e != g for line in paths(e, g, f"{path}[{i}]")]
    return [f"{path}: got {got!r}, expected {expected!r}"]
