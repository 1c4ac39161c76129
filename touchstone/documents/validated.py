"""A document held against its model: the model, or every problem with its place."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from touchstone.documents.yaml import Document
from touchstone.errors import ManifestError
from trust_gates import wording

Model = TypeVar("Model", bound=BaseModel)


def validated(document: Document, model: type[Model], *, hint: str = "") -> Model:
    """The document as `model`.

    Raises:
        ManifestError: it does not fit; every problem with its place, the first one's as location.
    """
    try:
        return model.model_validate(document.body)
    except ValidationError as error:
        problems = wording.problems(error, document.location)
    (place, text), *rest = problems
    raise ManifestError(
        "\n".join([text, *(f"{place}: {text}" for place, text in rest)]), location=place, hint=hint
    )
