"""recorder: keep records and logs of the cluster's runs, and tell of them in metrics and traces."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands import stage


def main(
    store: Annotated[
        str, typer.Option(help="The artifact store: a mounted folder, or the URI of another.")
    ],
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Namespace of runs; may be repeated; by default the Pod's own."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of /healthz and /metrics.")] = 8080,
    records_port: Annotated[
        int, typer.Option(help="Port of loopback that answers who may forward ports of this Pod.")
    ] = 8081,
    log_limit: Annotated[
        int, typer.Option(min=1024, help="Bytes that are kept of one step's log.")
    ] = 8 << 20,
    spool: Annotated[
        Path | None, typer.Option(help="Folder for logs on their way; by default below /tmp.")
    ] = None,
) -> None:
    """Watch until stopped. Traces go to $OTEL_EXPORTER_OTLP_ENDPOINT where that is set."""
    from touchstone.cluster.serving import serve

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every trace
    serve(
        store,
        namespaces=namespace or (),
        port=port,
        records_port=records_port,
        log_limit=log_limit,
        spool=spool,
    )


if __name__ == "__main__":
    stage.run(main)
