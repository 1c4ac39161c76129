"""What did the steps of a run print? Line by line, with the stage and step that wrote each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from touchstone.runs import record
from touchstone.runs.memory import Memory, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of one step, without its line end."""

    task: str
    """The pipeline task, or the TaskRun's name where it belongs to no pipeline."""

    taskrun: str
    step: str
    text: str


def stages(state: Memory, run: Run) -> dict[str, str]:
    """The name that people use for each TaskRun of `run`, in order of creation."""
    names = record.tasks_of(run.status)
    return {name: names.get(name, name) for name in state.taskruns(run.name)}


def logs_of(folder: Path, status: Mapping[str, Any]) -> list[Path]:
    """The logs of a TaskRun: its steps in their order, then what else wrote one."""
    order = {step.get("name"): index for index, step in enumerate(status.get("steps", []))}
    files = [(path.stat().st_ctime, path) for path in folder.glob("*.log")]
    return [
        path
        for _, path in sorted(files, key=lambda item: (order.get(item[1].stem, len(order)), item))
    ]


@dataclass(slots=True)
class _Open:
    stream: BinaryIO
    inode: int
    rest: bytes = b""


@dataclass(slots=True)
class Reader:
    """Reads what came since the last time; `logs` is the folder of all runs' logs."""

    state: Memory
    logs: Path
    stage: str = ""
    """Only this stage, by its name or its TaskRun's; all where empty."""

    _open: dict[Path, _Open] = field(default_factory=dict)

    def read(self, run: Run, *, last: bool) -> Iterator[Line]:
        """New lines; with `last`, also those that have no end yet."""
        statuses = self.state.taskruns(run.name)
        for taskrun, task in stages(self.state, run).items():
            if self.stage not in ("", task, taskrun):
                continue
            for path in logs_of(self.logs / run.name / taskrun, statuses[taskrun]):
                for text in self._lines(path, last=last):
                    yield Line(task=task, taskrun=taskrun, step=path.stem, text=text)

    def close(self) -> None:
        """Close every log."""
        for item in self._open.values():
            item.stream.close()
        self._open.clear()

    def _lines(self, path: Path, *, last: bool) -> Iterator[str]:
        known = self._open.get(path)
        try:
            # A retry begins a new log of the same name: read that one from its start.
            if known is not None and known.inode != path.stat().st_ino:
                self._open.pop(path).stream.close()
                known = None
            if known is None:
                stream = path.open("rb")
                known = self._open[path] = _Open(stream, path.stat().st_ino)
        except FileNotFoundError:
            return
        whole, sign, rest = (known.rest + known.stream.read()).rpartition(b"\n")
        known.rest = b"" if last else rest
        lines = whole.split(b"\n") if sign else []
        if last and rest:
            lines.append(rest)
        for line in lines:
            yield line.decode("utf-8", "replace")
