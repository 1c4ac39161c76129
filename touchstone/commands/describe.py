"""`describe`: one run as a tree, with why each stage ended, was skipped or was not run at all."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.errors import PlatformError
from touchstone.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from rich.tree import Tree

    from touchstone.runs.tree import StageDetail

_MARKS = {"True": ("✓", "green"), "False": ("✗", "red"), "Unknown": ("…", "yellow")}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(describe)


def describe(
    run: Annotated[str, typer.Argument(help="Name of the run; the newest one by default.")] = "",
    model: Annotated[str, typer.Option(help="The newest run of this model.")] = "",
    lines: Annotated[int, typer.Option(min=0, help="Last lines of a failed step.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show a run: stages with durations, reasons, retries, results and a failed step's last lines.

    Example: touchstone describe model-1a2b3c
    """
    from touchstone.commands.runs import summary, waiting
    from touchstone.runs.lookup import annotations_of, find
    from touchstone.runs.tree import RERUN_OF, details

    home = Home.default()
    found = find(home, run, model=model)
    stages = details(found.place.state, found.run, found.place.logs, lines=lines)
    spec = found.run.manifest.get("spec", {})
    document = {
        **summary(found, waiting(home)),
        "rerunOf": annotations_of(found.run.manifest).get(RERUN_OF, ""),
        "specStatus": spec.get("status", ""),
        "asked": _asked(found.place.root, found.run.name, stages),
        "params": {item["name"]: item["value"] for item in spec.get("params", [])},
        "stages": [asdict(stage) for stage in stages],
        "results": {item["name"]: item["value"] for item in found.run.status.get("results", [])},
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    _print(document, stages)


def _print(document: dict[str, Any], stages: list[StageDetail]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    from trust_gates.visible import console

    tree = Tree(Text(f"{document['name']}  {document['status']}  {document['message']}".rstrip()))
    about = ("model", "branch", "commit", "created", "rerunOf", "specStatus", "waits")
    for key in about:
        if document[key]:
            tree.add(Text(f"{key}: {document[key]}", style="dim"))
    if document["duration"] is not None:
        tree.add(Text(f"duration: {document['duration']:g} s", style="dim"))
    if document["params"]:
        _add_values(tree, "params", document["params"])
    if document["asked"]:
        _add_asked(tree, document["asked"])
    branch = tree.add("stages")
    for stage in stages:
        _add_stage(branch, stage)
    if document["results"]:
        _add_values(tree, "results", document["results"])
    screen = console()
    screen.print(tree, soft_wrap=not screen.is_terminal)


def _asked(root: Path, run: str, stages: list[StageDetail]) -> dict[str, list[str]]:
    """What the run's model was asked, and what is weak about it; empty before its verdict."""
    from touchstone.artifacts.store import Store
    from touchstone.delivery.status import verdict_of
    from trust_gates.report.asked import Yardstick

    ended = {"True": "Succeeded", "False": "Failed"}
    status = next((ended.get(stage.status, "") for stage in stages if stage.name == "verdict"), "")
    try:
        found = verdict_of(Store(Home(root).artifacts), run, ended=status)
    except PlatformError:
        return {}  # it was collected, which ends no look at the run
    if found is None:
        return {}
    yardstick = Yardstick.of(found[1])
    return {"lines": yardstick.lines(), "warnings": yardstick.every_warning}


def _add_asked(tree: Tree, asked: dict[str, list[str]]) -> None:
    from rich.text import Text

    branch = tree.add("asked")
    for line in asked["lines"]:
        branch.add(Text(line))
    for text in asked["warnings"]:
        branch.add(Text(f"warning: {text}", style="yellow"))


def _add_values(tree: Tree, title: str, values: dict[str, Any]) -> None:
    from rich.text import Text

    branch = tree.add(title)
    for name, value in values.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        branch.add(Text(f"{name} = {shown}"))


def _add_stage(tree: Tree, stage: StageDetail) -> None:
    from rich.text import Text

    mark, style = _MARKS.get(stage.status, ("-", "dim"))
    label = Text(f"{mark} {stage.name}  ", style=style)
    if stage.status == "Skipped":
        label.append(f"skipped: {stage.reason}")
    else:
        label.append(stage.reason)
    if stage.seconds is not None:
        label.append(f"  {stage.seconds:g} s")
    if stage.cached_from:
        label.append(f"  from the cache: {stage.cached_from}")
    if stage.taken_from:
        label.append(f"  taken over from {stage.taken_from}")
    if stage.message and stage.status != "True":
        label.append(f"  {stage.message}")
    branch = tree.add(label)
    for number, past in enumerate(stage.retries):
        branch.add(Text(f"attempt {number + 1} of {len(stage.retries) + 1}: {past}"))
    for name, value in stage.results.items():
        branch.add(Text(f"{name} = {value if isinstance(value, str) else json.dumps(value)}"))
    if stage.last_lines:
        title = f"last lines of step {stage.failed_step}" if stage.failed_step else "last lines"
        tail = branch.add(title)
        for line in stage.last_lines:
            tail.add(Text(line))
