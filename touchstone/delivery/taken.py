"""Which inputs does a request mean? Rows by name, raw values, or what the network sees itself.

Raw values are rows of a table whose columns the model declares, or what its own code encodes, such
as texts. Types and names tell which form a request has: nothing is tried until it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.delivery.declared import NAME, Declared, fitting
from touchstone.delivery.wire import WORDS, Instances, Tensor, Tensors, brief, parsed
from trust_gates.inputs.arrays import RAW
from trust_gates.inputs.table import Column, Columns

if TYPE_CHECKING:
    from touchstone.training.mitigation.served import Source

MOST = 100_000
"""Inputs of a request."""

Groups = Mapping[str, Sequence[str]]
"""The value of a protected attribute for each input, by the attribute's name."""

Encode = Callable[[Sequence[Any]], np.ndarray]
"""Raw values, as clients have them, to inputs. Raises ValueError for one that it does not know."""


_NUMBER = frozenset({int, float, type(None)})
_CATEGORY = _NUMBER | {str, bool}
"""What JSON has for a value of a column. The text of a number is none: who sends it meant words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The forms in which a model takes inputs."""

    declared: Declared
    columns: Mapping[str, Column]
    """Of a table, by name; empty where the model has none."""

    encode: Encode | None
    json: bool
    """Whether its own `encode` is given any JSON, else texts."""

    asks: Source | None
    """The fairness rule's protected attribute, where requests must tell it."""

    @classmethod
    def of(
        cls, inputs: Mapping[str, Any], encode: Encode | None = None, asks: Source | None = None
    ) -> Taken:
        """By the `inputs` of a model.json."""
        columns = Columns.of(inputs)
        return cls(
            declared=Declared.of(inputs),
            columns={one.name: one for one in columns.columns} if columns else {},
            encode=encode,
            json=inputs.get(RAW) == "json",
            asks=asks,
        )

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
            _few_enough(len(asked.values))
            inputs, groups = self._of_instances(asked)
        else:
            for tensor in asked.inputs.values():
                _few_enough(*tensor.shape[:1])
            inputs, groups = self._of_tensors(asked)
        for name, values in groups.items():
            # A group may be called None or True: nothing and a truth are neither.
            for number, one in enumerate(values):
                if type(one) not in (str, int, float):
                    raise ValueError(f"got {brief(one)} as {name} at [{number}], expected a word")
        return inputs, groups

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
        if kinds <= {list}:
            return self.declared.listed(values), groups
        if self._own and list not in kinds and (self.json or kinds == {str}):
            return self._encoded(values), groups
        if kinds == {dict} and (self.columns or self.declared.features):
            return self._of_rows(values, groups)
        other = next((i for i, one in enumerate(values) if type(one) is not type(values[0])), 0)
        got = f"got {brief(values[other])} at [{other}], expected "
        if other and not kinds <= {int, float}:
            got += f"all instances of one kind, and {brief(values[0])} is the first: "
        raise ValueError(got + self._forms)

    def _of_tensors(self, asked: Tensors) -> tuple[np.ndarray, Groups]:
        inputs = dict(asked.inputs)
        names = self.columns or self.declared.features
        groups: Groups = {}
        if self.needs and self.needs not in names and self.needs in inputs:
            groups = {self.needs: _words(inputs.pop(self.needs))}
        if set(inputs) == {NAME} and NAME not in names:
            tensor = inputs[NAME]
            if tensor.datatype == WORDS and self._own:
                words = _column(tensor, len(tensor.values))
                if None in words:
                    raise ValueError(f"got null at [{words.index(None)}], expected {self._forms}")
                return self._encoded([parsed(o) for o in words] if self.json else words), groups
            return self.declared.tensor(tensor), groups
        other = [name for name in inputs if name not in names]
        if other or not inputs:
            got = ", ".join(brief(name) for name in other[:6]) or "none"
            raise ValueError(
                f"got {len(inputs)} input tensors, of them {got}, expected {self._forms}"
            )
        count = next((tensor.shape[0] for tensor in inputs.values() if tensor.shape), 0)
        columns = {name: _column(tensor, count) for name, tensor in inputs.items()}
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        if not rows:
            raise ValueError("got tensors of no value, expected one for each input")
        return self._of_rows(rows, groups)

    def _of_rows(self, rows: list[dict[str, Any]], groups: Groups) -> tuple[np.ndarray, Groups]:
        """Mappings, each an input; a column may also be what the fairness rule asks for."""
        if self.needs and not groups and all(self.needs in row for row in rows):
            groups = {self.needs: [row[self.needs] for row in rows]}
            if self.needs not in self.columns:
                rows = [{n: one for n, one in row.items() if n != self.needs} for row in rows]
        if not self.columns:
            return self.declared.rows(rows), groups
        for number, row in enumerate(rows, 1):
            for name, value in row.items():
                column = self.columns.get(name)
                if column is None:
                    raise ValueError(
                        f"row {number}: got the column {brief(name)}, expected {self._forms}"
                    )
                if type(value) not in (_NUMBER if column.kind == "number" else _CATEGORY):
                    raise ValueError(
                        f"row {number}: {name}: got {brief(value)}, expected {column.expected}"
                    )
        return self._encoded(rows), groups

    def _encoded(self, values: Sequence[Any]) -> np.ndarray:
        assert self.encode is not None  # noqa: S101 (only asked so)
        if not values:
            raise ValueError("got no input, expected at least one")
        return self.encode(values)

    @property
    def _own(self) -> bool:
        """Whether the model's own code encodes."""
        return self.encode is not None and not self.columns

    @property
    def _forms(self) -> str:
        """What a request's inputs may be, in words."""
        names = list(self.columns or self.declared.features)
        shape = f"{NAME!r}, {self.declared.datatype} {list(self.declared.shape)} each"
        if names:
            shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
            return f"values named {shown}; or {shape}"
        return f"texts or {shape}" if self._own else shape


def _few_enough(count: int = 0) -> None:
    if count > MOST:
        raise ValueError(f"got {count} inputs, expected at most {MOST} in a request: send parts")


def _words_of(name: str, **parameters: Any) -> dict[str, Any]:
    """A tensor of words in V2 metadata."""
    return {"name": name, "datatype": WORDS, "shape": [-1], "parameters": parameters}


def _described(column: Column) -> dict[str, Any]:
    """A column of a table as a tensor of V2 metadata."""
    told = column.to_json()
    name, kind = told.pop("name"), told.pop("kind")
    datatype = "FP64" if kind == "number" else WORDS
    return {"name": name, "datatype": datatype, "shape": [-1], "parameters": told}


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
