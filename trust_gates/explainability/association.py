"""Which features tell a protected attribute, alone or only together? They stand for it.

What is told is one value of the attribute at a time, against all others: a column that is 1 for one
race of six tells everything about that race, and hardly anything about the other five.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Array = NDArray[np.float64]

_DEPTH = 3
_FOLDS = 5
"""A value that fewer samples have cannot be told from others."""

_ROWS = 1000
"""Rows of each value looked at, at most: more say the same and take long."""

_ERROR = 0.05
"""The chance that of many features that tell nothing one is said to tell something."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """How well something tells each value of an attribute, as Youden's J on held-out folds: 0 is
    as well as guessing, 1 is always."""

    youden: Array
    """(values,)."""

    chance: Array
    """(values,): how likely what tells nothing would do as well, by Fisher's exact test."""

    error: Array
    """(values,): the standard error of `youden`."""

    @property
    def shown(self) -> Array:
        """(values,): what it surely tells: the rest may be the luck of the best of several."""
        return np.where(self.chance < _ERROR / len(self.chance), self.youden - self.error, 0.0)

    def better(self, other: Told) -> Told:
        """The better of two for each value."""
        first = self.youden >= other.youden
        return Told(
            *(
                np.where(first, getattr(self, name), getattr(other, name))
                for name in ("youden", "chance", "error")
            )
        )


class Attribute:
    """A protected attribute, and the rows (n, F) of features that may tell it."""

    def __init__(self, inputs: NDArray[np.float32], groups: NDArray[np.str_], seed: int) -> None:
        from sklearn.model_selection import StratifiedKFold

        values, code = np.unique(groups, return_inverse=True)
        counted = np.bincount(code, minlength=len(values))
        enough = counted >= _FOLDS
        self.values = [str(value) for value in values[enough]]
        """The values that can be told."""
        self.few = [str(value) for value in values[~enough]]
        """Those that too few samples have."""
        order = np.random.default_rng(seed).permutation(len(groups))
        rows = [order[code[order] == one][:_ROWS] for one in np.flatnonzero(enough)]
        kept = np.sort(np.concatenate([np.zeros(0, np.int64), *rows]))
        self._inputs = inputs[kept].astype(np.float64)
        self._truth = np.unique(code[kept], return_inverse=True)[1]
        self._seed = seed
        self._folds: list[Any] = []
        if len(self.values) > 1:
            folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
            self._folds = list(folds.split(self._inputs, self._truth))

    def alone(self) -> list[Told]:
        """How well each feature tells it by itself, to a shallow tree: that also sees what is not
        monotone, where a correlation would see nothing."""
        from sklearn.tree import DecisionTreeClassifier

        tree = DecisionTreeClassifier(
            max_depth=_DEPTH, class_weight="balanced", random_state=self._seed
        )
        return [self._told(tree, [feature])[0] for feature in range(self._inputs.shape[1])]

    def together(self, features: Sequence[int]) -> Told:
        """How well the features tell it together, to the better of a linear model and a forest."""
        return self._told(self._linear(), features)[0].better(
            self._told(self._forest(), features)[0]
        )

    def sets(self, features: Sequence[int], bound: float, alone: Sequence[Told]) -> dict[int, Told]:
        """Features that together surely tell a value to `bound`, with how well all of them do.

        Of what tells it the fewest features that are enough, those that add most first, are taken
        away, and with them those that alone tell as much as one of them; then the rest is asked
        again, until it does not tell.
        """
        found: dict[int, Told] = {}
        rest = list(features)
        while len(rest) > 1 and len(self.values) > 1:
            told = self.together(rest)
            value = int(told.shown.argmax())
            if told.shown[value] < bound:
                break
            adds = self._adds(rest, value)
            order = sorted(rest, key=lambda one: -(adds[one] + float(alone[one].youden[value])))
            low, high = 1, len(order)
            while low < high:
                middle = (low + high) // 2
                enough = self.together(order[:middle]).shown[value] >= bound
                low, high = (low, middle) if enough else (middle + 1, high)
            weakest = min(float(alone[one].youden[value]) for one in order[:high])
            taken = order[:high] + [
                one
                for one in order[high:]
                if alone[one].chance[value] < _ERROR / len(features)
                and alone[one].youden[value] >= weakest / 2
            ]
            found |= dict.fromkeys(taken, told)
            rest = [one for one in rest if one not in taken]
        return found

    def _adds(self, features: Sequence[int], value: int) -> dict[int, float]:
        """What the forest loses of `value` where a feature is shuffled (Breiman 2001)."""
        whole, models = self._told(self._forest(), features)
        generator = np.random.default_rng(self._seed)
        lost = {}
        for place, feature in enumerate(features):
            shuffled = self._inputs[:, list(features)].copy()
            for _, held in self._folds:
                shuffled[held, place] = shuffled[generator.permutation(held), place]
            found = self._youden(self._answers(models, shuffled))
            lost[feature] = float(whole.youden[value] - found.youden[value])
        return lost

    def _told(
        self, model: ClassifierMixin, features: Sequence[int]
    ) -> tuple[Told, list[ClassifierMixin]]:
        """How well the features tell each value by such a model, and the one of each fold."""
        from sklearn.base import clone

        if not self._folds:
            return Told(*(np.full(len(self.values), one) for one in (0.0, 1.0, 0.0))), []
        rows = self._inputs[:, list(features)]
        models = [clone(model).fit(rows[fit], self._truth[fit]) for fit, _ in self._folds]
        return self._youden(self._answers(models, rows)), models

    def _answers(self, models: Sequence[Any], rows: Array) -> Array:
        """(n, values): how likely each value is to a model that has not seen the row, if all were
        as frequent."""
        likely = np.empty((len(rows), len(self.values)))
        for model, (_, held) in zip(models, self._folds, strict=True):
            likely[held] = model.predict_proba(rows[held])
        return likely

    def _youden(self, likely: Array) -> Told:
        from scipy.stats import hypergeom

        count = len(self._truth)
        size = np.bincount(self._truth, minlength=len(self.values))
        joint = likely * (size / count)
        others = (joint.sum(axis=1, keepdims=True) - joint) / (1 - size / count)
        said = likely > others  # likelier of this value than of the mixture of all others
        hits = said[np.arange(count), self._truth]
        right = np.bincount(self._truth, weights=hits, minlength=len(self.values))
        wrong = said.sum(axis=0) - right
        told, mistaken = right / size, wrong / (count - size)
        error = np.sqrt(told * (1 - told) / size + mistaken * (1 - mistaken) / (count - size))
        chance = hypergeom.sf(right - 1, count, size, said.sum(axis=0))
        return Told(np.clip(told - mistaken, 0, 1), np.asarray(chance, dtype=np.float64), error)

    def _linear(self) -> ClassifierMixin:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model: ClassifierMixin = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=300)
        )
        return model

    def _forest(self) -> ClassifierMixin:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(
            n_estimators=30,
            max_depth=2 * _DEPTH,
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=self._seed,
        )


def proxies(alone: Sequence[Told], bound: float) -> list[int]:
    """The features that alone tell a value to `bound` or more, and not by chance."""
    tests = len(alone) * max([1, *(len(one.youden) for one in alone)])  # too few tell none
    return [
        feature
        for feature, told in enumerate(alone)
        if ((told.youden >= bound) & (told.chance < _ERROR / tests)).any()
    ]
