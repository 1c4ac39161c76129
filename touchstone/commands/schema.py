"""`schema`: what may stand in a file that people write, as a JSON Schema for editors and checks."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from trust_gates import __main__ as outside


class Document(StrEnum):
    """What there is a JSON Schema of."""

    MODEL = "touchstone.yaml"
    ENVIRONMENT = "environment.yaml"
    GATES = outside.Document.GATES.value
    VERDICT = outside.Document.VERDICT.value


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(schema)


def schema(
    of: Annotated[Document, typer.Argument(help="The document.")] = Document.MODEL,
) -> None:
    """Print the JSON Schema of touchstone.yaml, environment.yaml, a gates file or a verdict.

    Example: touchstone schema > touchstone.schema.json
    """
    if of is Document.MODEL:
        from touchstone.contract.model_repo import ModelPipeline

        typer.echo(json.dumps(ModelPipeline.model_json_schema(), indent=2))
    elif of is Document.ENVIRONMENT:
        from touchstone.delivery.environment import EnvironmentPolicy

        typer.echo(json.dumps(EnvironmentPolicy.model_json_schema(), indent=2))
    else:
        outside.schema(outside.Document(of.value))
