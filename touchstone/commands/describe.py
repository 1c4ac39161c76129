"""`describe`: one run as a tree, with why each stage ended, was skipped or was not run at all."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.completing import RunName
from touchstone.commands.where import Context, Kubeconfig, Namespace, where
from touchstone.errors import PlatformError

if TYPE_CHECKING:
    from rich.tree import Tree

    from touchstone.runs.lookup import Kept
    from touchstone.runs.tree import StageDetail

TAIL = 200
"""Lines of a log that are looked at for what a stage says of itself, where a log is far away."""

_ENDLESS = 10_000
"""Columns where there is no terminal: what reads a pipe gets whole lines."""

_INDENT, _LEAST = 13, 12
"""Columns before and behind a stage's name, and those that it keeps."""

_MARKS = {"True": ("✓", "green"), "False": ("✗", "red"), "Unknown": ("…", "yellow")}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(describe)


def describe(
    run: RunName = "",
    model: Annotated[str, typer.Option(help="The newest run of this model.")] = "",
    lines: Annotated[int, typer.Option(min=0, help="Last lines of a failed step.")] = 10,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show a run: stages with durations, reasons, retries, results and a failed step's last lines.

    Example: touchstone describe model-1a2b3c
    """
    from touchstone.commands.runs import summary
    from touchstone.runs.lookup import annotations_of
    from touchstone.runs.tree import RERUN_OF, details

    place = where(kubeconfig, context, namespace)
    found = place.find(run, model=model)
    place.bring(found, tail=max(lines, TAIL))
    stages = details(found.place.state, found.run, found.place.logs, lines=lines)
    spec = found.run.manifest.get("spec", {})
    about = summary(found, place.waits())
    document = {
        **about,
        "next": place.way_on(found) if about["status"] == "Interrupted" else "",
        "rerunOf": annotations_of(found.run.manifest).get(RERUN_OF, ""),
        "specStatus": spec.get("status", ""),
        "asked": _asked(found.place, found.run.name, stages),
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

    from trust_gates.visible import console, on_terminal

    screen = console()
    if not on_terminal():
        screen.width = _ENDLESS
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
    if document["next"]:
        tree.add(Text(f"next: {document['next']}", style="yellow"))
    branch = tree.add("stages")
    for stage in stages:
        _add_stage(branch, stage, document["name"], screen.width)
    if document["results"]:
        _add_values(tree, "results", document["results"])
    screen.print(tree)


def _asked(place: Kept, run: str, stages: list[StageDetail]) -> dict[str, list[str]]:
    """What the run's model was asked, and what is weak about it; empty before its verdict."""
    from touchstone.delivery.status import verdict_of
    from trust_gates.report.asked import Yardstick

    ended = {"True": "Succeeded", "False": "Failed"}
    status = next((ended.get(stage.status, "") for stage in stages if stage.name == "verdict"), "")
    try:
        found = verdict_of(place.store, run, ended=status)
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


def _add_stage(tree: Tree, stage: StageDetail, run: str, width: int) -> None:
    from rich.text import Text

    from touchstone.commands.fitted import middle

    mark, style = _MARKS.get(stage.status, ("-", "dim"))
    if stage.cached_from:
        mark, style = "≡", "cyan"
    if stage.outcome not in ("", "passed"):
        mark, style = "✗", "red" if stage.outcome == "failed" else "yellow"
    if stage.status == "Skipped":
        how = f"skipped: {stage.reason}"
    else:
        how = stage.reason if stage.outcome in ("", "passed") else stage.outcome
    if stage.cached_from:
        how += f"  cached: results of {stage.cached_from}"
    elif stage.seconds is not None:
        how += f"  {stage.seconds:g} s"
    if stage.taken_from:
        how += f"  taken over from {stage.taken_from}"
    # The name gives way, so that mark, reason and time stand on its line.
    name = middle(stage.name, max(_LEAST, width - _INDENT - len(how)))
    label = Text(f"{mark} {name}  {how}", style=style)
    if stage.message and stage.status != "True":
        label.append(f"  {stage.message}")
    branch = tree.add(label)
    for line in filter(None, (stage.progress, stage.decided)):
        branch.add(Text(line))
    for number, past in enumerate(stage.retries):
        branch.add(Text(f"attempt {number + 1} of {len(stage.retries) + 1}: {past}"))
    for key, value in stage.results.items():
        branch.add(Text(f"{key} = {value if isinstance(value, str) else json.dumps(value)}"))
    if stage.error:
        error = branch.add(Text(f"error of step {stage.failed_step}", style="red"))
        for line in stage.error:
            error.add(Text(line))
    elif stage.last_lines:
        title = f"last lines of step {stage.failed_step}" if stage.failed_step else "last lines"
        tail = branch.add(title)
        for line in stage.last_lines:
            tail.add(Text(line))
    if stage.failed_step:
        branch.add(Text(f"see more: touchstone logs {run} {stage.name}"))
