"""Steps wait at breakpoints: for Tekton's files, for a shell on a terminal, for another process."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_runs import Ran, run_text

from touchstone.engine import Notice, StepWaiting
from touchstone.engine.pod.breakpoints import Waiting
from touchstone.engine.pod.process import SWITCH, Call
from touchstone.engine.pod.terminal import open_shell
from touchstone.errors import PlatformError
from touchstone.runs.store import State

_TASKRUN = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: r}
spec:
  timeout: TIMEOUT
  debug: {breakpoints: {BREAKPOINTS}}
  workspaces: [{name: w, emptyDir: {}}]
  taskSpec:
    workspaces: [{name: w}]
    results: [{name: seen}]
    steps:
    - name: one
      image: bash
      env: [{name: COLOR, value: blue}]
      workingDir: $(workspaces.w.path)
      script: |
        echo begun > file
        exit 3
    - name: two
      image: bash
      script: cat $(workspaces.w.path)/file > $(results.seen.path)
"""
_ON_FAILURE = "onFailure: enabled"
_BEFORE = "beforeSteps: [one]"


def _run(
    tmp_path: Path, breakpoints: str, act: Callable[[Waiting], object], *, timeout: str = "60s"
) -> Ran:
    def watch(notice: Notice) -> None:
        if isinstance(notice, StepWaiting):
            act(notice.waiting)

    text = _TASKRUN.replace("BREAKPOINTS", breakpoints).replace("TIMEOUT", timeout)
    return run_text(text, tmp_path / "home", watch=watch)


def _file(name: str, content: str) -> Callable[[Waiting], object]:
    return lambda waiting: (waiting.folder / "run/0" / name).write_text(content)


def _codes(ran: Ran) -> list[int]:
    return [step["terminated"]["exitCode"] for step in ran.status["steps"]]


@pytest.mark.parametrize("content", ["0\n", "", "no number"])
def test_a_failed_step_that_is_let_on_has_succeeded(tmp_path: Path, content: str) -> None:
    ran = _run(tmp_path, _ON_FAILURE, _file("out.breakpointexit", content))
    assert ran.condition["reason"] == "Succeeded"
    assert _codes(ran) == [0, 0]
    assert ran.results == {"seen": "begun\n"}
    log = (ran.home / "logs/r/r/one.log").read_text()
    assert log.startswith(
        "debug onFailure breakpoint has taken effect, waiting for user's decision"
    )
    assert "1) continue, use cmd: " in log


def test_behind_a_breakpoint_the_steps_after_a_failed_one_run_as_in_tekton(tmp_path: Path) -> None:
    ran = _run(tmp_path, _ON_FAILURE, lambda waiting: waiting.answer(proceed=False))
    assert ran.condition["message"] == '"step-one" exited with code 1: Error'
    assert _codes(ran) == [1, 0]
    assert ran.results == {"seen": "begun\n"}


def test_a_step_waits_before_it_starts(tmp_path: Path) -> None:
    def look(waiting: Waiting) -> None:
        assert waiting.before
        running = State(tmp_path / "home").taskruns("r")["r"]["steps"][0]
        assert running["name"] == "one" and "running" in running
        waiting.answer(proceed=True)

    ran = _run(tmp_path, _BEFORE, look)
    assert ran.condition["message"] == '"step-one" exited with code 3: Error'
    assert _codes(ran) == [3, 1]


def test_a_step_that_must_not_start_has_failed(tmp_path: Path) -> None:
    ran = _run(tmp_path, _BEFORE, _file("out.beforestepexit.err", "1"))
    assert ran.condition["message"] == '"step-one" exited with code 1: Error'
    assert "begun" not in (ran.home / "logs/r/r/one.log").read_text()


def test_the_time_limit_goes_on_while_a_step_waits(tmp_path: Path) -> None:
    ran = _run(tmp_path, _ON_FAILURE, lambda _: None, timeout="1s")
    assert ran.condition["reason"] == "TaskRunTimeout"


def test_a_waiting_run_can_be_cancelled(tmp_path: Path) -> None:
    def cancel(_: Waiting) -> None:
        State(tmp_path / "home").set_spec_status("r", "TaskRunCancelled")

    ran = _run(tmp_path, _ON_FAILURE, cancel)
    assert ran.condition["reason"] == "TaskRunCancelled"
    assert not list((tmp_path / "home").rglob("waiting.json"))


@pytest.mark.parametrize("switch", ["on", "off"])
def test_the_scripts_tekton_has_answer_from_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    monkeypatch.setenv(SWITCH, switch)

    def inside(waiting: Waiting) -> None:
        script = f"{waiting.scripts}/debug-continue\n"
        reader, writer = os.pipe()
        os.write(writer, script.encode())
        os.close(writer)
        kept = os.dup(0)
        try:
            os.dup2(reader, 0)
            assert open_shell(waiting.call, prompt="") == 0
        finally:
            os.dup2(kept, 0)
            os.close(kept)
            os.close(reader)

    assert _run(tmp_path, _ON_FAILURE, inside).condition["reason"] == "Succeeded"


