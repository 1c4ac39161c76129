"""What does the embedded engine cost a step, against a bare subprocess and against kfp.local?

`python tests/bench/engine.py` prints one table, with the peers measured in the same run. Exit code
1 where a step costs over 10 ms more than a bare subprocess or a tenth of what a component of
kfp.local does, or where `--help` takes 0.3 s or more.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from touchstone.documents.kubectl import load_text
from touchstone.engine import Engine
from touchstone.runs.store import State

STEPS = 100
FAN_OUT = 500
PROMISED_STEP_MS = 10
PROMISED_HELP_S = 0.3

_STEP = 'image: bash, script: "true"'
_STEPS = "\n".join(f"      - {{name: s{n}, {_STEP}}}" for n in range(STEPS))
_ONE_TASK = f"""
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {{name: steps}}
spec:
  taskSpec:
    steps:
{_STEPS}
"""
_MANY_TASKS = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: tasks}
spec:
  pipelineSpec:
    tasks:
""" + "\n".join(
    f"    - {{name: t{n}, taskSpec: {{steps: [{{name: s, {_STEP}}}]}}}}" for n in range(FAN_OUT)
)

_KFP = """
import logging, sys, time
from kfp import dsl, local
logging.disable(logging.CRITICAL)
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1])

@dsl.component(install_kfp_package=False)
def nothing() -> int:
    return 0

nothing()
began = time.perf_counter()
for _ in range(10):
    nothing()
print("seconds", (time.perf_counter() - began) / 10)
"""


def main() -> int:
    """Measure, print the table, and say whether the promises were kept."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    bare = _median(lambda: _bare(STEPS)) / STEPS
    step = _median(lambda: _engine(_ONE_TASK)) / STEPS
    task = _engine(_MANY_TASKS) / FAN_OUT
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peer = _kfp()
    shown = _median(_help)
    over, peers = (step - bare) * 1000, (peer - bare) * 1000
    rows = [
        ("bare subprocess (bash -c true)", f"{bare * 1000:.1f} ms"),
        (f"a step, of a TaskRun with {STEPS}", f"{step * 1000:.1f} ms, {over:.1f} ms over bare"),
        (f"a Task, of a PipelineRun with {FAN_OUT}", f"{task * 1000:.1f} ms"),
        ("peak memory of this process after that", f"{peak:.0f} MB"),
        (
            "kfp.local, a component without install",
            f"{peer * 1000:.0f} ms, {peers:.0f} ms over bare",
        ),
        ("over bare, a step against kfp.local", f"1/{peers / over:.0f}"),
        ("touchstone --help", f"{shown:.2f} s"),
    ]
    for name, value in rows:
        print(f"{name:<44}{value}")
    kept = over <= min(PROMISED_STEP_MS, peers / 10) and shown < PROMISED_HELP_S
    said = "kept" if kept else "NOT KEPT"
    print(
        f"\npromised {PROMISED_STEP_MS:g} ms a step and a tenth of kfp.local, --help within "
        f"{PROMISED_HELP_S} s: {said}"
    )
    return 0 if kept else 1


def _median(measure: Callable[[], float], times: int = 3) -> float:
    return statistics.median(measure() for _ in range(times))


def _bare(count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(["bash", "-c", "true"], check=True)
    return time.perf_counter() - began


def _engine(text: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        manifest = load_text(text, "bench")[0].body
        state = State(home)
        state.add_run(manifest)
        engine = Engine(state, home, definitions=[], parallel=os.cpu_count() or 1)
        began = time.perf_counter()
        status = engine.execute(manifest["metadata"]["name"])
        seconds = time.perf_counter() - began
    if status["conditions"][0]["status"] != "True":
        raise SystemExit(f"the run did not succeed: {status['conditions'][0]}")
    return seconds


def _kfp() -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "peer.py"  # kfp reads a component's source from its file
        script.write_text(_KFP)
        done = subprocess.run(
            [sys.executable, str(script), folder], capture_output=True, text=True, check=True
        )
    return float(done.stdout.rsplit("seconds", 1)[1])


def _help() -> float:
    began = time.perf_counter()
    command = [str(Path(sys.executable).parent / "touchstone"), "--help"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
