"""`schema`: what may stand in a touchstone.yaml, as a JSON Schema for editors and checks."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from trust_gates import __main__ as outside


class Document(StrEnum):
    """What there is a JSON Schema of."""

    MODEL = "touchstone.yaml"
    GATES = outside.Document.GATES.value
    VERDICT = outside.Document.VERDICT.value


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(schema)


def schema(
    of: Annotated[Document, typer.Argument(help="The document.")] = Document.MODEL,
) -> None:
    """Print the JSON Schema of touchstone.yaml, of a file with only its gates, or of a verdict.

    Example: touchstone schema > touchstone.schema.json
    """
    if of is not Document.MODEL:
        outside.schema(outside.Document(of.value))
        return
    from touchstone.contract.model_repo import ModelPipeline

    typer.echo(json.dumps(ModelPipeline.model_json_schema(), indent=2))
