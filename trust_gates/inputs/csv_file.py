"""A CSV file with a header, every value as it was typed, and what its columns tell of samples."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.arrays import GROUP
from trust_gates.named import number

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
_TRUTHS = {
    **dict.fromkeys(("True", "true", "TRUE"), "1"),
    **dict.fromkeys(("False", "false", "FALSE"), "0"),
}
_MOST_GROUPS = 64
"""A column with more different values than this is no group of people."""


def read(path: Path, needed: Collection[str]) -> pd.DataFrame:
    """A CSV file whose header has the `needed` names.

    Raises:
        ValueError: it is no CSV, two columns have one name, it has no rows, or not those columns.
    """
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            frame = pd.read_csv(path, header=None, dtype=str, na_filter=False, index_col=False)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:  # parser errors are ValueErrors
        raise ValueError(f"{path}: {error}; expected a CSV file with a header") from None
    header, frame = [str(name) for name in frame.iloc[0]], frame.iloc[1:]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"{path}: got several columns named {twice}, expected each name once")
    frame.columns = pd.Index(header)
    if absent := sorted(set(needed) - set(header)):
        listed = ", ".join(map(repr, absent))
        raise ValueError(f"{path}: got the columns {header}, expected one named {listed}")
    if not len(frame):
        raise ValueError(f"{path}: got a header without rows, expected at least one sample")
    return frame


def complete(path: Path) -> pd.DataFrame:
    """A CSV file with a column `label` and without gaps.

    None, NA and null are values like others; only an empty field is missing.

    Raises:
        ValueError: as `read`, or a value is missing.
    """
    frame = read(path, {LABEL})
    if gaps := [name for name in frame.columns if (frame[name] == "").any()]:
        row = int((frame[gaps[0]] == "").to_numpy().argmax()) + 2
        raise ValueError(
            f"{path}:{row}: the value of {gaps[0]!r} is missing, expected no empty field"
        )
    return frame


def groups_of(path: Path, frame: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
    """Every column that could be a protected attribute, by its name without `protected_`.

    Raises:
        ValueError: two columns of one name divide the samples in two ways.
    """
    found = {
        str(name): frame[name].to_numpy(dtype=np.str_)
        for name in frame.columns
        if name != LABEL and (str(name).startswith(GROUP) or frame[name].nunique() <= _MOST_GROUPS)
    }
    groups = {}
    for name, values in found.items():
        attribute = name.removeprefix(GROUP)
        declared = GROUP + attribute
        if name != declared and declared in found:
            if not _divide_alike(values, found[declared]):
                raise ValueError(
                    f"{path}: got the columns {name!r} and {declared!r}, which could both be the "
                    f"attribute {attribute!r} and divide the samples differently; rename one"
                )
            continue  # the feature that stands for the attribute, in codes
        groups[attribute] = values
    return groups


def _divide_alike(one: NDArray[np.str_], other: NDArray[np.str_]) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def declared_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """Names of the attributes that a CSV's columns declare as protected."""
    return tuple(
        str(name).removeprefix(GROUP) for name in frame.columns if str(name).startswith(GROUP)
    )


def targets_of(path: Path, frame: pd.DataFrame, name: str = LABEL) -> NDArray[np.float64]:
    """A column of finite numbers.

    Raises:
        ValueError: one of its values is none.
    """
    found = np.array([number(text) for text in frame[name]], dtype=np.float64)
    if len(wrong := np.flatnonzero(np.isnan(found))):
        row = int(wrong[0])
        raise ValueError(
            f"{path}:{row + 2}: got {frame[name].iloc[row]!r} as the {name}, expected a finite "
            "number: the policy has figures of a regression"
        )
    return found


def features_of(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of features as finite numbers; True and False are 1 and 0.

    Raises:
        ValueError: there is none, or one of its values is no number.
    """
    import pandas as pd

    features = frame.drop(
        columns=[name for name in frame.columns if name == LABEL or str(name).startswith(GROUP)]
    )
    found = features.replace(_TRUTHS).apply(pd.to_numeric, errors="coerce")
    wrong = [name for name in features.columns if not np.isfinite(found[name]).all()]
    if wrong or not len(features.columns):
        seen = ""
        if wrong:
            row = int((~np.isfinite(found[wrong[0]])).to_numpy().argmax())
            seen = f" ({wrong[0]!r} is {features[wrong[0]].iloc[row]!r} in row {row + 2})"
        raise ValueError(
            f"{path}: got columns that are no numbers {wrong}{seen}, expected numeric features; "
            f"name a column of groups {GROUP}<name>, and encode other words as numbers"
        )
    return found