def test_a_shell_that_cannot_start_says_where() -> None:
    call = Call(argv=(), environment={}, folder="/no/such/folder")
    with pytest.raises(PlatformError, match="could not be opened in /no/such/folder: No such"):
        open_shell(call, prompt="")


def test_an_annotation_asks_for_breakpoints_of_every_task_run(tmp_path: Path) -> None:
    annotated = "{name: p, annotations: {touchstone.dev/breakpoints: 'SAID'}}"
    text = _pipeline(tmp_path).read_text().replace("{name: p}", annotated)
    waited = []

    def watch(notice: Notice) -> None:
        if isinstance(notice, StepWaiting):
            waited.append((notice.waiting.task, notice.waiting.step))
            notice.waiting.answer(proceed=True)

    said = '{"beforeSteps": ["two"], "onFailure": "enabled"}'
    run_text(text.replace("SAID", said), tmp_path / "home", watch=watch)
    assert waited == [("build", "one"), ("build", "two")]
    for broken in ("{", "[]", '{"beforeSteps": 1}'):
        ran = run_text(text.replace("SAID", broken), tmp_path / f"broken{len(broken)}")
        assert ran.condition["reason"] == "PipelineValidationFailed"
        assert f"got {broken!r}, expected JSON such as" in ran.condition["message"]


# The commands, as a person types them


def _touchstone(home: Path, *words: str) -> list[str]:
    return ["env", f"TOUCHSTONE_HOME={home}", sys.executable, "-m", "touchstone", *words]


def _pipeline(tmp_path: Path) -> Path:
    task = _TASKRUN.partition("  taskSpec:\n")[2]
    body = "\n".join(f"      {line}" for line in task.splitlines())
    file = tmp_path / "p.yaml"
    file.write_text(
        "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: p}\nspec:\n"
        "  workspaces: [{name: w, emptyDir: {}}]\n  pipelineSpec:\n"
        "    workspaces: [{name: w}]\n    tasks:\n"
        f"    - name: build\n      workspaces: [{{name: w}}]\n      taskSpec:\n{body}\n"
    )
    return file


def test_another_process_gets_in_and_lets_the_run_go_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = _touchstone(home, "run", "--breakpoint", "-f", str(_pipeline(tmp_path)))
    with (
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as run,
        contextlib.ExitStack() as last,
    ):
        last.callback(run.kill)  # where an assertion fails, nobody else would answer it
        assert run.stdout is not None
        said = []
        for line in run.stdout:
            said.append(line)
            if "touchstone debug p build" in line:
                break
        debug = _touchstone(home, "debug", "p", "build")
        looked = subprocess.run(
            debug, input="echo $COLOR in $PWD; cat file", capture_output=True, text=True
        )
        assert looked.stdout.startswith("blue in ") and looked.stdout.endswith("/w\nbegun\n")
        assert "build: step one still waits" in looked.stderr
        assert subprocess.run([*debug, "--continue"]).returncode == 0
        assert run.wait() == 0, said
    gone = subprocess.run(debug, capture_output=True, text=True)
    assert gone.returncode == 2
    assert "got 0 waiting steps, expected a step of stage build to wait" in gone.stderr
    both = subprocess.run([*debug, "--continue", "--fail"], capture_output=True, text=True)
    assert both.returncode == 2


class _Terminal:
    """A process on a terminal of its own, as a person sees it."""

    def __init__(self, command: list[str]) -> None:
        self._pid, self._leader = pty.fork()
        if self._pid == 0:
            os.execvp(command[0], command)
        self.shown = ""

    def until(self, text: str) -> None:
        limit = time.monotonic() + 60
        while text not in self.shown:
            assert select.select([self._leader], [], [], limit - time.monotonic())[0], self.shown
            self.shown += os.read(self._leader, 4096).decode()

    def type(self, text: str) -> None:
        self.shown = ""
        os.write(self._leader, text.encode())

    def end(self) -> int:
        threading.Thread(target=self._drain, daemon=True).start()
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _drain(self) -> None:
        try:
            while os.read(self._leader, 4096):
                pass
        except OSError:
            os.close(self._leader)


@pytest.mark.parametrize(("leave", "code"), [("exit", 1), ("DEBUG; exit", 0)])
def test_on_a_terminal_a_failed_step_opens_a_shell(tmp_path: Path, leave: str, code: int) -> None:
    command = ("run", "--breakpoint", "-f", str(_pipeline(tmp_path)))
    terminal = _Terminal(_touchstone(tmp_path / "home", *command))
    terminal.until("use cmd: ")
    terminal.until("[build : one]")
    terminal.until("w $ ")
    scripts = terminal.shown.partition("1) continue, use cmd: ")[2].partition("\r")[0]
    terminal.type("cat file; echo $COLOR; tty | head -c 8; stty size\n")
    terminal.until("begun\r\nblue\r\n/dev/pts")
    # Said by the process in the foreground: a Ctrl-C before that would be the shell's.
    terminal.type("bash -c 'echo wai\"\"ting; exec sleep 100'\n")
    terminal.until("waiting\r\n")
    terminal.type("\x03")
    terminal.until("w $ ")
    terminal.type(leave.replace("DEBUG", scripts) + "\n")
    terminal.until("p: Succeeded" if code == 0 else "p: Failed")
    assert terminal.end() == code
