"""Running a fixture through the real engine, shared by the engine's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.documents.kubectl import load_text
from touchstone.engine import Engine, Notice
from touchstone.runs.store import State


@dataclass
class Ran:
    """What is left of a run."""

    home: Path
    name: str
    status: dict[str, Any]
    taskruns: dict[str, dict[str, Any]]
    notices: list[Notice] = field(default_factory=list)

    @property
    def condition(self) -> dict[str, Any]:
        return dict(self.status["conditions"][0])

    @property
    def results(self) -> dict[str, Any]:
        return {item["name"]: item["value"] for item in self.status.get("results", [])}

    @property
    def skipped(self) -> dict[str, str]:
        return {item["name"]: item["reason"] for item in self.status.get("skippedTasks", [])}

    def task(self, name: str) -> dict[str, Any]:
        return self.taskruns[f"{self.name}-{name}"]

    def log(self, task: str, step: str) -> str:
        return (self.home / "logs" / self.name / f"{self.name}-{task}" / f"{step}.log").read_text()


def run_text(
    text: str, home: Path, *, parallel: int = 4, watch: Callable[[Notice], None] = lambda _: None
) -> Ran:
    """Execute the first run in `text`, with the Tasks and Pipelines beside it."""
    file = home / "definitions.yaml"
    home.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    manifest = next(d.body for d in load_text(text, str(file)) if d.kind.endswith("Run"))
    state = State(home)
    state.add_run(manifest)
    notices: list[Notice] = []

    def observe(notice: Notice) -> None:
        notices.append(notice)
        watch(notice)

    engine = Engine(state, home, definitions=[file], parallel=parallel, observer=observe)
    name = manifest["metadata"]["name"]
    status = engine.execute(name)
    return Ran(home, name, status, state.taskruns(name), notices)
