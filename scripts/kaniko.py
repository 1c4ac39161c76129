"""Stands for /kaniko/executor where the embedded engine has no container to run it in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands import stage
from touchstone.driver import kaniko
from touchstone.errors import UsageError


def main(
    context: Annotated[str, typer.Option(help="dir:// URI of the build context.")],
    destination: Annotated[str, typer.Option(help="Name and tag of the image.")],
    digest_file: Annotated[Path, typer.Option(help="Where to write the image's digest.")],
    dockerfile: Annotated[str, typer.Option(help="Path within the context.")] = "Dockerfile",
    reproducible: Annotated[bool, typer.Option(help="Always so here.")] = False,
    oci_layout_path: Annotated[
        Path | None, typer.Option(help="Where the layout goes; else beside the context.")
    ] = None,
) -> None:
    """Build a reproducible OCI layout of the context."""
    if not context.startswith("dir://"):
        raise UsageError(f"got --context={context}, expected dir:///an/absolute/folder")
    folder = Path(context.removeprefix("dir://"))
    layout = oci_layout_path or folder.with_name("image")
    image = kaniko.build(folder, containerfile=dockerfile, destination=destination, layout=layout)
    stage.write_result(digest_file, image.digest)
    typer.echo(f"{destination}@{image.digest} as an OCI layout of the context in {image.layout}")


if __name__ == "__main__":
    stage.run(main)
