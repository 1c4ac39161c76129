"""start-run: what an event without a whole commit asks for becomes a run of the ref's commit."""

from __future__ import annotations

from typing import Annotated

import typer

from touchstone.commands import stage
from touchstone.requests import open_control
from touchstone.requests.object_store import created
from touchstone.requests.start import Ref, Wanted, look, start


def main(
    template: Annotated[str, typer.Option(help="TriggerTemplate of the run.")],
    url: Annotated[str, typer.Option(help="The model repository's URL.")],
    repository: Annotated[str, typer.Option(help="Its owner and name.")],
    branch: Annotated[str, typer.Option(help="Name of the branch or tag, for people.")],
    ref: Annotated[str, typer.Option(help="The whole ref, such as refs/heads/main.")],
    image_registry: Annotated[str, typer.Option(help="Registry and folder of model images.")],
    gitops_url: Annotated[str, typer.Option(help="The GitOps repository.")],
    event: Annotated[str, typer.Option(help="Id of the event.")],
    seen: Annotated[str, typer.Option(help="Beginning of the commit that was seen.")] = "",
    since: Annotated[str, typer.Option(help="The commit or ref before, for --ignore.")] = "",
    ignore: Annotated[str, typer.Option(help="Expression of files that start nothing.")] = "",
    target: Annotated[str, typer.Option(help="What must be the default branch.")] = "",
    further: Annotated[str, typer.Option(help="Further refs of the event (JSON).")] = "[]",
    forge: Annotated[str, typer.Option(help="Whose API takes the commit status.")] = "",
    pull_request: Annotated[str, typer.Option(help="Number of the pull request.")] = "",
    records: Annotated[str, typer.Option(help="S3 records (JSON): one run for each object.")] = "",
    bucket: Annotated[str, typer.Option(help="The records' bucket.")] = "",
    prefix: Annotated[str, typer.Option(help="The records' keys begin so.")] = "",
    traceparent: Annotated[str, typer.Option(help="The event's W3C trace context.")] = "",
) -> None:
    """Resolve each ref and create its run; twice for one event is the same as once."""
    data = created(records, bucket=bucket, prefix=prefix) if records else [""]
    if not data:
        typer.echo(f"nothing to start: no new object in s3://{bucket}/{prefix}")
        return
    first = Ref(branch=branch, ref=ref, revision=seen, since=since, ignore=ignore, target=target)
    looked = [(about, look(url, about)) for about in (first, *Ref.read(further))]
    control = open_control()
    for about, found in looked:
        if found.reason:
            typer.echo(f"nothing to start for {about.branch}: {found.reason}")
            continue
        for uri in data:
            wanted = Wanted(
                template=template,
                repo_url=url,
                repository=repository,
                branch=about.branch,
                revision=found.revision,
                image_registry=image_registry,
                gitops_url=gitops_url,
                event=event,
                forge=forge,
                pull_request=pull_request,
                data=uri,
                traceparent=traceparent,
            )
            name = start(control, wanted)
            there = f"{about.branch} at {found.revision[:12]}"
            there += f" with {uri}" if uri else ""
            # Who follows this step sees it succeed, which is not yet the end of what was pushed.
            typer.echo(f"{name}: {there}; follow it: touchstone watch {name}")


if __name__ == "__main__":
    stage.run(main)
