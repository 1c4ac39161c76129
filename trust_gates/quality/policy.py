"""What the quality gate is asked: what a model must reach, and whom it must not fall behind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trust_gates.policy import Check, GatePolicy, Strict, measured
from trust_gates.quality.metrics import METRICS
from trust_gates.statistics import MINIMUM_SAMPLES
from trust_gates.verdict import Required

GAIN = "gain_over_champion"
ENCODED = "encoded_otherwise"
NEVER = ("constant_prediction", "non_finite_outputs")


class Rival(Strict):
    """The version that is served now, which a new one must not fall behind."""

    margin: float = Field(default=0.02, ge=0, lt=1)
    """How much of accuracy, of map50 or of r2 a new version may lose."""


class Quality(GatePolicy):
    """What a model must reach on samples it has never seen."""

    checks: tuple[Annotated[Check, measured("quality", METRICS)], ...] = Field(min_length=1)
    """What must hold."""

    champion: Rival | None = None
    """Compare with the version that is served, in a pipeline: `{margin: 0.02}`."""

    minimum_slice: int = Field(default=MINIMUM_SAMPLES, ge=1)
    """Groups and classes with fewer samples are no slice of their own."""

    @property
    def always(self) -> dict[str, Required]:
        """No model answers always the same, or something that is no number."""
        return dict.fromkeys(NEVER, Required(high=0))

    @property
    def sometimes(self) -> dict[str, Required]:
        """Where a version is served, the new one falls behind it by no more than the margin; where
        raw values are served, they are encoded as what was judged."""
        gain = {} if self.champion is None else {GAIN: Required(low=-self.champion.margin)}
        return {ENCODED: Required(high=0), **gain}
