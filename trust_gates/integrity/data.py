"""Is the data what it should be: its schema, its groups, and a test split nobody learned from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.description import DTYPES
from trust_gates.integrity import chance, tokens
from trust_gates.integrity.findings import Finding
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, exact
from trust_gates.written import number

TEST = "test"
_SIDE = 16
_SAME = 0.999
"""Correlation of two images' fingerprints from which on one is a copy of the other: re-encoded,
brightened or with faint noise."""

_STEPS = 1000
"""Rows are near when they are equal in steps of this part of each column's range."""

_ROUNDING = 128 * float(np.finfo(np.float32).eps)
_CHUNK = 512


def schema(splits: Mapping[str, Samples], low: float, high: float) -> Finding:
    """Values that are not finite or out of range, other types, shapes that differ, odd labels."""
    wrong = []
    if len(types := {str(samples.inputs.dtype) for samples in splits.values()}) > 1:
        wrong.append(f"samples of the types {sorted(types)}, expected one")
    shapes = {samples.inputs.shape[1:] for samples in splits.values()}
    if len(shapes) > 1:
        wrong.append(f"samples of the shapes {sorted(shapes)}, expected one")
    for name, samples in splits.items():
        inputs = samples.inputs
        if inputs.dtype not in DTYPES:
            wrong.append(f"{name} is {inputs.dtype}, expected {' or '.join(DTYPES)}")
        bad = int(np.count_nonzero(~np.isfinite(inputs)))
        if bad:
            wrong.append(f"{name} has {bad} values that are not finite")
        outside = int(np.count_nonzero((inputs < low) | (inputs > high)))
        if outside:
            wrong.append(
                f"{name} has {outside} values outside [{number(low, 6)}, {number(high, 6)}]"
            )
        if samples.targets is not None:
            wild = int(np.count_nonzero(~np.isfinite(samples.targets)))
            wrong += [f"{name} has {wild} targets that are not finite"] * bool(wild)
        labels = _labels(samples)
        odd = int(np.count_nonzero((labels < 0) | (labels >= len(samples.classes))))
        if odd:
            wrong.append(f"{name} has {odd} labels that name no class")
    total = sum(len(samples) for samples in splits.values())
    return Finding("schema_violations", wrong, total, good=f"{total} samples fit the schema")


def empty_groups(splits: Mapping[str, Samples], declared: Mapping[str, Sequence[str]]) -> Finding:
    """Classes and declared values of protected attributes that a split has no sample of."""
    empty, examined = [], 0
    for name, samples in splits.items():
        counts = np.bincount(_labels(samples).clip(min=0), minlength=len(samples.classes))
        empty += [
            f"{name} has no sample of class {label}"
            for label, count in zip(samples.classes, counts, strict=False)
            if not count
        ]
        for attribute, values in declared.items():
            present = set(samples.groups[attribute])
            empty += [
                f"{name} has no sample of {attribute} {value}"
                for value in values
                if value not in present
            ]
        examined += len(samples.classes) + sum(len(values) for values in declared.values())
    return Finding(
        "empty_groups", empty, examined, good=f"{examined} classes and groups have samples"
    )


def leaked(splits: Mapping[str, Samples], seed: int = 0) -> Finding:
    """Test samples that are equal, bit by bit, to one that was learned from.

    Of a table whose rows coincide by chance those are counted that chance does not account for.
    """
    name = "leaked_test_samples"
    tested = splits[TEST].inputs if TEST in splits else np.zeros((0, 0))
    seen = {_row(row) for part, samples in splits.items() if part != TEST for row in samples.inputs}
    if not seen or not len(tested):
        why = "there are no samples to compare, expected a test split and one that was learned from"
        return Finding(name, [why], 0)
    equal = [i for i, row in enumerate(tested) if _row(row) in seen]
    good = f"none of {len(tested)} test samples was learned from"
    if equal and len({s.inputs.shape[1:] for s in splits.values()}) == 1 and tested.ndim == 2:
        found = chance.of_splits(splits, TEST, _pooled(splits), seed=seed)
        if found.chance:
            good = f"{len(equal)} of {len(tested)} test samples equal a learned one, {found.told}"
            equal = sorted(found.beyond.tolist())
    return Finding(name, [f"test sample {i}" for i in equal], len(tested), good=good)


