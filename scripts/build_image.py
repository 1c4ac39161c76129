"""build-image: the build context for Kaniko, from the model repository's tree."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from touchstone.artifacts import models
from touchstone.artifacts.store import open_store
from touchstone.commands import stage
from touchstone.contract.reads import is_document
from touchstone.home import packages_of

_CONTAINERFILE = """\
# Used because the model repository has no Containerfile of its own.
FROM {base}
{packages}COPY --chown=65532:65532 model /opt/model
USER 65532
WORKDIR /opt/model
"""

_PACKAGES = """\
# What requirements.txt pins, as the gates had it: nothing is downloaded or run here.
COPY model.packages /opt/model.packages
"""


def main(
    store: Annotated[str, typer.Option(help="file:// URI of the artifact store.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    image: Annotated[str, typer.Option(help="Name and tag the image will have.")],
    context: Annotated[Path, typer.Option(help="Folder to lay the build context into.")],
    base: Annotated[
        str,
        typer.Option(
            envvar="TOUCHSTONE_SERVE_IMAGE", help="The image that a model's is made from."
        ),
    ],
    result_image_url: Annotated[Path, typer.Option()],
    result_context: Annotated[Path, typer.Option(help="File for the context's digest.")],
    packages: Annotated[str, typer.Option(help="Digest of the model's packages, or empty.")] = "",
) -> None:
    """Lay out the build context, and store it; the next step of the Task builds it."""
    artifacts = open_store(store)
    shutil.rmtree(context, ignore_errors=True)  # a retry starts from nothing
    artifacts.get(source, context)
    if not (context / "Containerfile").exists():
        typer.echo("no Containerfile in the model repository: building the default one")
        # A Containerfile may copy a document; ours need not, and a changed one makes no new image.
        for path in [*context.rglob("*")]:
            if path.is_file() and is_document(path.relative_to(context).as_posix()):
                path.unlink()
        tree = context.rename(context.with_name("model"))
        context.mkdir()
        model = tree.rename(context / "model")
        layer = _PACKAGES if models.get_packages(artifacts, packages, packages_of(model)) else ""
        text = _CONTAINERFILE.format(base=base, packages=layer)
        (context / "Containerfile").write_text(text, encoding="utf-8")
    digest = artifacts.put(context)
    stage.write_result(result_image_url, image)
    stage.write_result(result_context, digest)
    typer.echo(f"context for {image} is {digest}")


if __name__ == "__main__":
    stage.run(main)
