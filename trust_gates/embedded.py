"""What is a model of tokens, from its embeddings on? A model of rows of numbers.

Tokens have no gradient and no small change. So attacks and attributions work on what the embedding
makes of them: each sample becomes one row, the vectors of its tokens one after the other, in [0, 1]
between the least and the greatest number of the embedding's table. Behind them stand the tokens
themselves, out of everyone's reach: which of them fill up the row is not a matter of vectors.

The table's whole range is the unit, since an author chooses the table: whatever else it were
(the middle of it, what the words in use have), a table with rows that are never used could shrink
it until a budget is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError, UnfitModelError
from trust_gates.reach import Reach
from trust_gates.samples import Samples
from trust_gates.target import Embedding, Groups, Target
from trust_gates.written import number

if TYPE_CHECKING:
    import torch

_SAME = 1e-3
"""Of the largest logit: if answers to the table's vectors differ by more, the cut is wrong."""

_OTHERWISE = 0.1
"""So many pairs of samples may be told apart by more than how they are filled up."""

_TRIED = 64
_NUMBERS = 1 << 26
"""Of all rows together, unless fewer samples would be too few."""

_NEIGHBOURS = 2000
"""Tokens of which the nearest other one is looked for."""


def of_tokens(samples: Samples) -> bool:
    """Whether the inputs are tokens."""
    return samples.inputs.dtype == np.int64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """Where the tokens of a model lie."""

    embedding: Embedding
    length: int
    """Tokens of a sample."""

    words: Sequence[str]
    """What each token stands for; empty where that is not known."""

    device: str
    """Where the model is asked."""

    @property
    def size(self) -> int:
        """Numbers of a token's vector."""
        return int(self.embedding.table.shape[1])

    @property
    def edges(self) -> tuple[float, float]:
        """The least and the greatest number of the table."""
        table = self.embedding.table
        low, high = float(table.min()), float(table.max())
        return low, high if high > low else low + 1

    def rows(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, L * D + L): what stands for tokens (N, L)."""
        low, high = self.edges
        vectors = (self.embedding.table[tokens] - low) / (high - low)
        places = tokens / max(len(self.embedding.table) - 1, 1)
        both = np.concatenate([vectors.reshape(len(tokens), -1), places], axis=1)
        return both.astype(np.float32)

    def tokens(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """(N, L): what the rows stand for."""
        places = rows[:, self.length * self.size :].astype(np.float64)
        found: NDArray[np.int64] = np.rint(places * max(len(self.embedding.table) - 1, 1)).astype(
            np.int64
        )
        return found

    def beside(self, rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors of `rows` with the tokens of `others`."""
        width = self.length * self.size
        return np.concatenate([rows[:, :width], others[:, width:]], axis=1)

    def word(self, token: int) -> str:
        """What a token stands for."""
        if token < len(self.words):
            return self.words[token] or "(empty)"
        return f"token {token}"

    def parts(self) -> NDArray[np.int64]:
        """(L * D + L,): which token each number of a row belongs to."""
        places = np.arange(self.length)
        return np.concatenate([places.repeat(self.size), places])

    def reach(self) -> Reach:
        """Every number of the vectors, and none of the tokens behind them."""
        width = self.length * self.size
        fixed = np.arange(width + self.length) >= width
        edges = np.zeros(len(fixed), np.float32), np.ones(len(fixed), np.float32)
        return Reach(low=edges[0], high=edges[1], immutable=fixed, beside=True)

    def predict(self, rows: torch.Tensor) -> Any:
        """Logits (N, K) of rows, differentiable."""
        low, high = self.edges
        width = self.length * self.size
        vectors = rows[:, :width].reshape(-1, self.length, self.size) * (high - low) + low
        places = rows[:, width:].detach() * max(len(self.embedding.table) - 1, 1)
        return self.embedding.predict(places.round().long(), vectors)

    def served(self, rows: NDArray[np.float32], groups: Groups) -> NDArray[np.float64]:
        """(N, K): what is served of rows, where a rule stands behind the network."""
        import torch

        def shares(some: NDArray[np.float32]) -> NDArray[np.float64]:
            with torch.no_grad():
                answers = self.predict(torch.from_numpy(some).to(self.device))
            found: NDArray[np.float64] = answers.double().softmax(dim=1).cpu().numpy()
            return found

        assert self.embedding.rule is not None  # noqa: S101 (only asked then)
        return self.embedding.rule(shares, rows, groups)

    def nearest(self, norm: str, seed: int) -> float:
        """How far, in the middle, the nearest other token is from a token, as a row measures it."""
        low, high = self.edges
        table = (self.embedding.table.astype(np.float64) - low) / (high - low)
        order = np.random.default_rng(seed).permutation(len(table))[:_NEIGHBOURS]
        power = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
        found = []
        for token in order[:_TRIED]:
            apart = np.linalg.norm(table[order] - table[token], ord=power, axis=1)
            found.append(np.min(apart[order != token], initial=np.inf))
        return float(np.median(found))


