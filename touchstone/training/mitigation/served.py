"""What a mitigation leaves in the served model: repaired inputs, and steps from score to answer.

`Served.answer` is the one way to ask a mitigated model: training measures with it, the gates
judge with it, and the predictor serves with it, so what was judged is what is served. It travels
in the model tree as mitigation.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from trust_gates.policy import Strict

FILE = "mitigation.json"

Given = Mapping[str, Any]
"""The value (N,) of each protected attribute, by its name."""

_NEAR = 1e-4
"""A feature this close to a known value has it: inputs travel as text and as float32."""

_SURE = 1e-6
"""Answers stay this far from 0 and 1, so that they have finite logits."""


class Source(Strict):
    """Where a request says which group each input belongs to."""

    protected: str
    values: tuple[str, ...]
    """The attribute's values; groups are indices into them."""

    privileged: tuple[str, ...]
    feature: int | None = None
    """The input's feature that holds the attribute; None: a second input of that name."""

    codes: tuple[float, ...] = ()
    """The feature's number for each of `values`."""

    def groups(self, inputs: np.ndarray, given: Given) -> np.ndarray:
        """(N,): each input's index into `values`.

        Raises:
            ValueError: the attribute is absent, of another length, or has an unknown value.
        """
        if self.feature is not None:
            distance = np.abs(inputs[:, [self.feature]] - np.array(self.codes)[None])
            if not (distance.min(axis=1) <= _NEAR).all():
                raise ValueError(
                    f"got a value of feature {self.feature} ({self.protected}) that is none of "
                    f"{list(self.codes)}, which stand for {list(self.values)}"
                )
            return np.asarray(distance.argmin(axis=1))
        if self.protected not in given:
            raise ValueError(
                f"got no {self.protected!r}, which this model's fairness rule needs of each input; "
                f"send a second input named {self.protected!r} with one of {list(self.values)} each"
            )
        asked = [str(value) for value in given[self.protected]]
        unknown = sorted(set(asked) - set(self.values))
        if unknown or len(asked) != len(inputs):
            raise ValueError(
                f"got {len(asked)} values of {self.protected} for {len(inputs)} inputs"
                f"{f', with {unknown}' if unknown else ''}; "
                f"expected one of {list(self.values)} for each"
            )
        return np.array([self.values.index(value) for value in asked], dtype=np.int64)


