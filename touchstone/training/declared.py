"""The base of what touchstone.yaml declares of training, and of what its parts hand on as JSON."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation
from pydantic.alias_generators import to_camel


class Declared(BaseModel):
    """Frozen and strict about its keys: camelCase in touchstone.yaml, names of fields in JSON."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )


def _fraction(value: Any) -> Any:
    """`8/255` as a number: budgets of images are written in steps of one grey level."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(\d+)", value)):
        if int(match[2]) == 0:
            raise ValueError("a fraction with a denominator other than 0")
        return float(match[1]) / int(match[2])
    return value


Fraction = Annotated[float, BeforeValidator(_fraction), Field(gt=0)]

Option = Annotated[SkipValidation[float | int | str], BeforeValidator(_fraction)]
"""An option of a method, which says itself what fits: no number becomes another one here."""
