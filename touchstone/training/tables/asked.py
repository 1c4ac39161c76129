"""What does touchstone.yaml say of the data: what `load_data` is given, or which table they are?"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from trust_gates.named import Name
from trust_gates.policy import Range, Strict

ADDRESSES = ("https", "s3")
"""Schemes of what is fetched over a network."""

BUILT_IN = "touchstone.training.tabular"
"""The entrypoint of a model repository without one: a small network for the rows of a table."""


class Data(Strict):
    """The data of a model repository."""

    uri: str
    """What the model's `load_data` is given: `generate`, file://, s3:// or https://.
    With `label`, a CSV or Parquet file: a path in the repository, file:///, https:// or s3://."""
    seed: int = Field(default=0, ge=0)
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """What the loaded data must be, as fetch-data prints it; empty accepts what is there. With
    `label`, of the file's bytes: needed of what is not in the repository."""
    label: Name = ""
    """The column to tell; the data then are a table, which `load_data` need not load."""
    task: Literal["classification", "regression"] | None = None
    """By default regression where the label is a number with a fraction or with more than 20
    values."""
    protected: tuple[Name, ...] = ()
    """Columns of groups that must be treated alike. They are features as well unless ignored."""
    ignore: tuple[Name, ...] = ()
    """Columns that are no features, such as a row's number."""
    missing: tuple[Name, ...] = ()
    """Words that mean that a value is missing, such as `?` or NA; an empty field always does."""
    categories: tuple[Name, ...] = ()
    """Columns of numbers that are names, such as codes."""
    ranges: dict[Name, Range] = Field(default_factory=dict)
    """What a column's numbers can be, [low, high]; else the range of those in the table. The model
    is asked for no others."""

    @model_validator(mode="after")
    def _whole(self) -> Data:
        if not self.label:
            of_tables = set(type(self).model_fields) - {"uri", "seed", "digest"}
            if said := sorted(name for name in of_tables if getattr(self, name)):
                raise ValueError(
                    f"got {', '.join(said)} without a label, expected label: the column that the"
                    " model is to tell"
                )
            return self
        check_place(self.uri)
        if not self.digest and not is_inside(self.uri):
            raise ValueError(lacks_digest(self.uri))
        for one in ("protected", "ignore", "missing", "categories"):
            names = getattr(self, one)
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"got {', '.join(twice)} in {one} twice, expected each name once")
        others = {*self.ignore, *self.categories, *self.protected, *self.ranges}
        if self.label in others:
            raise ValueError(
                f"got the label {self.label!r} among the other columns as well, expected a column"
                " that is nothing else"
            )
        if both := sorted({*self.ranges} & {*self.categories, *self.ignore}):
            raise ValueError(
                f"got ranges of {', '.join(both)}, which are ignored or categories; expected them"
                " of features that are numbers"
            )
        return self

    @property
    def is_table(self) -> bool:
        """Whether the data are a table, loaded without code."""
        return bool(self.label)


def is_inside(uri: str) -> bool:
    """Whether a table lies in the repository itself."""
    return not urlsplit(uri).scheme


def check_place(uri: str) -> None:
    """Raise ValueError unless a table could be there."""
    parts = urlsplit(uri)
    if not parts.scheme:
        path = parts.path
        if parts.netloc or parts.query or path.startswith("/") or ".." in path.split("/"):
            raise ValueError(
                f"got the uri {uri!r}, expected a path inside of the repository, or file:///… of a"
                " folder that `touchstone up --data` shows"
            )
        if not re.search(r"\.(csv|parquet)$", path, re.IGNORECASE):
            raise ValueError(f"got the uri {uri!r}, expected a file named .csv or .parquet")
    elif parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(f"got the uri {uri!r}, expected file:///an/absolute/path")
    elif parts.scheme not in ADDRESSES or not parts.hostname or not parts.path.strip("/"):
        raise ValueError(
            f"got the uri {uri!r}, expected a path in the repository, file:///…,"
            " https://host/path or s3://bucket/key"
        )
    elif "@" in parts.netloc:
        raise ValueError("got a uri with a password, expected one without: it would be in each log")


def lacks_digest(uri: str) -> str:
    """What to say where a table outside of the repository has no digest."""
    file = urlsplit(uri).path if urlsplit(uri).scheme == "file" else "FILE"
    got = f"curl -fLo {file} '{uri}'; " if urlsplit(uri).scheme == "https" else ""
    return (
        f"got no digest for {uri}, which is not in the repository and may change; expected digest:"
        f" sha256:… of the file's bytes, as `{got}sha256sum {file}` prints it"
    )