def by_chance(splits: Mapping[str, Samples]) -> bool:
    """Whether test samples equal learned ones by chance, so that a copy may look like one."""
    if any(samples.inputs.ndim != 2 for samples in splits.values()):
        return False
    return chance.of_splits(splits, TEST, _pooled(splits)).chance > 0


def near_duplicates(
    splits: Mapping[str, Samples], low: float, high: float, seed: int = 0
) -> Measure:
    """The share of test samples that are nearly equal to one of the other splits.

    Images by the correlation of what is left of their grey values at 16 x 16, the idea of a
    perceptual hash with a real number for a distance; rows by their values in steps of a thousandth
    of each column's own range, without what chance accounts for; tokens by their pairs of
    neighbours, and equal ones without what chance accounts for.
    """
    tested = splits[TEST].inputs
    if tokens.are(splits[TEST]):
        learned = np.concatenate([s.inputs for name, s in splits.items() if name != TEST])
        found = chance.of_splits(splits, TEST, _pooled(splits), seed=seed)
        alike = tokens.near(tested, learned)
        alike[found.rows] = False
        count = int(alike.sum()) + len(found.beyond)
    elif tested.ndim != 4:
        found = chance.of_splits(splits, TEST, _stepped(_pooled(splits), low, high), seed=seed)
        count = len(found.beyond)
    else:
        prints = _prints(np.concatenate([s.inputs for name, s in splits.items() if name != TEST]))
        count = sum(
            int(((part @ prints.T).max(axis=1) >= _SAME).sum())
            for part in np.array_split(_prints(tested), len(tested) // _CHUNK + 1)
        )
    return exact(count / len(tested), len(tested))


def _pooled(splits: Mapping[str, Samples]) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.concatenate([samples.inputs for samples in splits.values()])
    return rows


def _stepped(rows: NDArray[np.float32], low: float, high: float) -> NDArray[np.float64]:
    """Each value in steps of its column: of the range that holds all but the outermost hundredths.

    Where that has no width, as in a column that is nearly always zero, of the whole range; in a
    column that fills half of the declared range, or has one value, of the declared one. No step is
    near what float32 rounds a column's values to.
    """
    wide = rows.astype(np.float64)
    outer, inner = np.quantile(wide, [0, 1], axis=0), np.quantile(wide, [0.01, 0.99], axis=0)
    ranges = [np.diff(edges, axis=0)[0] for edges in (inner, outer)]
    own = np.where(ranges[0] > 0, ranges[0], ranges[1])
    step = np.where((own == 0) | (2 * own > high - low), high - low, own) / _STEPS
    rounding = _ROUNDING * np.abs(inner).max(axis=0)
    steps: NDArray[np.float64] = np.round(wide / np.maximum(step, np.maximum(rounding, 1e-300)))
    return steps


def _prints(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D): grey values averaged to at most 16 x 16, without their mean, of length 1."""
    grey = images.mean(axis=1)
    for axis in (1, 2):
        size = grey.shape[axis]
        starts = np.unique(np.linspace(0, size, min(size, _SIDE), endpoint=False).astype(int))
        widths = np.diff([*starts, size])
        shape = [-1 if a == axis else 1 for a in range(3)]
        grey = np.add.reduceat(grey, starts, axis=axis) / widths.reshape(shape)
    flat = grey.reshape(len(grey), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    result: NDArray[np.float32] = (flat / np.maximum(length, 1e-9)).astype(np.float32)
    return result


def _labels(samples: Samples) -> NDArray[np.integer[Any]]:
    if samples.labels is not None:
        return samples.labels
    objects = [image.labels for image in samples.objects or ()]
    return np.concatenate(objects) if objects else np.zeros(0, dtype=np.int64)


def _row(row: NDArray[Any]) -> bytes:
    # Adding zero makes -0.0 equal to 0.0, as it is to a model.
    return blake2b(np.ascontiguousarray(row + 0.0).tobytes(), digest_size=16).digest()
