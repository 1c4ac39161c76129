"""The same `touchstone run` again: where it goes on, where it starts anew, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_PIPELINE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  params: [{name: revision, default: main}]
  workspaces: [{name: source, optional: true}]
  tasks:
  - name: first
    taskSpec: {steps: [{name: s, image: bash, script: "echo VERSION >> LOG"}]}
  - name: second
    runAfter: [first]
    taskSpec: {steps: [{name: s, image: bash, script: "touch MARK; [ -e GO ] || sleep 60"}]}
"""


class _Case:
    """One folder with the file, and runs of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("one")

    def write(self, version: str) -> None:
        text = _PIPELINE.replace("VERSION", version)
        for name in ("LOG", "MARK", "GO"):
            text = text.replace(name, str(self.folder / name.lower()))
        (self.folder / "p.yaml").write_text(text)

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "touchstone", "run", "-f", "p.yaml", *options],
            cwd=self.folder,
            env={**os.environ, "TOUCHSTONE_HOME": str(self.folder / "home")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is heard also where these tests run in the background of a shell.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def cut_short(self) -> None:
        for name in ("mark", "go"):
            (self.folder / name).unlink(missing_ok=True)
        process = self.start()
        limit = time.monotonic() + 30
        while not (self.folder / "mark").exists():
            assert time.monotonic() < limit and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
        (self.folder / "go").touch()

    def again(self, *options: str) -> str:
        process = self.start(*options)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return said

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().split()


@pytest.fixture
def case(tmp_path: Path) -> _Case:
    return _Case(tmp_path)


def test_a_run_cut_short_goes_on_where_its_files_are_the_same(case: _Case) -> None:
    case.cut_short()
    assert "going on where it was cut short" in case.again()
    assert case.log == ["one"]


def test_a_run_cut_short_starts_anew_where_its_files_changed(case: _Case) -> None:
    case.cut_short()
    case.write("two")
    assert "starting anew: its files have changed since" in case.again()
    assert case.log == ["one", "two"], "old and new never mix in one run"


@pytest.mark.parametrize("option", ["--fresh", "--no-cache"])
def test_a_run_cut_short_starts_anew_where_it_is_asked_to(case: _Case, option: str) -> None:
    case.cut_short()
    assert "starting anew: as asked" in case.again(option)
    assert case.log == ["one", "one"]


def test_the_last_of_several_runs_cut_short_goes_on(case: _Case) -> None:
    case.cut_short()
    case.write("two")
    case.cut_short()
    assert "going on where it was cut short" in case.again()
    assert case.log == ["one", "two"]


def test_a_run_that_a_later_one_took_the_place_of_is_given_up(case: _Case) -> None:
    case.cut_short()
    case.again("--fresh")
    assert "cut short" not in case.again()
    assert case.log == ["one"] * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-p", "revison=x"), "-p revison: got a name that nothing declares, expected one of:"),
        (("-w", "sorce=."), "-w sorce: got a name that nothing declares, expected one of:"),
    ],
    ids=["a param", "a workspace"],
)
def test_a_name_that_nothing_declares_is_refused_with_the_one_that_was_meant(
    case: _Case, options: tuple[str, str], said: str
) -> None:
    process = case.start(*options)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in told and "did you mean" in told
    assert not (case.folder / "log").exists()
