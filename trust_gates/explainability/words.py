"""How much does each word decide? What is attributed to tokens, as rows with a column a word."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.embedded import Space
from trust_gates.explainability.subject import Subject
from trust_gates.samples import Samples

Array = NDArray[np.float64]

_WORDS = 256
"""Columns of their own, for the words that decide the most; all others have one together."""


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """The words that decisions rest on."""

    space: Space
    chosen: NDArray[np.int64]
    """Their tokens."""

    @classmethod
    def of(cls, space: Space, subject: Subject, relevance: Array) -> Bag:
        """Those of the explained decisions, with what is attributed to their tokens (n, L)."""
        totals = np.bincount(
            space.tokens(subject.inputs).ravel(), weights=np.abs(relevance).ravel()
        )
        order = np.argsort(-totals, kind="stable")[:_WORDS]
        return cls(space, np.sort(order[totals[order] > 0]))

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [*(self.space.word(int(token)) for token in self.chosen), "(other words)"]

    def sizes(self, inputs: NDArray[np.float32], relevance: Array) -> Array:
        """(n, columns): how much is attributed to each word, by size, of relevance (n, L)."""
        found = np.zeros((len(inputs), len(self.chosen) + 1))
        columns = self._columns(self.space.tokens(inputs))
        np.add.at(found, (np.arange(len(inputs))[:, None], columns), np.abs(relevance))
        return found

    def samples(self, samples: Samples) -> Samples:
        """The samples of tokens as rows that say which words are there, 1 or 0."""
        found = np.zeros((len(samples), len(self.chosen) + 1), dtype=np.float32)
        columns = self._columns(samples.inputs)
        found[np.arange(len(samples))[:, None], columns] = 1
        return replace(samples, inputs=found)

    def _columns(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        places = np.searchsorted(self.chosen, tokens).clip(max=max(len(self.chosen) - 1, 0))
        if not len(self.chosen):
            return np.zeros_like(tokens)
        return np.where(self.chosen[places] == tokens, places, len(self.chosen))
