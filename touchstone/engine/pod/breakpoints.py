"""Where does a step wait for a person, and how is it told to go on? Tekton's own protocol.

A step waits before it starts, or after it failed, until a file in its /tekton/run says how to go
on; the scripts in /tekton/debug/scripts write these files. Facts from docs/debug.md,
pkg/entrypoint and pkg/pod of tektoncd/pipeline: a TaskRun's time limit goes on meanwhile, and
behind a breakpoint on failure the steps that follow a failed one run as well.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.engine.pod.process import Call, Exit, Halt, Mount
from touchstone.engine.pod.workspaces import Folders
from touchstone.errors import ManifestError
from touchstone.runs.lookup import BREAKPOINTS

_TICK = 0.1
"""Seconds between two looks for an answer."""

_LONGEST = 64
"""Bytes of an answer that are read."""

_WAITING = "waiting.json"
_LONGEST_CALL = 16 << 20
"""Bytes of what is known of a waiting step: its environment among it."""

_HEAD = """\
#!/bin/sh
set -e
step="$(ls '{info}' | tail -n 1)"
cd '{run}'/"${{step:?no step waits}}"
"""
_ANSWERS = {
    "continue": "touch out\necho 0 > out.breakpointexit\n",
    "fail-continue": "touch out.err\necho 1 > out.breakpointexit\n",
    "beforestep-continue": "echo 0 > out.beforestepexit\n",
    "beforestep-fail-continue": "echo 1 > out.beforestepexit.err\n",
}


@dataclass(frozen=True, slots=True)
class Breakpoints:
    """Where the steps of a TaskRun wait."""

    on_failure: bool = False
    before: frozenset[str] = field(default_factory=frozenset)
    """Names of the steps that wait before they start."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Breakpoints:
        """What spec.debug.breakpoints of a TaskRun says."""
        return cls(said.get("onFailure") == "enabled", frozenset(said.get("beforeSteps", ())))

    @classmethod
    def annotated(cls, manifest: Mapping[str, Any]) -> Breakpoints:
        """What the annotation of a run asks for. Raises ManifestError where it is broken."""
        text = (manifest["metadata"].get("annotations") or {}).get(BREAKPOINTS, "{}")
        try:
            return cls.of(json.loads(text))
        except (ValueError, TypeError, AttributeError):
            raise ManifestError(
                f"annotation {BREAKPOINTS}: got {text!r}, expected JSON such as"
                ' {"onFailure": "enabled", "beforeSteps": ["STEP"]}'
            ) from None

    def __or__(self, other: Breakpoints) -> Breakpoints:
        return Breakpoints(self.on_failure or other.on_failure, self.before | other.before)

    def __bool__(self) -> bool:
        return self.on_failure or bool(self.before)

    def make_folder(self, folder: Path, *, run: str, debug: str) -> None:
        """Write the scripts below `folder`, the debug folder; `run` and `debug` as steps see them.

        As in Tekton, those for a breakpoint that nobody asked for are not there.
        """
        (folder / "info").mkdir(parents=True)
        (folder / "scripts").mkdir()
        for name, answer in _ANSWERS.items():
            if self.before if name.startswith("beforestep") else self.on_failure:
                script = folder / "scripts" / f"debug-{name}"
                head = _HEAD.format(info=f"{debug}/info", run=run)
                script.write_text(f'{head}{answer}echo "Executing step $step..."\n')
                script.chmod(0o755)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A step that waits for an answer."""

    task: str
    step: str
    index: int
    before: bool
    """Whether it has not started yet; else it has failed."""

    folder: Path
    """The TaskRun's own."""

    scripts: str
    """Where the step sees the scripts."""

    call: Call
    """The step's process with all its surroundings."""

    @property
    def words(self) -> str:
        """What Tekton writes into the step's log."""
        when, kind = ("before step", "beforestep-") if self.before else ("onFailure", "")
        return (
            f"debug {when} breakpoint has taken effect, waiting for user's decision:\n"
            f"1) continue, use cmd: {self.scripts}/debug-{kind}continue\n"
            f"2) fail-continue, use cmd: {self.scripts}/debug-{kind}fail-continue\n"
        )

    @property
    def answered(self) -> bool:
        """Whether it is told by now how to go on."""
        return not (self.folder / _WAITING).exists() or self._answer() is not None

    def answer(self, *, proceed: bool) -> None:
        """Let the step go on, or fail; where nobody has answered yet."""
        files = ("beforestepexit", "beforestepexit.err") if self.before else ("breakpointexit",) * 2
        if not self.answered:
            answer = b"0\n" if proceed else b"1\n"
            beneath.write(self.folder, self._named(files[not proceed]), answer)

    def wait(self, deadline: float | None, halt: Halt) -> Exit:
        """Wait for the answer; its exit code. `deadline` is a time.monotonic() value."""
        while True:
            code = self._answer()
            if code is not None:
                return Exit(code, "exited")
            if halt.wait(_TICK):
                return Exit(1, "halted")
            if deadline is not None and time.monotonic() >= deadline:
                return Exit(1, "timeout")

    def _answer(self) -> int | None:
        if self.before:
            if self._said("beforestepexit") is not None:
                return 0
            return 1 if self._said("beforestepexit.err") is not None else None
        text = self._said("breakpointexit")
        if text == "":
            time.sleep(_TICK)  # it may just be about to be written
            text = self._said("breakpointexit")
        if text is None:
            return None
        return int(text) if text.isdecimal() else 0  # as in Tekton, what is no number is a 0

    def _said(self, name: str) -> str | None:
        """What one of the files says; a link or a FIFO says nothing."""
        try:
            content = beneath.read(self.folder, self._named(name), limit=_LONGEST)
        except (FileNotFoundError, NotPlainError):
            return None
        return content.decode("utf-8", "replace").strip()

    def _named(self, name: str) -> str:
        return f"run/{self.index}/out.{name}"

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Meanwhile make it known to the scripts and to other processes that this step waits."""
        info, file = self.folder / "debug" / "info" / str(self.index), self.folder / _WAITING
        info.mkdir()
        (self.folder / "run" / str(self.index)).chmod(0o777)  # whoever the step runs as may answer
        document = {
            name: asdict(self.call) if name == "call" else getattr(self, name)
            for name in ("task", "step", "index", "before", "scripts", "call")
        }
        partial = file.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(document))
        partial.replace(file)
        try:
            yield
        finally:
            shutil.rmtree(info, ignore_errors=True)
            file.unlink(missing_ok=True)


def waiting_steps(folders: Folders) -> Sequence[Waiting]:
    """The steps of a run that wait at this moment, in whichever process."""
    found = []
    for file in sorted(folders.taskrun("").glob(f"*/{_WAITING}")):
        try:
            document = json.loads(beneath.read(file.parent, _WAITING, limit=_LONGEST_CALL))
        except FileNotFoundError:
            continue  # answered just now
        call = document.pop("call")
        mounts = call.pop("mounts")
        places = None if mounts is None else tuple(Mount(*mount) for mount in mounts)
        argv = tuple(call.pop("argv"))
        whole = Call(argv=argv, mounts=places, **call)
        found.append(Waiting(folder=file.parent, call=whole, **document))
    return found
