"""notify: announce the end of a run as a CloudEvent, and a refused model as one more.

What announces a refusal may start the next round of its remedy: tekton/sources/remedy.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import remedy
from touchstone.delivery.status import verdict_of
from touchstone.errors import PlatformError
from touchstone.home import VARIABLE, Home

if TYPE_CHECKING:
    from cloudevents.http import CloudEvent

FINISHED = "dev.touchstone.run.finished.v1"
REFUSED = "dev.touchstone.model.refused.v1"


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    run: Annotated[str, typer.Option(help="Name of the PipelineRun.")],
    verdict_status: Annotated[str, typer.Option(help="Tekton's $(tasks.verdict.status).")],
    run_status: Annotated[str, typer.Option(help="Tekton's $(tasks.status).")],
    url: Annotated[str, typer.Option(help="Where the model repository is cloned from.")],
    promote: Annotated[str, typer.Option(help="Whether a passing model would be promoted.")],
    repository: Annotated[str, typer.Option(help="Its owner and name.")] = "",
    branch: Annotated[str, typer.Option(help="The branch or tag, for people.")] = "",
    forge: Annotated[str, typer.Option(help="Whose API takes the commit status.")] = "",
    data: Annotated[str, typer.Option(help="Where the raw data is; empty: spec.data.uri.")] = "",
    traceparent: Annotated[str, typer.Option(help="W3C trace context of the run.")] = "",
    sink: Annotated[str, typer.Option(help="URL to post to; empty: $K_SINK, else the log.")] = "",
) -> None:
    """Send binary CloudEvents; their ids follow from the run, so that a repeat is a duplicate."""
    where = sink or os.environ.get("K_SINK", "")
    _send(where, _event(FINISHED, run, {"run": run, "status": run_status}))
    found = verdict_of(open_store(store), run, ended=verdict_status)
    if found is None or found[1]["passed"]:
        return
    digest, verdict = found
    again = {"url": url, "repository": repository, "branch": branch, "forge": forge, "data": data}
    again["traceparent"] = traceparent
    event = _event(REFUSED, run, {**_refusal(verdict, digest), "promote": promote, **again})
    if os.environ.get(VARIABLE):
        _tell_platform(event)
    _send(where, event)


def _event(kind: str, run: str, data: Mapping[str, Any]) -> CloudEvent:
    from cloudevents.http import CloudEvent

    identity = run if kind == FINISHED else f"{run}-refused"
    attributes = {"id": identity, "type": kind, "source": "/touchstone/runs", "subject": run}
    return CloudEvent({**attributes, "datacontenttype": "application/json"}, dict(data))


def _refusal(verdict: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """What was refused, and what is to be done about it."""
    checks = [check for check in verdict["checks"] if check["outcome"] != "passed"]
    return {
        "model": verdict["name"],
        "run": verdict["run"],
        "commit": verdict["commit"],
        "verdict": digest,
        "refused": sorted({check["gate"] for check in checks}),
        "round": verdict["round"],
        "maxRounds": verdict["maxRounds"],
        "remedy": remedy.written(verdict["offered"]),
    }


def _tell_platform(event: CloudEvent) -> None:
    """Put the event before the embedded platform's listener, which has no address."""
    from cloudevents.conversion import to_binary

    from touchstone.events import inside
    from touchstone.runs.store import State

    headers, body = to_binary(event)
    state = State(Home.default().root)
    stored = inside.put(state, headers, body, listener=inside.SOURCES)
    typer.echo(f"{event['type']} of {event['id']} {'stored' if stored else 'is known already'}")


def _send(sink: str, event: CloudEvent) -> None:
    from cloudevents.conversion import to_binary, to_structured

    if not sink:
        _, body = to_structured(event)
        typer.echo(body.decode())
        return
    headers, body = to_binary(event)
    _post(sink, dict(headers), body)
    typer.echo(f"{event['type']} of {event['id']} sent")


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
