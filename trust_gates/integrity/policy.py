"""What the integrity gate is asked beyond the counts that must always be zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from trust_gates.integrity.metrics import CHECKED
from trust_gates.integrity.poison.inversion import INVERSION
from trust_gates.integrity.poison.marks import KINDS
from trust_gates.integrity.poison.suspects import DETECTORS
from trust_gates.named import Known
from trust_gates.policy import Check, GatePolicy, OneOf, Path, Strict, measured
from trust_gates.verdict import Required

ZERO = (
    "pickle_files", "executable_files", "irregular_files", "digest_mismatches", "bad_weights",
    "schema_violations", "empty_groups", "leaked_test_samples",
)  # fmt: skip
"""What is counted in every model and data set, and must be nothing; of the last a policy can say
how many are accepted."""

DEFAULTS = {
    "near_duplicate_rate": Required(high=0.01),
    "single_feature_accuracy": Required(high=0.99),
    "single_feature_r2": Required(high=0.99),
}
"""Required unless the policy has its own bound; the second where samples have labels, the third
where they have numbers."""

NAMES = (*DETECTORS, INVERSION)
"""Every detector that can be asked for."""

FALSE_ALARMS = 0.05
"""Most of the samples without a mark that a search may flag and still clear the data."""


class Poisoning(Strict):
    """A search for backdoors in a classifier's training data, by detectors tried on ours."""

    detectors: tuple[Annotated[str, OneOf(NAMES)], ...] = Field(
        default=tuple(DETECTORS), min_length=1
    )
    """How to look for them."""

    marks: tuple[Annotated[str, OneOf(tuple(KINDS))], ...] = Field(
        default=("pixel", "corner", "spread"), min_length=1
    )
    """Kinds of mark that are planted, and that must be found for the data to be cleared."""

    samples: int = Field(default=1200, ge=50, le=5000)
    """Most training samples that are examined: time and memory grow with their square."""

    recall: float = Field(default=0.9, gt=0, lt=1)
    """Share of each kind's planted samples that must be found, by the lower confidence bound."""

    @property
    def counted(self) -> tuple[str, ...]:
        """The checks of what is found, which must be nothing."""
        samples = ("poisoned_samples",) if set(self.detectors) & set(DETECTORS) else ()
        classes = ("trigger_classes",) if INVERSION in self.detectors else ()
        return (*samples, *classes)


class Integrity(GatePolicy):
    """What can be chosen: counts of what is wrong are always required to be zero."""

    checks: tuple[Annotated[Check, measured("integrity", CHECKED)], ...] = ()
    """Bounds for near_duplicate_rate (by default at most 0.01), single_feature_accuracy, or of
    regressions single_feature_r2 (at most 0.99), leaked_test_samples (0) and label_noise (none)."""

    poisoning: Poisoning | None = None
    """Search the training data for backdoors: `{}`, or its `detectors`, `marks`, `samples`,
    `recall`."""

    pinned: bool = False
    """Refuse base images without a digest and packages without a version; else they are noted."""

    def misnamed(self, known: Known) -> Iterator[tuple[Path, str]]:
        """A search for backdoors where there are no classes that one could open."""
        if known.task == "regression" and self.poisoning is not None:
            yield (
                ("poisoning",),
                "got a search for backdoors in a regression, expected none: the detectors are of "
                "classifiers, leave poisoning out",
            )

    @property
    def estimates(self) -> bool:
        """It counts, which leaves nothing to chance, unless it is asked for more."""
        counted = {check.metric for check in self.checks} <= {"leaked_test_samples"}
        return not counted or self.poisoning is not None

    @property
    def always(self) -> dict[str, Required]:
        """Counts that must be zero, and weights that must be there."""
        counted = (*ZERO, *(("unpinned_dependencies",) if self.pinned else ()))
        searched = self.poisoning.counted if self.poisoning is not None else ()
        nothing = dict.fromkeys((*counted, *searched), Required(high=0))
        return {**nothing, "weight_files": Required(low=1)}

    @property
    def as_served(self) -> dict[str, Required]:
        """Nothing: it reads files."""
        return {}

    @property
    def sometimes(self) -> dict[str, Required]:
        """Bounds where the policy has none, and what only some data can be searched for."""
        searched = {}
        if self.poisoning is not None:
            searched["planted_recall"] = Required(low=self.poisoning.recall)
            searched["planted_false_positive_rate"] = Required(high=FALSE_ALARMS)
        own = {check.metric for check in self.checks}
        return {**{n: one for n, one in DEFAULTS.items() if n not in own}, **searched}
