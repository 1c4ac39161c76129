"""Whoever follows a run is told when nothing will end it, and never waits for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from touchstone.runs.store import State

_LIKE = {"kind": "PipelineRun", "metadata": {"name": "lonely"}}


def _told(words: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "touchstone", *words],
        env={**os.environ, "TOUCHSTONE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", [["watch"], ["watch", "--json"], ["logs", "-f"]], ids=" ".join)
def test_a_platform_that_died_is_noticed(words: list[str], tmp_path: Path) -> None:
    State(tmp_path).add_run(_LIKE)
    dead = {"pid": 2**22 + 1, "started": 0.0, "listener": "", "serving": ""}
    (tmp_path / "platform.json").write_text(json.dumps(dead))
    done = _told(words, tmp_path)
    assert done.returncode == 3
    problem, hint = done.stderr.splitlines()
    assert "run lonely has not ended" in problem and "died" in problem
    assert hint.startswith("  hint: touchstone up --detach starts it again")


def test_a_run_whose_command_ended_is_repeated_by_hand(tmp_path: Path) -> None:
    State(tmp_path / "run").add_run(_LIKE)
    done = _told(["watch", "lonely"], tmp_path)
    assert done.returncode == 3 and "the command that did has ended" in done.stderr
    assert "touchstone rerun --failed lonely" in done.stderr


def test_in_a_pipe_progress_is_told_now_and_then_and_never_twice(tmp_path: Path) -> None:
    from touchstone.runs.lock import only_engine

    state = State(tmp_path)
    state.add_run(_LIKE)
    state.save_taskrun("lonely", "train", {"startTime": "2026-11-24T03:00:00Z"})
    log = tmp_path / "logs" / "lonely" / "train" / "s.log"
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1/900 loss=1\n")
    with only_engine(tmp_path, "lonely"):
        watcher = subprocess.Popen(
            [sys.executable, "-m", "touchstone", "watch"],
            env={**os.environ, "TOUCHSTONE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 6
        for epoch in range(2, 900):
            with log.open("a") as stream:
                stream.write(f"epoch {epoch}/900 loss=1\n")
            time.sleep(0.02)
            if time.monotonic() > end:
                break
        over = {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": ""}
        state.save_run("lonely", {"conditions": [over]}, done=True)
        said, _ = watcher.communicate(timeout=60)
    lines = [line for line in said.splitlines() if "epoch" in line]
    assert len(lines) == 1 and lines[0].startswith("train: epoch ")
    assert "\r" not in said and "\x1b" not in said