class Quantiles(Strict):
    """Moves each feature to the rank it has within its group, on one scale for all groups."""

    kind: Literal["quantiles"] = "quantiles"
    level: float
    """0 leaves inputs alone, 1 leaves no difference between the groups."""

    features: tuple[int, ...]
    own: Sequence[Sequence[Sequence[float]]]
    """(groups, features, knots): each group's quantiles at evenly spaced ranks."""

    common: Sequence[Sequence[float]]
    """(features, knots): the median of the groups' quantiles."""

    def apply(self, inputs: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The repaired inputs, float32 (N, F)."""
        result = inputs.astype(np.float64)
        for place, feature in enumerate(self.features):
            for group in np.unique(groups):
                rows = groups == group
                rank = _ranks(np.asarray(self.own[group][place]), result[rows, feature])
                scale = np.asarray(self.common[place])
                moved = np.interp(rank, np.linspace(0, 1, len(scale)), scale)
                result[rows, feature] += self.level * (moved - result[rows, feature])
        return result.astype(np.float32)


class Prototypes(Strict):
    """Replaces each input by a mixture of prototypes: x becomes softmax(-distance) @ prototypes."""

    kind: Literal["prototypes"] = "prototypes"
    points: Sequence[Sequence[float]]
    """(prototypes, F)."""

    weights: Sequence[float]
    """(F,): of each feature's squared difference in the distance."""

    def apply(self, inputs: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The repaired inputs, float32 (N, F); groups do not matter."""
        points, weights = np.asarray(self.points), np.asarray(self.weights)
        distance = (((inputs[:, None] - points[None]) ** 2) * weights).sum(axis=2)
        near = np.exp(distance.min(axis=1, keepdims=True) - distance)
        mixed: np.ndarray = near / near.sum(axis=1, keepdims=True) @ points
        return mixed.astype(np.float32)


Repair = Annotated[Quantiles | Prototypes, Field(discriminator="kind")]


class Step(Strict):
    """From a group's score to its decision: every postprocessing rule is of this form."""

    threshold: float = 0.5
    above: float = 1.0
    """Chance of the favorable answer from `threshold` on."""

    below: float = 0.0
    mixed: float = 0.0
    """Chance that the score is replaced by `base` first."""

    base: float = 0.5


class Steps(Strict):
    """The rule of both groups."""

    unprivileged: Step
    privileged: Step

    def apply(self, scores: np.ndarray, privileged: np.ndarray, luck: np.ndarray) -> np.ndarray:
        """(N,): new scores, above 0.5 exactly where the answer is favorable.

        Args:
            scores: (N,), of the favorable class.
            luck: (N, 2), from 0 to 1: what is left to chance.
        """
        rule = {
            name: np.where(privileged, getattr(self.privileged, name), value)
            for name, value in self.unprivileged.model_dump().items()
        }
        score = np.where(luck[:, 0] < rule["mixed"], rule["base"], scores)
        chance = np.where(score >= rule["threshold"], rule["above"], rule["below"])
        favorable = luck[:, 1] < chance
        # The answer keeps the score's sureness, mirrored where the decision went the other way.
        away = np.maximum(np.abs(score - 0.5), _SURE)
        return np.asarray(np.where(favorable, 0.5 + away, 0.5 - away)).clip(_SURE, 1 - _SURE)


class Served(Strict):
    """A mitigation as part of a model."""

    method: str
    source: Source
    favorable: int
    repair: Repair | None = None
    steps: Steps | None = None
    seed: int = 0

    @property
    def needs(self) -> str:
        """The protected attribute that a request must name beside its inputs; else empty."""
        return self.source.protected if self._asks and self.source.feature is None else ""

    @property
    def _asks(self) -> bool:
        """Whether answers depend on the group."""
        return self.steps is not None or isinstance(self.repair, Quantiles)

    def check(self, inputs: np.ndarray, given: Given) -> None:
        """Raise ValueError where the protected attribute is needed, and absent or unknown."""
        if self._asks:
            self.source.groups(inputs, given)

    def prepare(self, inputs: np.ndarray, given: Given) -> np.ndarray:
        """The inputs that the network sees.

        Raises:
            ValueError: the protected attribute is needed, and absent or unknown.
        """
        if self.repair is None:
            return inputs
        if isinstance(self.repair, Prototypes):
            return self.repair.apply(inputs, np.zeros(len(inputs), np.int64))
        return self.repair.apply(inputs, self.source.groups(inputs, given))

    def answer(
        self,
        predict: Callable[[np.ndarray], np.ndarray],
        inputs: np.ndarray,
        given: Given,
    ) -> np.ndarray:
        """(N, K): probabilities of each class, after repair and postprocessing.

        What a rule leaves to chance is drawn from the seed and the input itself: asking again
        gives the same answer, and a server gives the one that was judged.

        Args:
            predict: the network: prepared inputs to probabilities (N, K).
            given: the protected attribute's value for each input, by the attribute's name.

        Raises:
            ValueError: the protected attribute is needed, and absent or unknown.
        """
        shares = predict(self.prepare(inputs, given))
        if self.steps is None:
            return shares
        values = np.array(self.source.values)[self.source.groups(inputs, given)]
        favored = self.steps.apply(
            shares[:, self.favorable].astype(np.float64),
            np.isin(values, self.source.privileged),
            _luck(inputs, self.seed),
        )
        answers = np.empty_like(shares, dtype=np.float64)
        answers[:, self.favorable], answers[:, 1 - self.favorable] = favored, 1 - favored
        return answers

    def write(self, folder: Path) -> None:
        """Write mitigation.json into a model tree."""
        document = self.model_dump(mode="json")
        text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Served | None:
        """The mitigation of a model tree; None where it has none.

        Raises:
            ValueError: mitigation.json is malformed.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(
                f"{path}: {error}; expected what training wrote: train the model again"
            ) from None


def _ranks(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each value's rank among evenly spaced quantiles; the middle one where several are equal."""
    left = np.searchsorted(knots, values, side="left")
    right = np.searchsorted(knots, values, side="right")
    after = left.clip(1, len(knots) - 1)
    width = knots[after] - knots[after - 1]
    inside = np.divide(values - knots[after - 1], width, out=np.zeros(len(values)), where=width > 0)
    between = after - 1 + inside.clip(0, 1)
    ranks: np.ndarray = np.where(left < right, (left + right - 1) / 2, between) / (len(knots) - 1)
    return ranks


def _luck(inputs: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) numbers from 0 to 1 that depend on the seed and the input alone."""
    key = seed.to_bytes(8, "big", signed=True)
    rows = np.ascontiguousarray(inputs, dtype=np.float32)
    drawn = b"".join(
        hashlib.blake2b(row.tobytes(), digest_size=16, key=key).digest() for row in rows
    )
    return (np.frombuffer(drawn, dtype=">u8").reshape(-1, 2) >> 11) * 2.0**-53
