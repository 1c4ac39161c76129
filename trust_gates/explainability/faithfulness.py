"""Does the model really lean on what the attribution ranks first? Deletion and insertion.

Petsiuk, Das and Saenko, RISE (BMVC 2018): take the parts of an input away, the most relevant
first, and watch the model's certainty fall; or put them back into an empty input and watch it
rise. The area under either curve is compared with that of random orders on the same inputs
(Samek et al. 2017), so that an attribution is credited for nothing that chance would do too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability.parts import Parts
from trust_gates.explainability.subject import Subject

Array = NDArray[np.float64]

_STEPS = 10
_RANDOM_ORDERS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Certainty of each decision (n, steps) while parts leave its input, or come back to it."""

    taken: Array
    """(steps,): the share of parts taken out, or put back."""

    deletion: Array
    insertion: Array
    random: Array
    """(orders, 2, n, steps): deletion and insertion by some random orders."""

    @property
    def random_deletion(self) -> Array:
        """The mean over the random orders."""
        found: Array = self.random[:, 0].mean(axis=0)
        return found

    @property
    def random_insertion(self) -> Array:
        """The mean over the random orders."""
        found: Array = self.random[:, 1].mean(axis=0)
        return found

    @property
    def at_random(self) -> Curves:
        """Those of one random order, beside the other ones."""
        deletion, insertion = self.random[0]
        return replace(self, deletion=deletion, insertion=insertion, random=self.random[1:])

    @property
    def turned(self) -> Curves:
        """Those of the order turned around: what it takes out last, that one takes out first."""
        deletion, insertion = self.insertion[:, ::-1], self.deletion[:, ::-1]
        return replace(self, deletion=deletion, insertion=insertion)

    @property
    def deletion_gain(self) -> Array:
        """(n,): how much less area lies under the deletion curve than at random; -1 to 1."""
        return self._area(self.random_deletion) - self._area(self.deletion)

    @property
    def insertion_gain(self) -> Array:
        """(n,): how much more area lies under the insertion curve than at random; -1 to 1."""
        return self._area(self.insertion) - self._area(self.random_insertion)

    @property
    def faithfulness(self) -> Array:
        """(n,): the mean of the two."""
        return (self.deletion_gain + self.insertion_gain) / 2

    def _area(self, curve: Array) -> Array:
        return np.asarray(np.trapezoid(curve, self.taken, axis=1))


def measure(subject: Subject, parts: Parts, relevance: Array, seed: int) -> Curves:
    """The curves of `relevance` (n, parts), and of random orders of the same parts."""
    generator = np.random.default_rng(seed)
    shares = np.linspace(0, 1, min(_STEPS, parts.count) + 1)
    own = _both(subject, parts, relevance, shares)
    random = [
        _both(subject, parts, generator.random(relevance.shape), shares)
        for _ in range(_RANDOM_ORDERS)
    ]
    return Curves(taken=shares, deletion=own[0], insertion=own[1], random=np.array(random))


def _both(subject: Subject, parts: Parts, relevance: Array, shares: Array) -> Array:
    """(2, n, steps): certainty under deletion and insertion, the most relevant part first."""
    # Rank 0 is the most relevant part.
    ranks = (-relevance).argsort(axis=1, kind="stable").argsort(axis=1)
    curves = np.zeros((2, len(subject), len(shares)))
    for step, share in enumerate(shares):
        first = ranks < round(share * parts.count)
        for kind, kept in enumerate((~first, first)):
            inputs = parts.pick(kept, subject.inputs, subject.baseline)
            curves[kind, :, step] = subject.certainty(inputs, subject.numbers)
    return curves
