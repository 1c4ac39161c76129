"""A shell completes the names that are known here; where anything is wrong it offers nothing."""

import os
import subprocess
import sys

import pytest

from touchstone.commands import completing
from touchstone.runs.store import State


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path))
    state = State(tmp_path)
    for name in ("model-1", "model-2", "other-1"):
        annotations = {"touchstone.dev/repository": f"acme/{name[:5]}"}
        state.add_run(
            {"kind": "PipelineRun", "metadata": {"name": name, "annotations": annotations}}
        )
    return tmp_path


def test_runs_and_models_are_offered(home):
    assert completing.runs("model-") == ["model-2", "model-1"]
    assert completing.models("") == ["acme/model", "acme/other"]


def test_nothing_is_offered_where_the_state_cannot_be_read(home):
    (home / "state.sqlite").write_bytes(b"no database " * 1000)
    assert completing.runs("") == completing.models("") == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("describe mo", ["model-2", "model-1"]),
        ("logs oth", ["other-1"]),
        ("gate fair", ["fairness"]),
    ],
)
def test_a_shell_gets_them(home, line, offered):
    words = f"touchstone {line}"
    asked = {"_TOUCHSTONE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    script = "import sys; sys.argv = ['touchstone']; from touchstone.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert done.stdout.split() == offered and not done.stderr
