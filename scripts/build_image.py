"""build-image: the build context for Kaniko, from the model repository's tree."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract.reads import is_document

_CONTAINERFILE = """\
# Used because the model repository has no Containerfile of its own.
FROM ghcr.io/touchstone-ml/touchstone-serve:0.1.0
COPY --chown=65532:65532 . /opt/model
USER 65532
WORKDIR /opt/model
"""


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    image: Annotated[str, typer.Option(help="Name and tag the image will have.")],
    context: Annotated[Path, typer.Option(help="Folder to lay the build context into.")],
    result_image_url: Annotated[Path, typer.Option()],
    result_context: Annotated[Path, typer.Option(help="File for the context's digest.")],
) -> None:
    """Lay out the build context, and store it; the next step of the Task builds it."""
    artifacts = open_store(store)
    shutil.rmtree(context, ignore_errors=True)  # a retry starts from nothing
    artifacts.get(source, context)
    containerfile = context / "Containerfile"
    if not containerfile.exists():
        # A Containerfile may copy a document; ours need not, and a changed one makes no new image.
        for path in [*context.rglob("*")]:
            if path.is_file() and is_document(path.relative_to(context).as_posix()):
                path.unlink()
        containerfile.write_text(_CONTAINERFILE, encoding="utf-8")
        typer.echo("no Containerfile in the model repository: building the default one")
    digest = artifacts.put(context)
    stage.write_result(result_image_url, image)
    stage.write_result(result_context, digest)
    typer.echo(f"context for {image} is {digest}")


if __name__ == "__main__":
    stage.run(main)
