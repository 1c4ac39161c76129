"""pull-request-command: do what a comment on a pull request asks for, and say so on its commit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands import stage
from touchstone.delivery import status as statuses
from touchstone.requests import open_control
from touchstone.requests.comments import Comment, Installation, act


def main(
    text: Annotated[str, typer.Option(help="First line of the comment.")],
    forge: Annotated[str, typer.Option(help="github, gitlab, forgejo or bitbucket.")],
    author: Annotated[str, typer.Option(help="Who wrote it: the login.")],
    repository: Annotated[str, typer.Option(help="Owner and name of the repository.")],
    url: Annotated[str, typer.Option(help="The repository's URL.")],
    pull_request: Annotated[str, typer.Option(help="Number of the pull request.")],
    branch: Annotated[str, typer.Option(help="Its branch, for people.")],
    ref: Annotated[str, typer.Option(help="Ref of its newest commit.")],
    revision: Annotated[str, typer.Option(help="That commit, or as much as the event says.")],
    gitops_url: Annotated[str, typer.Option(help="The GitOps repository.")],
    image_registry: Annotated[str, typer.Option(help="Registry and folder of model images.")],
    public_key: Annotated[Path, typer.Option(help="PEM file that verifies attestations.")],
    recording_key: Annotated[
        Path, typer.Option(help="PEM file of the key that signs what an account decided.")
    ],
    event: Annotated[str, typer.Option(help="Id of the event.")],
    token_file: Annotated[Path | None, typer.Option(help="File with the forge's token.")] = None,
) -> None:
    """Judge who asks, act, and leave a commit status where the forge takes one."""
    comment = Comment(
        text=text,
        forge=forge,
        author=author,
        repository=repository,
        repo_url=url,
        pull_request=pull_request,
        branch=branch,
        ref=ref,
        revision=revision,
        event=event,
    )
    installation = Installation(
        gitops_url=gitops_url,
        image_registry=image_registry,
        public_key=public_key,
        recording_key=recording_key,
    )
    answer = act(comment, open_control(), installation)
    if answer is None:
        typer.echo(
            f"nothing done: people.yaml does not let {forge}:{author} ask for {text.strip()}"
        )
        return
    typer.echo(answer.status.description)
    token = stage.read_token(token_file)
    if not (token or url.startswith("file:")):
        typer.echo(f"the answer is only here: got no {forge} token to leave a commit status with")
        return
    place = statuses.post(url, answer.commit, answer.status, forge=forge, token=token)
    typer.echo(f"see {place}")


if __name__ == "__main__":
    stage.run(main)
