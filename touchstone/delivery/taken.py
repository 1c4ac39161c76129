"""Which inputs does a request mean? Rows by name, raw values, or what the network sees itself.

Raw values are rows of a table whose columns the model declares, or what its own code encodes, such
as texts. Names alone tell which form a request has: nothing is tried until it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.delivery.declared import NAME, Declared, fitting
from touchstone.delivery.wire import WORDS, Instances, Tensor, Tensors, brief

if TYPE_CHECKING:
    from touchstone.training.mitigation.served import Source

Groups = Mapping[str, Sequence[str]]
"""The value of a protected attribute for each input, by the attribute's name."""

Encode = Callable[[Sequence[Any]], np.ndarray]
"""Raw values, as clients have them, to inputs. Raises ValueError for one that it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The forms in which a model takes inputs."""

    declared: Declared
    columns: Mapping[str, Mapping[str, Any]]
    """Of a table, by name; empty where the model has none."""

    encode: Encode | None
    asks: Source | None
    """The fairness rule's protected attribute, where requests must tell it."""

    @classmethod
    def of(
        cls, inputs: Mapping[str, Any], encode: Encode | None = None, asks: Source | None = None
    ) -> Taken:
        """By the `inputs` of a model.json."""
        columns = {str(column["name"]): column for column in inputs.get("columns", ())}
        return cls(declared=Declared.of(inputs), columns=columns, encode=encode, asks=asks)

    @property
    def needs(self) -> str:
        """The protected attribute that a request must give; empty for none."""
        return self.asks.protected if self.asks else ""

    def read(self, asked: Instances | Tensors) -> tuple[np.ndarray, Groups]:
        """The inputs (N, *shape) of a request, and what it says of the protected attribute.

        Raises:
            ValueError: they are not what the model declares, or raw values that it does not know.
            TypeError: the model's own code encodes them as something else than inputs.
        """
        if isinstance(asked, Instances):
            return self._of_instances(asked)
        return self._of_tensors(asked)

    def described(self) -> list[dict[str, Any]]:
        """The tensors of V2 metadata; `parameters` tell what clients need beside the protocol."""
        own = self.declared.described()
        if self.columns:
            found = [_described(column) for column in self.columns.values()]
        elif self.encode is not None:
            found = [
                {"name": NAME, "datatype": WORDS, "shape": [-1], "parameters": {"encoded": own}}
            ]
        else:
            found = [own]
        if self.asks and self.needs not in self.columns:
            found.append(_words_of(self.needs, values=list(self.asks.values)))
        return found

    def _of_instances(self, asked: Instances) -> tuple[np.ndarray, Groups]:
        values, groups = asked.values, {}
        given = asked.beside.get(self.needs) if self.needs else None
        if given is not None:
            if not isinstance(given, list):
                raise ValueError(
                    f"got {self.needs} {brief(given)}, expected a list with a value for each "
                    "instance"
                )
            groups = {self.needs: given}
        kinds = set(map(type, values))
        if kinds == {dict}:
            return self._of_rows(values, groups)
        if kinds == {str} and self.encode is not None and not self.columns:
            return self._encoded(values), groups
        if len(kinds) > 1:
            other = next(i for i, one in enumerate(values) if type(one) is not type(values[0]))
            raise ValueError(
                f"got {brief(values[other])} at [{other}], expected all instances of one kind; "
                f"the one at [0] is {brief(values[0])}"
            )
        if kinds == {str}:
            raise ValueError(f"got {brief(values[0])} at [0], expected {self._forms}")
        return self.declared.listed(values), groups

    def _of_tensors(self, asked: Tensors) -> tuple[np.ndarray, Groups]:
        inputs = dict(asked.inputs)
        names = self.columns or self.declared.features
        groups: Groups = {}
        if self.needs and self.needs not in names and self.needs in inputs:
            groups = {self.needs: _words(inputs.pop(self.needs))}
        if set(inputs) == {NAME} and NAME not in names:
            tensor = inputs[NAME]
            if tensor.datatype == WORDS and self.encode is not None and not self.columns:
                return self._encoded(_column(tensor, len(tensor.values))), groups
            return self.declared.tensor(tensor), groups
        other = [name for name in inputs if name not in names]
        if other or not inputs:
            got = ", ".join(brief(name) for name in other[:6]) or "none"
            raise ValueError(
                f"got {len(inputs)} input tensors, of them {got}, expected {self._forms}"
            )
        count = next(iter(inputs.values())).shape[:1]
        columns = {name: _column(tensor, *count) for name, tensor in inputs.items()}
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        if not rows:
            raise ValueError("got tensors of no row, expected at least one")
        return self._of_rows(rows, groups)

    def _of_rows(self, rows: list[dict[str, Any]], groups: Groups) -> tuple[np.ndarray, Groups]:
        """Mappings, each an input; a column may also be what the fairness rule asks for."""
        if self.needs and not groups and all(self.needs in row for row in rows):
            groups = {self.needs: [row[self.needs] for row in rows]}
            if self.needs not in self.columns:
                rows = [
                    {name: one for name, one in row.items() if name != self.needs} for row in rows
                ]
        return (self.declared.rows(rows) if self.encode is None else self._encoded(rows)), groups

    def _encoded(self, values: Sequence[Any]) -> np.ndarray:
        assert self.encode is not None  # noqa: S101 (only asked so)
        encoded = self.encode(values)
        if len(encoded) != len(values):
            raise TypeError(f"got {len(encoded)} inputs of {len(values)} raw values")
        return self.declared.checked(encoded)

    @property
    def _forms(self) -> str:
        """What a request's inputs may be, in words."""
        names = list(self.columns or self.declared.features)
        if names:
            shown = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
            return f"{NAME!r} alone, or values named {shown}"
        return f"one tensor named {NAME!r}, as the model's metadata says"


def _words_of(name: str, **parameters: Any) -> dict[str, Any]:
    """A tensor of words in V2 metadata."""
    return {"name": name, "datatype": WORDS, "shape": [-1], "parameters": parameters}


def _described(column: Mapping[str, Any]) -> dict[str, Any]:
    """A column of a table as a tensor of V2 metadata."""
    number = column["kind"] == "number"
    told = ("low", "high", "missing") if number else ("values", "missing")
    return {
        "name": column["name"],
        "datatype": "FP64" if number else WORDS,
        "shape": [-1],
        "parameters": {name: column[name] for name in told if name in column},
    }


def _column(tensor: Tensor, count: int) -> list[Any]:
    """The values of a tensor that holds one for each input."""
    if tensor.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"tensor {brief(tensor.name)}: got shape {list(tensor.shape)}, expected [{count}]: a "
            "value for each input, as many as of the others"
        )
    return _words(tensor) if tensor.datatype == WORDS else fitting(tensor)


def _words(tensor: Tensor) -> list[str]:
    """The values of a BYTES tensor."""
    if tensor.datatype != WORDS:
        raise ValueError(f"got {tensor.name} of datatype {tensor.datatype}, expected {WORDS}")
    for one in tensor.values:
        if one is not None and not isinstance(one, str):
            raise ValueError(f"tensor {brief(tensor.name)}: got {brief(one)}, expected words")
    return tensor.values
