"""What the arrays of a dataset mean: dataset.json, beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trust_gates.named import Known
from trust_gates.samples import Task as Task

FILE = "dataset.json"

WORDS = "vocabulary"
"""The key of the inputs' description under which tokens have their names, by their index."""

DTYPES = ("float32", "int64")
"""What inputs can be; int64 are indices, such as those of tokens, which a network embeds."""

TARGETS: Mapping[str, tuple[str, ...]] = {
    "classification": ("labels",),
    "detection": ("boxes", "box_labels"),
    "regression": ("targets",),
}
"""The arrays that hold the truth, by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the arrays of a dataset mean; stored as dataset.json."""

    task: Task
    classes: tuple[str, ...]
    """Empty of a regression."""

    inputs: Mapping[str, Any]
    """`shape` of one sample, `low` and `high` of a value, `kind` (image, tabular or tokens),
    `dtype` (float32 where it is not said, or int64), `features`, `raw` (text or json: what the
    array of raw values holds), `vocabulary` (of tokens: a word for each index from 0 to `high`).

    Of feature rows also what an attacker cannot change: names of `immutable` and of `categorical`
    features, and `bounds` by name, [lowest, highest].
    """

    protected: Mapping[str, tuple[str, ...]]
    """Each protected attribute with its values; arrays hold indices into them."""

    seed: int

    def __post_init__(self) -> None:
        """Raise ValueError unless every name is one, and is there once."""
        inputs, kinds = dict(self.inputs), ("features", "immutable", "categorical", WORDS)
        inputs |= {
            kind: list(_names(f"inputs.{kind}", inputs[kind])) for kind in kinds if kind in inputs
        }
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "classes", _names("classes", self.classes))
        protected = {
            name: _names(f"protected.{name}", values)
            for name, values in zip(
                _names("protected", self.protected), self.protected.values(), strict=True
            )
        }
        object.__setattr__(self, "protected", protected)

    @classmethod
    def read(cls, folder: Path) -> Description:
        """dataset.json of a folder.

        Raises:
            ValueError: it is absent, broken, or a key is missing.
        """
        path = folder / FILE
        try:
            description = cls.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ValueError(
                f"{path} is absent; expected a dataset folder as preprocess writes it"
            ) from None
        except KeyError as error:
            raise ValueError(
                f"{path}: key {error} is missing; expected task, classes, inputs, protected, seed"
            ) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}: {error}; expected a JSON object as preprocess writes it"
            ) from None
        if description.task not in TARGETS:
            raise ValueError(
                f"{path}: got task {description.task!r}, expected {' or '.join(TARGETS)}"
            )
        return description

    @classmethod
    def of(cls, document: Any) -> Description:
        """The inverse of `to_json`. Raises KeyError, ValueError, TypeError or AttributeError."""
        return cls(
            task=document["task"],
            classes=tuple(document["classes"]),
            inputs=dict(document["inputs"]),
            protected={name: tuple(values) for name, values in document["protected"].items()},
            seed=int(document["seed"]),
        )

    @property
    def dtype(self) -> str:
        """One of `DTYPES`."""
        return str(self.inputs.get("dtype", DTYPES[0]))

    @property
    def known(self) -> Known:
        """The names that a policy can mean."""
        return Known(
            classes=self.classes,
            task=self.task,
            groups=self.protected,
            features=self.inputs.get("features", ()),
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON document stored beside the arrays."""
        return {
            "task": self.task,
            "classes": list(self.classes),
            "inputs": dict(self.inputs),
            "protected": {name: list(values) for name, values in self.protected.items()},
            "seed": self.seed,
        }


def _names(what: str, given: Iterable[Any]) -> tuple[str, ...]:
    """The names as text: a whole number is the text of its digits, as a policy types it.

    Raises:
        ValueError: one is no name, or stands there twice.
    """
    names = tuple(given)
    for name in names:
        if isinstance(name, bool | np.bool_) or not isinstance(name, str | int | np.integer):
            raise ValueError(f"got {name!r} in {what}, expected names as text")
    found = tuple(str(name) for name in names)
    if twice := sorted(name for name, count in Counter(found).items() if count > 1):
        raise ValueError(f"got {twice} twice in {what}, expected each name once")
    return found
