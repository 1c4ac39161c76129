"""`doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands.install import Context, Json, Kubeconfig, show
from touchstone.errors import PlatformError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(doctor)


def doctor(
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Look at the cluster too, not at this machine alone.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Find out with two Pods whether NetworkPolicies hold.")
    ] = False,
    image: Annotated[
        str, typer.Option(help="Image with python3 for those Pods.")
    ] = "ghcr.io/touchstone-ml/touchstone-core:0.1.0",
    overlay: Annotated[str, typer.Option(help="What the cluster is held to.")] = "minimal",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where runs live.")
    ] = "touchstone",
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Look at this machine, and with --cluster at a cluster and what is installed there.

    Exit code 3 where something is missing.

    \b
    Examples:
      touchstone doctor
      touchstone doctor --cluster --probe
    """
    from touchstone.install import laptop
    from touchstone.install.values import OVERLAYS

    if overlay not in OVERLAYS:
        raise typer.BadParameter(f"got {overlay!r}, expected one of {', '.join(OVERLAYS)}")
    found = laptop.looked_at()
    if cluster or probe or kubeconfig or context:
        found += _cluster(kubeconfig, context, overlay, namespace, image if probe else "")
    if as_json:
        typer.echo(json.dumps({"checks": [one.plain() for one in found]}, indent=2))
    else:
        show(found)
    if missing := [one.name for one in found if one.state == "missing"]:
        raise PlatformError(f"missing: {', '.join(missing)}", hint="each says above what to do")


def _cluster(
    kubeconfig: Path | None, context: str, overlay: str, namespace: str, image: str
) -> list:  # type: ignore[type-arg]
    from touchstone.install import checks, health
    from touchstone.install.api import Api
    from touchstone.install.probe import enforced

    api = Api.connect(kubeconfig, context)
    found = checks.cluster(api, overlay=overlay)
    if image:
        probed = enforced(api, image=image)
        found = [probed if one.name == probed.name else one for one in found]
    return [*found, *health.installed(api, namespace)]
