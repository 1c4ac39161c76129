"""`up`, `down`, `status`: the embedded platform's life."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.errors import DeadlineError, PlatformError
from touchstone.home import Home, is_running

if TYPE_CHECKING:
    from touchstone.runs.queue import Limits


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    port: Annotated[
        int, typer.Option(help="Port of the EventListener on loopback; serving takes the next.")
    ] = 8470,
    detach: Annotated[bool, typer.Option(help="Return once it is ready.")] = False,
    parallel: Annotated[
        int, typer.Option(min=0, help="Runs, and TaskRuns of all runs, at once; 0: one a core.")
    ] = 0,
    per_model: Annotated[int, typer.Option(min=1, help="Runs of one model at once.")] = 1,
    sink: Annotated[str, typer.Option(help="URL that gets the runs' CloudEvents.")] = "",
    schedule: Annotated[
        list[Path] | None, typer.Option(help="File or folder of PingSources; may be repeated.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that every model's load_data may read; may be repeated."),
    ] = None,
    data_port: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=65535, help="TCP port that load_data may connect to, besides 80 and 443."
        ),
    ] = None,
    unconfined: Annotated[
        bool,
        typer.Option(
            "--unconfined",
            help="Let a pushed model's code run with all rights of the platform, where this machine"
            " cannot confine it. What is judged so is never promoted.",
        ),
    ] = False,
) -> None:
    """Start the embedded platform: git repositories, listener, engine, sync and serving.

    Code of the models that are pushed sees its own workspace and nothing of the platform.

    Example: touchstone up --detach --schedule tekton/sources
    """
    from touchstone import confine
    from touchstone.runs.queue import Limits

    home = Home.default()
    if running := home.platform():
        raise PlatformError(
            f"a platform already runs in {home.root} (process {running['pid']})",
            hint="touchstone status shows it, touchstone down stops it",
        )
    if unconfined:
        os.environ[confine.SWITCH] = "off"
    confine.require()
    if data:
        os.environ[confine.DATA] = os.pathsep.join(str(folder.resolve()) for folder in data)
    if data_port:
        os.environ[confine.DATA_PORTS] = ",".join(map(str, data_port))
    if detach:
        options = [f"--port={port}", f"--parallel={parallel}", f"--per-model={per_model}"]
        schedules = [f"--schedule={path.resolve()}" for path in schedule or ()]
        _start_detached(home, [*options, f"--sink={sink}", *schedules])
        status()
        return
    _run(home, port, Limits(parallel or os.cpu_count() or 1, per_model), sink, schedule or ())


def _run(home: Home, port: int, limits: Limits, sink: str, schedules: Sequence[Path]) -> None:
    import logging

    from touchstone import confine
    from touchstone.platform.embedded import Addresses, Platform, prepare, serve_until_signal

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    addresses = Addresses(listener=port, serving=port + 1)
    prepare(home, addresses)
    typer.echo(f"Touchstone in {home.root}")
    typer.echo(f"  events   {addresses.listener_url}")
    typer.echo(f"  models   {addresses.serving_url}")
    typer.echo(f"  push to  {home.model_repository}")
    typer.echo(f"  models' code {confine.described()}")
    typer.echo("Ctrl-C stops it; unfinished runs go on at the next start.")
    platform = Platform(home, addresses, limits=limits, sink=sink, schedules=schedules)
    serve_until_signal(platform)


def _start_detached(home: Home, options: Sequence[str], seconds: float = 60) -> None:
    home.prepare()
    log = home.logs / "platform.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "touchstone", "up", *options],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, "TOUCHSTONE_HOME": str(home.root)},
        )
    deadline = time.monotonic() + seconds
    while home.platform() is None:
        if (code := process.poll()) is not None:
            lines = log.read_text(errors="replace").splitlines()
            said = [line for line in lines if line.startswith("touchstone: ")] or lines
            said = said or ["it could write nothing to its log"]
            raise PlatformError(
                f"the platform ended with {code} while starting: "
                f"{said[-1].removeprefix('touchstone: ')}",
                hint=f"its log is {log}",
            )
        if time.monotonic() > deadline:
            process.terminate()
            raise DeadlineError(
                f"the platform was not ready within {seconds:g} s", hint=f"its log is {log}"
            )
        time.sleep(0.05)


def down(
    seconds: Annotated[float, typer.Option(help="How long it may take to stop.")] = 30,
) -> None:
    """Stop the embedded platform; unfinished runs go on at the next `up`.

    Example: touchstone down
    """
    home = Home.default()
    running = home.platform()
    if running is None:
        typer.echo(f"nothing runs in {home.root}")
        return
    os.kill(running["pid"], signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_running(running["pid"], running["started"]):
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"process {running['pid']} still runs after {seconds:g} s",
                hint="kill it with signal 9: nothing that was stored is lost",
            )
        time.sleep(0.05)
    typer.echo("stopped")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what runs, at which addresses, and what is served.

    Example: touchstone status --json
    """
    home = Home.default()
    document = _status(home)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    if document["platform"] is None:
        typer.echo(f"nothing runs in {home.root}; start it with: touchstone up")
        return
    platform = document["platform"]
    typer.echo(f"running since process {platform['pid']} in {home.root}")
    typer.echo(f"  events        {platform['listener']}")
    typer.echo(f"  models        {platform['serving']}")
    typer.echo(f"  model repo    {document['modelRepository']}")
    typer.echo(f"  GitOps repo   {document['gitopsRepository']}")
    for run in document["runs"]:
        waits = f", {run['waits']}" if run["waits"] else ""
        typer.echo(f"  run           {run['name']}: {run['reason']}{waits}")
    for model in document["models"]:
        name = f"{model['model']} {model['version']} in {model['environment']}"
        typer.echo(f"  served        {name}: {platform['serving']}/v2/models/{model['model']}")


def _status(home: Home) -> dict[str, Any]:
    from touchstone.commands.runs import waiting
    from touchstone.runs import record
    from touchstone.runs.store import State

    platform = home.platform()
    waits = waiting(home)
    runs = State(home.root).runs()[-5:] if home.root.exists() else []
    return {
        "home": str(home.root),
        "platform": platform,
        "modelRepository": str(home.model_repository),
        "gitopsRepository": str(home.gitops_repository),
        "runs": [
            {
                "name": run.name,
                "done": run.done,
                "reason": record.succeeded_condition(run.status)["reason"],
                "waits": waits.get(run.name, ""),
            }
            for run in runs
        ],
        "models": _served(platform["serving"]) if platform else [],
    }


def _served(url: str) -> list[Any]:
    import httpx

    try:
        models: list[Any] = httpx.get(url, timeout=5).json()["serving"]
    except (httpx.HTTPError, ValueError):
        return []
    return models
