"""`debug`: get into a step that waits at a breakpoint, or tell it how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.commands.completing import RunName
from touchstone.errors import UsageError
from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.engine.pod.breakpoints import Waiting


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(debug)


def debug(
    run: RunName = "",
    stage: Annotated[str, typer.Argument(help="The stage, where several wait.")] = "",
    proceed: Annotated[
        bool, typer.Option("--continue", help="Only let the step start, or pass.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Only let the step fail.")] = False,
) -> None:
    """Open a shell where a step waits, with its mounts, environment, folder and user.

    Steps wait where `touchstone run --breakpoint` or spec.debug of a TaskRun says so. Without a
    terminal the shell reads its commands from standard input.

    Example: touchstone debug model-1a2b3c train
    """
    from touchstone.engine.pod.breakpoints import waiting_steps
    from touchstone.engine.pod.workspaces import Folders
    from touchstone.runs.lock import is_executed
    from touchstone.runs.lookup import find

    if proceed and fail:
        raise UsageError("got --continue and --fail, expected at most one of them")
    found = find(Home.default(), run)
    name, root = found.run.name, found.place.root
    executed = is_executed(root, name)
    waiting = _chosen(waiting_steps(Folders(root, name)) if executed else (), name, stage)
    if proceed or fail:
        waiting.answer(proceed=proceed)
        return
    enter(waiting)
    if not waiting.answered:
        typer.echo(f"{waiting.task}: step {waiting.step} still waits", err=True)


def _chosen(steps: Sequence[Waiting], run: str, stage: str) -> Waiting:
    chosen = [item for item in steps if stage in ("", item.task)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(item.task for item in steps)
    wanted = f"a step of stage {stage}" if stage else "a step"
    raise UsageError(
        f"run {run}: got {len(chosen)} waiting steps, expected {wanted} to wait",
        hint=f"these stages wait: {names}" if names else "touchstone run --breakpoint makes them",
    )


def enter(waiting: Waiting, *, err: bool = True) -> None:
    """Open a shell in the surroundings of a step that waits."""
    from touchstone.engine.pod.terminal import open_shell

    typer.echo(f"[{waiting.task} : {waiting.step}] {waiting.words}", nl=False, err=err)
    open_shell(waiting.call, prompt=f"[{waiting.task} : {waiting.step}] \\w $ ")
