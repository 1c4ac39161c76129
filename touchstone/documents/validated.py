"""A document held against its model: the model, or every problem with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from touchstone.documents.yaml import Document
from touchstone.errors import ManifestError
from trust_gates import wording
from trust_gates.named import as_typed

Model = TypeVar("Model", bound=BaseModel)


def validated(document: Document, model: type[Model], *, hint: str = "") -> Model:
    """The document as `model`; a name in it is the text that was typed.

    Raises:
        ManifestError: it does not fit; every problem with its place, the first one's as location.
    """
    try:
        return model.model_validate(as_typed(model, document.body, document.text))
    except ValidationError as error:
        raise refused(error, document.location, model, hint=hint) from None


def refused(
    error: ValidationError,
    place: Callable[[wording.Path], str],
    model: type[BaseModel],
    *,
    hint: str = "",
) -> ManifestError:
    """The error that tells every problem; `place` says where a field of the model stands."""
    (first, text), *rest = wording.problems(error, place, model)
    more = [f"{where}: {what}" for where, what in rest]
    return ManifestError("\n".join([text, *more]), location=first, hint=hint)
