"""On a terminal of any width nobody misses how a run stands: mark, time and reason are whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from terminal import shown

from touchstone.runs.lock import only_engine
from touchstone.runs.store import State

LONG = "a-stage-whose-name-is-as-long-as-kubernetes-lets-it-be-altogether"
RUN = "model-" + "0123456789" * 5 + "-last"
ODD = "checks-" + "界" * 20
"""Each of its signs takes two columns."""

_ERROR = """\
loading
hint: run `touchstone validate` before the push
error: touchstone.yaml:7:5: spec.train.epochs: got 'many', expected a whole number from 1 on
touchstone.yaml:12:9: spec.gates.quality.checks.0.metric: got 'acuracy'; did you mean accuracy?
model.py:31: loss: returned None, expected a tensor
"""
_CHECK = "failed: robust_accuracy: got 0.412 [0.301, 0.523], expected >= 0.55"
_WIDE = re.compile("[\u2e80-\uffff]")
_BEGAN = datetime(2026, 11, 24, 3, tzinfo=UTC)


def _status(status: str, reason: str, seconds: int, **more: Any) -> dict[str, Any]:
    return {
        "conditions": [
            {"type": "Succeeded", "status": status, "reason": reason, "message": f"{reason}."}
        ],
        "startTime": _BEGAN.isoformat(),
        "completionTime": (_BEGAN + timedelta(seconds=seconds)).isoformat(),
        **more,
    }


def _step(code: int) -> list[dict[str, Any]]:
    return [{"name": "s", "terminated": {"exitCode": code}}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a stage of each kind, under names as long as they may be."""
    home = tmp_path_factory.mktemp("home")
    state = State(home)
    annotations = {
        "touchstone.dev/repository": "acme/" + "detector-" * 6,
        "touchstone.dev/branch": "main",
    }
    labels = {"touchstone.dev/revision": "1a2b3c4"}
    state.add_run(
        {
            "kind": "PipelineRun",
            "metadata": {"name": RUN, "annotations": annotations, "labels": labels},
        }
    )
    cache = {"touchstoneCache": {"key": "k", "run": "model-earlier", "taskRun": "earlier-tune"}}
    outcome = [{"name": "evidence", "value": "sha256:1"}, {"name": "outcome", "value": "failed"}]
    stages = {
        LONG: (_status("True", "Succeeded", 4000, steps=_step(0)), "x" * 500),
        ODD: (_status("True", "Succeeded", 7, steps=_step(0)), "done"),
        "tune": (_status("True", "Succeeded", 0, steps=[], provenance=cache), ""),
        "gate-robustness": (
            _status("True", "Succeeded", 9, steps=_step(0), results=outcome),
            _CHECK,
        ),
        "validate": (_status("False", "Failed", 2, steps=_step(4)), _ERROR),
    }
    for number, (status, log) in enumerate(stages.values()):
        state.save_taskrun(RUN, f"t{number}", status)
        folder = home / "logs" / RUN / f"t{number}"
        folder.mkdir(parents=True)
        (folder / "s.log").write_text(log)
    state.save_run(
        RUN,
        _status(
            "False",
            "Failed",
            4012,
            childReferences=[
                {"name": f"t{number}", "pipelineTaskName": name}
                for number, name in enumerate(stages)
            ],
            skippedTasks=[{"name": "promote", "reason": "Parent Tasks were skipped"}],
        ),
        done=True,
    )
    return home


widths = pytest.mark.parametrize("columns", [80, 200])


@widths
def test_watch_shows_mark_time_and_reason_of_every_stage(home: Path, columns: int) -> None:
    screen = shown(["watch"], home, columns=columns)
    assert screen.exit_code == 1
    assert screen.lines[0].startswith("model-0123") and screen.lines[0].endswith("-last  Failed")
    assert re.match(r"✓ a-stage-.*altogether +4000 s  xxx", screen.line("a-stage"))
    assert re.match(r"✓ checks-.* +7 s  done", screen.line("checks-"))
    assert re.match(r"≡ tune +cached  from run model-earlier", screen.line("tune"))
    assert re.match(r"✗ gate-robustness +9 s  failed: robust_accuracy", screen.line("gate-rob"))
    beside = "failed$" if columns == 80 else "touchstone.yaml:7:5: "
    assert re.match(rf"✗ validate +2 s  {beside}", screen.line("validate"))
    assert re.match(r"- promote +Parent Tasks were skipped", screen.line("promote"))
    whole = " ".join(" ".join(screen.lines).split())
    for line in (_CHECK, *_ERROR.removeprefix("loading\n").replace("error: ", "").splitlines()):
        assert line in whole
    assert f"see more: touchstone logs {RUN} validate" in "".join(screen.lines)
    # All times stand in one column.
    times = [_WIDE.sub("__", line).find(" s  ") for line in screen.lines if line[0] in "✓✗"]
    assert len(times) == 4 and len(set(times)) == 1