def view(
    gate: str, target: Target, samples: Samples, *, least: int, most: int, seed: int
) -> tuple[Target, Samples, Space]:
    """The model from its embeddings on, and some of the samples as it sees them there.

    They are drawn at random: at least `least`, and up to `most` as far as memory goes.

    Raises:
        UnfitModelError: it cannot be asked so; what is expected is said.
    """
    try:
        if samples.inputs.ndim != 2:
            raise GateError(f"got tokens of shape {samples.inputs.shape[1:]}, expected rows (L,)")
        if target.embedding is None:
            raise GateError("it only answers: it is no tree that a pipeline trained")
        embedding = target.embedding(samples.inputs[:_TRIED])
        space = Space(
            embedding=embedding,
            length=samples.inputs.shape[1],
            words=target.words,
            device=target.device,
        )
        count = max(least, min(most, _NUMBERS // (space.length * (space.size + 1))))
        order = np.random.default_rng(seed).permutation(len(samples))[:count]
        some = samples.take(np.sort(order))
        if int(some.inputs.max()) >= len(embedding.table):
            raise GateError("its table has fewer rows than there are tokens")
        seen = replace(
            target,
            predict=space.predict,
            low=0.0,
            high=1.0,
            reach=space.reach(),
            serve=None if embedding.rule is None else space.served,
            watch=None,
            embedding=None,
            encode=None,
        )
        rows = replace(some, inputs=space.rows(some.inputs))
        _check_cut(target, some.take(np.arange(min(_TRIED, len(some)))), seen, space)
    except GateError as error:
        raise UnfitModelError(
            f"gates.{gate} judges a model of tokens from its embedding on, and cannot here: {error}"
            "; expected a network that gives its inputs to one torch.nn.Embedding and sees nothing"
            " else of them than which one fills up; else leave this gate out of the policy"
        ) from None
    return seen, rows, space


def _check_cut(target: Target, samples: Samples, seen: Target, space: Space) -> None:
    """Raise GateError where the model does not answer the vectors of tokens as it does the tokens.

    It must do so beside other tokens as well, of a sample that is filled up alike: else it sees
    more of them than their vectors, and what is done to these says little.
    """
    whole, rows = target.logits(samples.inputs), space.rows(samples.inputs)
    largest = float(np.abs(whole[np.isfinite(whole)]).max(initial=1.0))
    gap = _gaps(whole, seen.logits(rows)).max(initial=0)
    if gap > _SAME * largest:
        raise GateError(
            f"with the vectors of its embedding's table it answers otherwise (by {number(gap, 2)})"
        )
    ends = _filled(samples.inputs)
    pairs = np.array(
        [
            (one, other)
            for one, other in pairwise(np.lexsort(ends))
            if (ends[:, one] == ends[:, other]).all()
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    if not len(pairs):
        return
    beside = seen.logits(space.beside(rows[pairs[:, 0]], rows[pairs[:, 1]]))
    other = _gaps(beside, whole[pairs[:, 0]]) > _SAME * largest
    if other.mean() > _OTHERWISE:
        raise GateError(
            f"beside other tokens it answers the same vectors otherwise ({int(other.sum())} of "
            f"{len(pairs)}), so it sees more of tokens than their vectors"
        )


def _gaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): how far apart answers are; those that are no numbers are as wrong as each other."""
    if one.shape != other.shape:
        return np.full(len(one), np.inf)
    finite = np.isfinite(one) & np.isfinite(other)
    apart = np.abs(np.where(finite, one, 0) - np.where(finite, other, 0))
    apart[np.isfinite(one) != np.isfinite(other)] = np.inf
    found: NDArray[np.float64] = apart.max(axis=1, initial=0)
    return found


def _filled(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, N): the last token of each row, and in how many places at its end it stands."""
    same = tokens[:, ::-1] == tokens[:, -1:]
    return np.stack([tokens[:, -1], np.cumprod(same, axis=1).sum(axis=1)])


def told(space: Space, norm: str, epsilon: float, seed: int) -> str:
    """What was attacked, and what it says of an attacker who can only change tokens."""
    low, high = space.edges
    far = space.nearest(norm, seed) / epsilon
    return (
        "judged in embedding space: every token's vector may move within epsilon, whose unit is the"
        f" range of the embedding's table ({number(low, 3)} to {number(high, 3)}). An attacker who"
        " can only change tokens has less, as far as their vectors lie within epsilon of each"
        f" other: in the middle, a token's nearest other one is {number(far, 3)} times epsilon"
        " away. Exchanges of words that lie farther apart are not judged"
    )


def explained() -> str:
    """What an attribution to tokens is."""
    return (
        "attributed from the embedding on: what a token speaks for is the sum over its vector, and "
        "a word's share that of all its places"
    )
