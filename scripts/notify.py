"""notify: announce the end of a run as a CloudEvent."""

from __future__ import annotations

from typing import Annotated

import typer

from scripts import stage
from touchstone.errors import PlatformError

EVENT_TYPE = "dev.touchstone.run.finished.v1"


def main(
    run: Annotated[str, typer.Option(help="Name of the PipelineRun.")],
    run_status: Annotated[str, typer.Option(help="Tekton's $(tasks.status).")],
    sink: Annotated[str, typer.Option(help="URL to post to; empty writes to the log.")] = "",
) -> None:
    """Send one binary CloudEvent; its id is the run's name, so that a repeat is a duplicate."""
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent

    event = CloudEvent(
        {"id": run, "type": EVENT_TYPE, "source": "/touchstone/runs", "subject": run},
        {"run": run, "status": run_status},
    )
    if not sink:
        _, body = to_structured(event)
        typer.echo(body.decode())
        return
    headers, body = to_binary(event)
    _post(sink, dict(headers), body)
    typer.echo(f"{EVENT_TYPE} of {run} sent")


def _post(sink: str, headers: dict[str, str], body: bytes) -> None:
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    patiently = Retrying(
        retry=retry_if_exception_type(httpx.TransportError),
        stop=stop_after_attempt(4),
        wait=wait_exponential(multiplier=0.2, max=3),
        reraise=True,
    )
    try:
        answer = patiently(
            httpx.post, sink, content=body, headers=headers, timeout=10, follow_redirects=False
        )
    except httpx.HTTPError as error:
        raise PlatformError(
            f"the sink cannot be reached: {type(error).__name__}", hint="check the param sink"
        ) from None
    if not answer.is_success:
        raise PlatformError(f"the sink answered {answer.status_code}, expected 2xx")


if __name__ == "__main__":
    stage.run(main)