@widths
def test_runs_shortens_names_and_nothing_else(home: Path, columns: int) -> None:
    screen = shown(["runs"], home, columns=columns)
    title, row = screen.lines
    assert re.match(r"model-\S*-last  Failed  acme\S*-  main +1a2b3c4  .*\d\d:\d\d.* +4012$", row)
    assert ("…" in row) is (columns == 80)
    assert title.index("status") == row.index("Failed") and row.split()[-2] == "1/5"
    assert title.rindex("s") == row.rindex("2")


@widths
def test_describe_shows_mark_reason_and_time_on_one_line(home: Path, columns: int) -> None:
    screen = shown(["describe"], home, columns=columns)
    assert re.search(r"✓ a-stage-.*altogether  Succeeded  4000 s$", screen.line("a-stage"))
    assert re.search(r"≡ tune  Succeeded  cached: results of model-earlier/", screen.line("tune"))
    assert "✗ gate-robustness  failed  9 s" in screen.line("gate-rob")
    assert "✗ validate  Failed  2 s" in screen.line("validate")
    assert "- promote  skipped: Parent Tasks were skipped" in screen.line("promote")
    whole = re.sub(r"[│├└─\s]+", " ", " ".join(screen.lines))
    for line in (_CHECK, *_ERROR.removeprefix("loading\n").replace("error: ", "").splitlines()):
        assert line in whole


@pytest.mark.parametrize("words", [["watch"], ["runs"], ["describe"]], ids=" ".join)
def test_no_color_leaves_no_style_at_all(home: Path, words: list[str]) -> None:
    coloured = shown(words, home, columns=80)
    plain = shown(words, home, columns=80, environment={"NO_COLOR": "1"})
    assert re.search(r"\x1b\[[\d;]*m", coloured.raw)
    assert not re.search(r"\x1b\[[\d;]*m", plain.raw)
    assert plain.lines == coloured.lines


@widths
@pytest.mark.parametrize("words", [["runs"], ["watch", "--timeout=1"]], ids=" ".join)
def test_a_queued_run_says_in_full_which_run_is_before_it(
    words: list[str], columns: int, tmp_path: Path
) -> None:
    state = State(tmp_path)
    for name in (RUN, "next"):
        annotations = {"touchstone.dev/model": "detector"}
        state.add_run(
            {"kind": "PipelineRun", "metadata": {"name": name, "annotations": annotations}}
        )
    process = psutil.Process()
    platform = {"pid": process.pid, "started": process.create_time()}
    (tmp_path / "platform.json").write_text(json.dumps(platform))
    with only_engine(tmp_path, RUN):
        screen = shown(words, tmp_path, columns=columns)
    whole = " ".join(" ".join(screen.lines).split())
    assert f"waits for a slot of model detector: run {RUN} is before it" in whole
    if words == ["runs"]:
        (row,) = [line for line in screen.lines if line.startswith("next")]
        assert "Queued" in row


def test_all_stages_are_left_on_a_screen_that_holds_few(home: Path) -> None:
    low = shown(["watch"], home, columns=80, rows=6)
    assert all(name in low.raw for name in ("a-stage", "checks-", "tune", "validate", "promote"))
    assert low.lines[-1].endswith(" validate")


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(home: Path) -> None:
    assert "\x1b" not in shown(["watch"], home, columns=80, environment={"TERM": "dumb"}).raw


@pytest.mark.parametrize("words", [["watch"], ["runs"], ["describe"]], ids=" ".join)
def test_a_pipe_gets_colours_where_asked_and_never_a_moved_cursor(
    home: Path, words: list[str]
) -> None:
    said = _piped(home, words, FORCE_COLOR="1", TERM="xterm-256color")
    assert ("\x1b[" in said) is (words != ["watch"])  # its lines have no style
    assert not re.search(r"\x1b\[[\d;?]*[^\d;?m]|\r", said)
    assert "\x1b" not in _piped(home, words)


@pytest.mark.parametrize("words", [["watch"], ["runs"], ["describe"]], ids=" ".join)
def test_an_encoding_without_our_signs_gets_others(home: Path, words: list[str]) -> None:
    said = _piped(home, words, PYTHONIOENCODING="ascii")
    assert said.isascii() and "Failed" in said


def test_watch_in_a_pipe_prints_one_line_for_each_stage(home: Path) -> None:
    lines = _piped(home, ["watch"]).splitlines()
    assert lines[2] == "tune: cached  from run model-earlier"
    assert lines[3] == f"gate-robustness: failed 9 s  {_CHECK}"
    assert lines[-2].startswith(f"{RUN}: Failed  ")
    assert lines[-1] == f"see more: touchstone logs {RUN} validate"


def test_describe_in_a_pipe_cuts_nothing(home: Path) -> None:
    lines = [line.strip("│├└─ ") for line in _piped(home, ["describe"]).splitlines()]
    for line in _ERROR.removeprefix("loading\n").replace("error: ", "").splitlines():
        assert line in lines


def _piped(home: Path, words: list[str], **environment: str) -> str:
    given = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")}
    done = subprocess.run(
        [sys.executable, "-m", "touchstone", *words],
        env={**given, "TOUCHSTONE_HOME": str(home), "TERM": "dumb", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.stdout
