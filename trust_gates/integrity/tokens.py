"""Rows of tokens as rows of numbers: which tokens are in them, and how alike two rows are.

The index of a token is a name and no quantity, and its place in a row is nothing by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Samples

if TYPE_CHECKING:
    import scipy.sparse

Tokens = NDArray[np.int64]

_COLUMNS = 4096
_NUMBERS = 1 << 27
_CHUNK = 256

_ALIKE = 0.8
"""Of the pairs of neighbours that two rows have together: Lee et al. 2022, "Deduplicating training
data makes language models better", have the same share of longer pieces."""


def are(samples: Samples) -> bool:
    """Whether the inputs are tokens."""
    return samples.inputs.dtype == np.int64


def frequent(samples: Samples) -> Tokens:
    """The tokens that are most often there, sorted: as many as rows with a column each may have."""
    count = min(_COLUMNS, max(1, _NUMBERS // max(len(samples), 1)))
    seen, often = np.unique(samples.inputs, return_counts=True)
    chosen: Tokens = np.sort(seen[np.argsort(-often, kind="stable")[:count]])
    return chosen


def present(samples: Samples, chosen: Tokens) -> Samples:
    """The samples as rows that say which of the `chosen` tokens are there, 1 or 0."""
    places = np.searchsorted(chosen, samples.inputs).clip(max=len(chosen) - 1)
    row, column = np.nonzero(chosen[places] == samples.inputs)
    rows = np.zeros((len(samples), len(chosen)), dtype=np.float32)
    rows[row, places[row, column]] = 1
    return Samples(
        inputs=rows, labels=samples.labels, targets=samples.targets, classes=samples.classes
    )


def near(tested: Tokens, learned: Tokens) -> NDArray[np.bool_]:
    """(N,): the tested rows of which most pairs of neighbours are those of one learned row."""
    words = int(max(tested.max(initial=0), learned.max(initial=0))) + 1
    pairs = [
        rows[:, :-1] * words + rows[:, 1:] if rows.shape[1] > 1 else rows
        for rows in (tested, learned)
    ]
    known = np.unique(np.concatenate([rows.ravel() for rows in pairs]))
    a, b = (_sets(rows, known) for rows in pairs)
    sizes = np.asarray(b.sum(axis=1)).ravel()
    found = np.zeros(len(tested), dtype=bool)
    for start in range(0, len(tested), _CHUNK):
        some = a[start : start + _CHUNK]
        common = (some @ b.T).toarray()
        either = np.asarray(some.sum(axis=1)) + sizes[None] - common
        found[start : start + _CHUNK] = (common >= _ALIKE * either).any(axis=1)
    return found


def _sets(rows: Tokens, known: Sequence[int] | Tokens) -> scipy.sparse.csr_matrix:
    """(N, known): 1 where a row has the pair."""
    from scipy.sparse import csr_matrix

    index = np.arange(len(rows)).repeat(rows.shape[1])
    places = np.searchsorted(known, rows.ravel())
    found = csr_matrix((np.ones(rows.size, np.int32), (index, places)), (len(rows), len(known)))
    found.data[:] = 1  # a pair that is there twice was added up
    return found
