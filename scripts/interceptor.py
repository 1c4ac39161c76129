"""interceptor: serve the interceptor `touchstone` to Tekton's EventListener, on a cluster."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands import stage
from touchstone.events.interceptor_server import create_app, secrets_of


def main(
    secrets: Annotated[
        Path, typer.Option(help="Folder in which the webhooks' Secrets are mounted.")
    ],
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8080,
) -> None:
    """Serve until stopped; whom it answers is for the cluster's NetworkPolicy to say."""
    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app = create_app(secrets_of(secrets))
    uvicorn.run(app, host="0.0.0.0", port=port, ws="none", access_log=False)  # noqa: S104


if __name__ == "__main__":
    stage.run(main)
