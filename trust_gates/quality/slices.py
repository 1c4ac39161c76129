"""In which group or class is the model worst? An average hides who pays for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.quality import bootstrap
from trust_gates.quality.classification import Answers as Classified
from trust_gates.quality.detection import Answers as Detected
from trust_gates.quality.regression import Answers as Numbers
from trust_gates.samples import Bools, Samples
from trust_gates.statistics import Measure, mean, missing, proportion, resample_weights
from trust_gates.verdict import Interval, Table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slices:
    """The same figure in every slice that is large enough."""

    measures: Mapping[str, Measure]
    left_out: Mapping[str, int]
    """Slices with too few samples, and how many they have."""

    minimum: int
    errors: bool = False
    """Whether the largest figure is the worst one."""

    @property
    def worst(self) -> Measure:
        """The lowest figure of all slices, of errors the largest; its interval holds whichever
        slice that is.

        Bonferroni over the slices: when every slice's figure lies in its own interval, the lowest
        lies between the lowest of their lower and the lowest of their upper bounds.
        """
        if not self.measures:
            return missing(f"no group or class has {self.minimum} samples or more")

        def interval(confidence: float) -> Interval:
            level = 1 - (1 - confidence) / len(self.measures)
            each = [measure.interval(level) for measure in self.measures.values()]
            end = np.max if self.errors else np.min
            return Interval(
                low=float(end([one.low for one in each])),
                high=float(end([one.high for one in each])),
                confidence=confidence,
            )

        name = min(self.measures, key=lambda name: self._rank(self.measures[name].value))
        measure = self.measures[name]
        return Measure(value=measure.value, samples=measure.samples, interval=interval, of=name)

    def table(self, title: str, confidence: float) -> Table:
        """Every slice with its figure, the worst first."""
        rows = []
        for name, measure in sorted(
            self.measures.items(), key=lambda item: self._rank(item[1].value)
        ):
            interval = measure.interval(confidence)
            rows.append((name, measure.value, interval.low, interval.high, measure.samples))
        return Table(title=title, columns=("slice", "value", "low", "high", "samples"), rows=rows)

    def _rank(self, value: float) -> float:
        """A figure that is not a number is worse than any."""
        if math.isnan(value):
            return -math.inf
        return -value if self.errors else value

    @property
    def notes(self) -> list[str]:
        """Which slices were too small to judge."""
        if not self.left_out:
            return []
        named = ", ".join(f"{name} ({size})" for name, size in self.left_out.items())
        return [f"slices with fewer than {self.minimum} samples are not judged: {named}"]


def of_classifier(answers: Classified, samples: Samples, minimum: int) -> Slices:
    """Accuracy by protected group and by true class."""
    masks = _groups(samples) | {
        f"class: {name}": answers.labels == label for label, name in enumerate(samples.classes)
    }
    return _of(
        {name: int(mask.sum()) for name, mask in masks.items()},
        lambda name: proportion(int(answers.right[masks[name]].sum()), int(masks[name].sum())),
        minimum,
    )


def of_regression(answers: Numbers, samples: Samples, minimum: int, seed: int) -> Slices:
    """Mean absolute error by protected group and by quarter of the true numbers."""
    cuts = np.quantile(answers.targets, [0.25, 0.5, 0.75])
    quarter = np.searchsorted(cuts, answers.targets)
    names = ("lowest", "second", "third", "highest")
    masks = _groups(samples) | {
        f"targets: {name} quarter": quarter == index for index, name in enumerate(names)
    }

    def error(name: str) -> Measure:
        values = answers.error[masks[name]]
        return mean(values, resample_weights(len(values), seed))

    found = _of({name: int(mask.sum()) for name, mask in masks.items()}, error, minimum)
    return replace(found, errors=True)


def of_detector(answers: Detected, samples: Samples, minimum: int, seed: int) -> Slices:
    """Recall by protected group and by class; images are what is counted, and resampled."""
    objects_of = samples.objects or ()
    chosen: dict[str, Sequence[Bools]] = {
        name: [np.full(len(true), inside) for true, inside in zip(objects_of, mask, strict=True)]
        for name, mask in _groups(samples).items()
    }
    for label, name in enumerate(samples.classes):
        chosen[f"class: {name}"] = [image.labels == label for image in objects_of]
    found, objects = {}, {}
    for name, masks in chosen.items():
        count = np.array([mask.sum() for mask in masks], dtype=float)
        hits = [(hit & mask).sum() for hit, mask in zip(answers.found, masks, strict=True)]
        found[name], objects[name] = np.array(hits, float)[count > 0], count[count > 0]
    return _of(
        {name: len(count) for name, count in objects.items()},
        lambda name: _recall(found[name], objects[name], seed),
        minimum,
    )


def _of(sizes: Mapping[str, int], measure: Callable[[str], Measure], minimum: int) -> Slices:
    return Slices(
        measures={name: measure(name) for name, size in sizes.items() if size >= minimum},
        left_out={name: size for name, size in sizes.items() if size < minimum},
        minimum=minimum,
    )


def _recall(found: NDArray[np.float64], objects: NDArray[np.float64], seed: int) -> Measure:
    return bootstrap.measure(
        lambda weights: {"recall": (weights @ found) / (weights @ objects)}, len(objects), seed
    )["recall"]


def _groups(samples: Samples) -> dict[str, Bools]:
    return {
        f"{attribute}: {value}": np.asarray(values == value)
        for attribute, values in samples.groups.items()
        for value in np.unique(values)
    }
