"""What is wrong with a document, who refuses it, and the cursor that says where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from touchstone.documents.yaml import Document, FieldPath
from touchstone.errors import ManifestError

By = Literal["tekton", "embedded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    location: str
    """`file:line:column`, lines and columns from 1."""

    message: str
    """The field, what was got and what was expected."""

    refused_by: By
    """`tekton`: the admission webhook refuses it; `embedded`: only the embedded engine does."""

    hint: str = ""

    runs_here: bool = False
    """Whether a run goes on all the same: Tekton alone needs what is missing."""

    @classmethod
    def of(cls, error: ManifestError, refused_by: By, *, runs_here: bool = False) -> Problem:
        """The problem that an error tells."""
        return cls(
            location=error.location,
            message=str(error).removeprefix(f"{error.location}: "),
            refused_by=refused_by,
            hint=error.hint,
            runs_here=runs_here,
        )

    def error(self) -> ManifestError:
        """The error that tells the problem."""
        return ManifestError(self.message, location=self.location, hint=self.hint)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a document: its value, where it stands, and the list its problems go to."""

    document: Document
    problems: list[Problem]
    value: Any
    path: FieldPath = ()

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field inside this one; to Kubernetes one that is null is not there."""
        found = self.value.get(name) if isinstance(self.value, Mapping) else None
        return default if found is None else found

    def at(self, *inner: str | int) -> Field:
        """The field inside this one; its value is None where there is none."""
        value = self.value
        for part in inner:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                value = None
        return replace(self, value=value, path=(*self.path, *inner))

    def each(self, name: str) -> Iterator[Field]:
        """The objects of a list inside this field; none where there is no list."""
        items = self.get(name)
        for index, item in enumerate(items if isinstance(items, list) else []):
            if isinstance(item, Mapping):
                yield replace(self, value=item, path=(*self.path, name, index))

    def names(self, name: str) -> list[str]:
        """The names of the objects of a list inside this field."""
        return [str(item.get("name", "")) for item in self.each(name)]

    def refuse(
        self,
        problem: str,
        *inner: str | int,
        hint: str = "",
        by: By = "tekton",
        runs_here: bool = False,
    ) -> None:
        """Note what is wrong with this field, or with the one at `inner` inside it."""
        error = self.document.error(problem, (*self.path, *inner), hint=hint)
        self.problems.append(Problem.of(error, by, runs_here=runs_here))
