"""Whose data do the figures rest on? The organisation's own samples, judged beside the author's.

The test split comes from `load_data`, which is code of the model's author: its labels may be random
and learned by heart. An organisation can name samples of its own; each gate that asks a model then
judges on them as well, by the same policy, and both must pass. The author's code never sees them
before the model is asked, and their labels not even then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field

from trust_gates.errors import PolicyError
from trust_gates.inputs import dataset
from trust_gates.inputs.dataset import Data
from trust_gates.inputs.description import Description
from trust_gates.metric import EVALUATION, on_evaluation
from trust_gates.policy import Strict
from trust_gates.samples import Boxes, Samples
from trust_gates.verdict import Check, Evidence

_AUTHORS = "the author's test split, from load_data of the judged commit"
_OWN = "the organisation's evaluation data"

Value = TypeVar("Value")


class Evaluation(Strict):
    """Samples of the organisation's own, on which every model is judged as well."""

    uri: Annotated[str, Field(pattern=r"^(file:///|https://[^/@]+/)\S+$")]
    """`file:///…` or `https://…`, without credentials: a CSV file, or a dataset folder with
    dataset.json and test.npz."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """Of the CSV file's bytes; of a folder, as the artifact store names it."""


def read(path: Path, description: Description) -> Samples:
    """The evaluation data at `path`, as a model sees them that learned from data so described.

    Classes, features and groups are put in the model's order, by name.

    Raises:
        PolicyError: the data are malformed, or do not fit the description; both are told.
    """
    try:
        found = dataset.read(path, description)
    except ValueError as error:
        raise PolicyError(f"the evaluation data cannot be read: {error}") from None
    samples, inputs = found.samples, description.inputs
    if samples.task != description.task:
        raise _unfit("task", samples.task, description.task)
    if unknown := sorted(set(samples.classes) - set(description.classes)):
        raise _unfit("classes", samples.classes, f"{list(description.classes)}; not {unknown}")
    order = _columns(found, tuple(inputs.get("features", ())))
    values = samples.inputs if order is None else samples.inputs[:, order]
    if values.shape[1:] != tuple(inputs["shape"]):
        raise _unfit("inputs of shape", values.shape[1:], tuple(inputs["shape"]))
    if values.dtype != description.dtype:
        if (whole := values.astype(description.dtype)).tolist() != values.tolist():
            raise _unfit("inputs of type", values.dtype, description.dtype)
        values = whole
    low, high = float(inputs["low"]), float(inputs["high"])
    # Written so that a NaN fails: every comparison with it is false.
    if not (len(values) and values.min() >= low and values.max() <= high):
        got = f"from {values.min()} to {values.max()}" if len(values) else "none"
        raise _unfit("inputs", got, f"some from {low:g} to {high:g}, as the model is sent them")
    for name, known in description.protected.items():
        seen = samples.groups.get(name, np.zeros(0, np.str_)).tolist()
        if other := sorted(set(seen) - set(known)):
            raise _unfit(f"values of {name}", other, list(known))
    # What the organisation declares counts as well, though the model's own data do not.
    protected = [n for n in samples.groups if n in {*description.protected, *samples.protected}]
    to = np.array([description.classes.index(name) for name in samples.classes], dtype=np.int64)
    objects = samples.objects
    if objects is not None:
        objects = [Boxes(boxes=one.boxes, labels=to[one.labels]) for one in objects]
    return Samples(
        inputs=np.ascontiguousarray(values),
        classes=description.classes,
        labels=None if samples.labels is None else to[samples.labels],
        objects=objects,
        targets=samples.targets,
        raw=samples.raw,
        groups={name: samples.groups[name] for name in protected},
        declared=tuple(name for name in protected if name in samples.protected),
    )


def told(authors: Evidence) -> Evidence:
    """Evidence that rests on the author's data alone, saying so."""
    return replace(
        authors,
        asked=[("judged on", _AUTHORS), *authors.asked],
        warnings=[
            *authors.warnings,
            "figures rest on the author's own test split, from load_data of the judged commit: the "
            "environments name no evaluation data of the organisation's own",
        ],
    )


def joined(authors: Evidence, organisations: Evidence, digest: str) -> Evidence:
    """What a gate found on both sets; what rests on the organisation's is named for it."""
    return replace(
        authors,
        checks=[*authors.checks, *map(_renamed, organisations.checks)],
        figures={
            **authors.figures,
            **{on_evaluation(n): v for n, v in organisations.figures.items()},
        },
        pictures={**authors.pictures, **_pictured(organisations.pictures)},
        captions={
            **authors.captions,
            **_pictured({n: f"On {_OWN}: {text}" for n, text in organisations.captions.items()}),
        },
        tables=[
            *authors.tables,
            *(replace(one, title=f"{one.title}, on {_OWN}") for one in organisations.tables),
        ],
        notes=[*authors.notes, *(f"{EVALUATION}: {note}" for note in organisations.notes)],
        asked=[
            ("judged on", f"{_AUTHORS}; [{EVALUATION}] on {_OWN}, {digest}"),
            *authors.asked,
            *(
                (f"{EVALUATION}: {what}", value)
                for what, value in organisations.asked
                if (what, value) not in authors.asked
            ),
        ],
        warnings=[
            *authors.warnings,
            *(
                f"{EVALUATION}: {one}"
                for one in organisations.warnings
                if one not in authors.warnings
            ),
        ],
    )


def _renamed(check: Check) -> Check:
    name = on_evaluation(check.name)
    return replace(check, name=name, reason=f"{name}{check.reason.removeprefix(check.name)}")


def _pictured(by_name: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{name}-{EVALUATION}": value for name, value in by_name.items()}


def _columns(found: Data, features: Sequence[str]) -> list[int] | None:
    """Which columns of the data are the model's features; None where either has no names."""
    if not features or not found.features:
        return None
    if sorted(found.features) != sorted(features):
        raise _unfit("features", list(found.features), list(features))
    return [found.features.index(name) for name in features]


def _unfit(what: str, got: Any, expected: Any) -> PolicyError:
    return PolicyError(
        f"the evaluation data do not fit the model: got {what} {got}, expected {expected}"
    )
