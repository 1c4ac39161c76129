"""Methods by name with their options, as touchstone.yaml declares them: what fits, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, SkipValidation, model_validator
from pydantic.json_schema import JsonSchemaValue

from trust_gates.policy import Strict, fraction
from trust_gates.wording import alike

Value = float | int | str

Option = Annotated[SkipValidation[Value], BeforeValidator(fraction)]
"""An option of a method, which says itself what fits: no number becomes another one here."""

Norm = Literal["linf", "l2"]
"""In what training measures an attacker's budget."""

NORMS: tuple[Norm, ...] = get_args(Norm)


@dataclass(frozen=True, slots=True)
class Method:
    """One published method."""

    stage: str
    """Where it takes hold."""

    source: str
    """The paper."""

    options: Mapping[str, Value] = field(default_factory=dict)
    """With their defaults; given ones must be of the same kind."""

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What an option in words may be."""

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest of an option in numbers; 0 to a million without an entry."""

    def misfit(self, name: str, value: Any) -> str:
        """What the option should have been; empty where it fits."""
        if name in self.choices:
            choices = self.choices[name]
            return "" if value in choices else f"one of {', '.join(choices)}"
        whole = isinstance(self.options[name], int)
        low, high = self.ranges.get(name, (0, 1e6))
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if number and low <= float(value) <= high:
            return ""
        return f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"


class Chosen(Strict):
    """One of the methods in `KNOWN`, with options that fit it."""

    KNOWN: ClassVar[Mapping[str, Method]]

    method: str
    options: dict[str, Option] = Field(default_factory=dict)

    @property
    def stage(self) -> str:
        """Where it takes hold."""
        return self.KNOWN[self.method].stage

    def option(self, name: str) -> Any:
        """The option as given, or its default."""
        return self.options.get(name, self.KNOWN[self.method].options[name])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.method not in self.KNOWN:
            raise ValueError(
                f"got the method {self.method!r}, expected one of {', '.join(self.KNOWN)}"
                f"{alike(self.method, self.KNOWN)}"
            )
        method = self.KNOWN[self.method]
        for name, value in self.options.items():
            if name not in method.options:
                raise ValueError(
                    f"got the option {name!r} of {self.method}, "
                    f"expected some of {sorted(method.options) or 'none'}"
                    f"{alike(name, method.options)}"
                )
            if expected := method.misfit(name, value):
                raise ValueError(f"got {name}={value!r}, expected {expected}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """With every method's name: an editor can then offer them."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        schema["properties"]["method"]["enum"] = list(cls.KNOWN)
        return schema
