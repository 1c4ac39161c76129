"""promote: a passed verdict becomes a branch of the GitOps repository, signed and complete."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract import model_repo
from touchstone.delivery.promote import Candidate, promote
from touchstone.delivery.release import Digests, Serve


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    repository: Annotated[str, typer.Option(help="URL of the model repository.")],
    commit: Annotated[str, typer.Option(help="The commit that was judged.")],
    verdict: Annotated[str, typer.Option(help="Digest of the verdict.")],
    model: Annotated[str, typer.Option(help="Digest of the trained model.")],
    image_url: Annotated[str, typer.Option(help="Name of the serving image.")],
    image_digest: Annotated[str, typer.Option(help="Digest of the serving image.")],
    image_context: Annotated[str, typer.Option(help="Digest of the image's build context.")],
    gitops_url: Annotated[str, typer.Option(help="Where to push the promotion branch.")],
    signing_key: Annotated[Path, typer.Option(help="PEM file of the Ed25519 private key.")],
    result_release: Annotated[Path, typer.Option()],
    result_branch: Annotated[Path, typer.Option()],
    traceparent: Annotated[str, typer.Option(help="W3C trace context of the run.")] = "",
) -> None:
    """Commit the release, its report and its attestation; twice is the same as once."""
    from trust_gates import report

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as folder:
        spec = model_repo.load(artifacts.get(source, Path(folder) / "source"))
    serve = spec.spec.serve
    candidate = Candidate(
        model=spec.metadata.name,
        repository=repository,
        commit=commit,
        image_url=image_url,
        image_digest=image_digest,
        image_context=image_context,
        digests=Digests(model=model, source=source, verdict=verdict),
        serve=Serve(protocol=serve.protocol, canary=serve.canary, min_replicas=serve.min_replicas),
        environments=spec.spec.promote.environments,
        traceparent=traceparent,
    )
    promotion = promote(
        candidate,
        store=artifacts,
        gitops_url=gitops_url,
        key=signing_key,
        render=report.render,
    )
    stage.write_result(result_release, promotion.release)
    stage.write_result(result_branch, promotion.branch)
    typer.echo(f"{promotion.branch}: {promotion.note} in {candidate.environments[0]}")


if __name__ == "__main__":
    stage.run(main)
