"""`demo`: two pushes on a fresh platform, one served and one refused, with nothing staged.

Every step is a command that a person could type, shown before it runs.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.errors import DeadlineError, PlatformError, TouchstoneError
from touchstone.home import PORT, SHIPPED, Home
from trust_gates.verdict import UNCONFINED

if TYPE_CHECKING:
    from touchstone.runs.view import View

EXAMPLES = SHIPPED / "training" / "examples"
_REVIEWER = "A Reviewer <reviewer@example.org>"
_HONEST, _SKEWED = "uri: generate", "uri: generate?night=0.02"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(demo)


def demo(
    port: Annotated[
        int,
        typer.Option(
            help="Port of the listener; serving takes the next.", envvar="TOUCHSTONE_PORT"
        ),
    ] = PORT,
    keep: Annotated[bool, typer.Option(help="Leave the platform running at the end.")] = False,
) -> None:
    """Show a push become a served model, and a worse one refused.

    Example: touchstone demo --keep
    """
    above = Home.default()
    above.make()
    home = Home(above.root / "demo")
    _fresh(home)
    os.environ["TOUCHSTONE_HOME"] = str(home.root)
    started = time.monotonic()
    try:
        _play(home, port)
    finally:
        if not keep:
            _run(sys.executable, "-P", "-m", "touchstone", "down", show=False)
    typer.echo(f"\nThe whole demo took {time.monotonic() - started:.0f} s.")


def _play(home: Home, port: int) -> None:
    _title("1. An embedded platform: git, listener, engine, sync, serving")
    _touchstone("up", "--detach", f"--port={port}")

    _title("2. A model repository is pushed")
    work = home.root / "object-detector"
    _run("git", "clone", "--quiet", str(home.model_repository), str(work))
    shutil.copytree(EXAMPLES / "object-detection", work, dirs_exist_ok=True)
    first = _push(home, work, "Detect objects by day and by night")

    _title("3. The pipeline runs")
    good = _follow(home, first)
    if good.exit_code:
        raise TouchstoneError(
            f"the first push ended as {good.reason}: {good.message}",
            hint=f"the logs of its stages are in {home.logs / good.run}",
        )
    _show_asked(home, first)

    _title("4. A person reviews the promotion")
    _touchstone("review", "list")
    _touchstone("review", "approve", "object-detector", f"--reviewer={_REVIEWER}")

    _title("5. The merged release is served")
    _touchstone("predict", "object-detector")

    _title("6. A worse citizen: it has hardly seen a night")
    file = work / "touchstone.yaml"
    text = file.read_text()
    if _HONEST not in text:
        raise PlatformError(f"got {file} without {_HONEST!r}, expected the example as shipped")
    file.write_text(text.replace(_HONEST, _SKEWED, 1))
    before = _run("git", "rev-parse", "main", cwd=home.gitops_repository, show=False)
    second = _push(home, work, "Learn from daylight alone")
    bad = _follow(home, second)
    if bad.exit_code != 5:
        raise TouchstoneError(
            f"the second push ended with {bad.exit_code} ({bad.reason}), expected it to be refused"
        )
    typer.echo(f"exit code {bad.exit_code}: the model was refused")
    commit = _run("git", "rev-parse", "HEAD", cwd=work, show=False)
    _echo_run("git", "notes", "--ref=touchstone-status", "show", commit, cwd=home.model_repository)
    after = _run("git", "rev-parse", "main", cwd=home.gitops_repository, show=False)
    if before != after:
        raise TouchstoneError(f"the GitOps repository moved from {before} to {after}")
    typer.echo("The GitOps repository did not change; the first model goes on serving:")
    _touchstone("predict", "object-detector")

    _title("Where the time went")
    for title, run in (("first push", good), ("second push", bad)):
        total = sum(stage.seconds for stage in run.stages)
        typer.echo(f"{title} ({total:.0f} s of stages, some in parallel)")
        for stage in run.stages:
            typer.echo(f"  {stage.name:<18} {stage.seconds:4.0f} s  {stage.state}")


def _show_asked(home: Home, run: str) -> None:
    """What each gate asked, and how: the model's code must not have run where it was judged."""
    from touchstone.artifacts.store import Store
    from trust_gates.report.asked import Yardstick

    store = Store(home.artifacts)
    verdict = store.get_json(store.ref(f"runs/{run}/verdict") or "")
    yardstick = Yardstick.of(verdict)
    typer.echo("what the model was asked, gate by gate:")
    for gate in yardstick.gates:
        typer.echo(f"  {gate.gate:<18} {'; '.join(gate.held)}")
    for text in yardstick.every_warning:
        typer.echo(f"  warning: {text}")
    typer.echo("how each gate asked the model, whose code never runs in the process that judges:")
    for name, how in verdict["askedAs"].items():
        typer.echo(f"  {name:<18} {how or 'not at all: it looked at files'}")
        if UNCONFINED in how:
            raise TouchstoneError(
                f"the {name} gate asked the model's code unconfined",
                hint="`touchstone up` says what this machine lacks",
            )


def _fresh(home: Home) -> None:
    if running := home.platform():
        raise PlatformError(
            f"a demo still runs (process {running['pid']})",
            hint=f"TOUCHSTONE_HOME={home.root} touchstone down",
        )
    shutil.rmtree(home.root, ignore_errors=True)


def _push(home: Home, work: Path, message: str) -> str:
    """Commit everything and push; return the name of the run that it started."""
    from touchstone.runs.store import State

    state = State(home.root)
    known = {run.name for run in state.runs()}
    author = ["-c", "user.name=A Developer", "-c", "user.email=developer@example.org"]
    _echo_run("git", "add", "--all", cwd=work)
    _echo_run("git", *author, "commit", "--quiet", f"--message={message}", cwd=work)
    _echo_run("git", "push", "--quiet", "origin", "HEAD:main", cwd=work)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for run in state.runs():
            if run.name not in known:
                return run.name
        time.sleep(0.1)
    raise DeadlineError(
        "no run was created within 30 s of the push",
        hint=f"see {home.logs / 'platform.log'}",
    )


def _follow(home: Home, run: str) -> View:
    from touchstone.commands.watch import follow
    from touchstone.commands.where import Here

    return follow(Here(home), run, timeout=900)


def _say(text: str, *, style: str) -> None:
    from trust_gates.visible import console

    console().print(text, style=style, soft_wrap=True)


def _title(text: str) -> None:
    _say(f"\n== {text}", style="bold")


def _touchstone(*arguments: str) -> None:
    _say("$ " + shlex.join(["touchstone", *arguments]), style="dim")
    _run(sys.executable, "-P", "-m", "touchstone", *arguments, capture=False)


def _echo_run(*command: str, cwd: Path) -> None:
    _say("$ " + shlex.join(command), style="dim")
    _run(*command, cwd=cwd, capture=False)


def _run(*command: str, cwd: Path | None = None, show: bool = True, capture: bool = True) -> str:
    sys.stdout.flush()
    process = subprocess.run(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE if capture else None, check=False
    )
    if process.returncode and show:
        raise TouchstoneError(f"{shlex.join(command)} ended with {process.returncode}")
    return (process.stdout or "").strip()
