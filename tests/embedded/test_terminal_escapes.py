"""No escape sequence of a log, a name, a message or a payload reaches whoever asks about it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from delivery_platform import check, make_platform
from engine_runs import run_text

from touchstone.home import Home
from touchstone.runs.store import State

_HOSTILE = "in\x1b[2Jjected\x1b]0;title\x07\x9b31m\u202elog"
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_OWN = re.compile(r"\x1b\[[\d;?]*[mKAhlG]|\x1b[=>]|\r")
"""rich's colours and, where it draws again, the cursor's way; the pager's keypad; a terminal's own
line ends."""

_RUN = """apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: NAME}
spec:
  taskSpec:
    results: [{name: told}]
    steps:
    - name: s
      image: bash
      script: |
        printf 'in\\033[2Jjected\\033]0;title\\a\\302\\23331m\\342\\200\\256log' | tee $(results.told.path)
        exit CODE
"""  # noqa: E501


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A platform that heard of a failed run, an event and a promotion, all of them hostile."""
    home = tmp_path_factory.mktemp("home")
    run_text(_RUN.replace("NAME", "hostile").replace("CODE", "3"), home)
    State(home).add_event(
        source=f"github {_HOSTILE}",
        event_id="1",
        headers={"ce-type": _HOSTILE, "x-github-event": _HOSTILE},
        body=_HOSTILE.encode(),
    )
    (home / "run.yaml").write_text(_RUN.replace("NAME", "again").replace("CODE", "0"))
    (home / f"{_HOSTILE}.yaml").write_text("a: [")
    platform = make_platform(home)
    keys = Home(home).signing_key
    keys.parent.mkdir()
    platform.keys.private.parent.rename(keys)
    platform.keys = replace(platform.keys, private=keys / "private.pem", public=keys / "public.pem")
    platform.promote(platform.candidate(checks=[check(name=f"accuracy {_HOSTILE}")]))
    return home


_LINES = {
    "logs": ["logs", "hostile"],
    "describe": ["describe", "hostile"],
    "watch": ["watch", "hostile"],
    "runs": ["runs"],
    "events": ["events"],
    "events as JSON": ["events", "--json"],
    "describe as JSON": ["describe", "hostile", "--json"],
    "run": ["run", "-f", "run.yaml"],
    "a review": ["review", "show", "tiny", "--full"],
    "an error": ["describe", _HOSTILE],
    "an error in a file": ["run", "-f", f"{_HOSTILE}.yaml"],
    "an option": [f"--{_HOSTILE}"],
}


@pytest.mark.parametrize("words", _LINES.values(), ids=_LINES)
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_what_others_wrote_is_shown_without_what_it_would_do(
    home: Path, words: list[str], terminal: bool
) -> None:
    shown = _shown(home, words, terminal=terminal)
    assert not _HIDDEN.search(_OWN.sub("", shown) if terminal else shown)
    if words != ["runs"]:  # it says nothing of what a step printed
        assert re.search(r"in\\(u00|x)1b", shown)


def test_json_says_what_was_there(home: Path) -> None:
    (event,) = json.loads(_shown(home, ["events", "--json"], terminal=False))
    assert event["body"] == _HOSTILE


def _shown(home: Path, words: list[str], *, terminal: bool) -> str:
    """Everything that the command prints, whatever its exit code."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    environment = {
        **os.environ, "TOUCHSTONE_HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "300",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "touchstone", *words],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    content = b""
    try:
        while chunk := os.read(reader, 1 << 16):
            content += chunk
    except OSError:
        pass  # a terminal's way to say that nobody writes any more
    os.close(reader)
    process.wait()
    return content.decode()
