"""What the robustness gate is asked: attacks, their budget, and what must survive them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from trust_gates.reach import Reach
from trust_gates.robustness import attacks, figures
from trust_gates.robustness.attacks.attack import Budget, Norm
from trust_gates.statistics import Requirement
from trust_gates.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the gate attacks with, and what must survive."""

    requirements: Sequence[Requirement]
    epsilon: float
    """The largest change of an input, in the norm and in the inputs' own units."""

    norm: Norm = "linf"
    attacks: Sequence[str] = ("fgsm", "pgd", "square")
    """Names of attacks and of ensembles."""

    samples: int = 128
    """At most so many are attacked."""

    sequential: bool = True
    """Stop a classifier's attacks as soon as the samples seen decide every requirement."""

    figures: Sequence[str] = ()
    """Further figures to measure besides those that requirements name."""

    sweep: Sequence[float] = ()
    """Further budgets to show; by default a quarter to four times epsilon."""

    confidence: float = 0.95
    seed: int = 0
    steps: int | None = None
    queries: int | None = None
    """Effort of each attack; by default the attack's own, or that of an ensemble."""

    features: Sequence[str] = ()
    """Names of an input row's values."""

    immutable: Sequence[str] = ()
    """Features that no attacker can change, besides those that the dataset declares."""

    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The lowest and the highest value that an attacker can give a feature."""

    def __post_init__(self) -> None:
        attacks.chosen(self.attacks, self.norm)
        figures.chosen(self.figures, self.norm)
        if self.norm == "l0" and self.epsilon < 1:
            raise ValueError(
                f"got epsilon {self.epsilon} under l0, expected the number of values that may "
                "change, at least 1"
            )
        if not all(epsilon > 0 for epsilon in (self.epsilon, *self.sweep)):
            raise ValueError(f"got epsilon {self.epsilon}, sweep {self.sweep}, expected > 0")

    @property
    def names(self) -> list[str]:
        """The attacks in the order they run."""
        return attacks.chosen(self.attacks, self.norm)

    @property
    def wanted(self) -> list[str]:
        """The further figures that the policy asks for, and those that its requirements name."""
        required = [r.metric for r in self.requirements if r.metric in figures.FIGURES]
        return [*required, *self.figures]

    @property
    def budget(self) -> Budget:
        """What each attack may spend."""
        ensembles = [attacks.ENSEMBLES[n] for n in self.attacks if n in attacks.ENSEMBLES]
        return Budget(
            norm=self.norm,
            epsilon=self.epsilon,
            steps=self.steps or max((e.steps for e in ensembles), default=None),
            queries=self.queries or max((e.queries for e in ensembles), default=None),
            seed=self.seed,
        )

    def limit(self, target: Target) -> Target:
        """The target with the policy's limits on an attacker within those of the dataset.

        Raises:
            ValueError: a limit is on no feature, or nothing is left to change.
        """
        if not self.immutable and not self.bounds:
            return target
        own = Reach.of_features(
            self.features,
            low=target.low,
            high=target.high,
            immutable=self.immutable,
            bounds=self.bounds,
        )
        return replace(target, reach=own.within(target.reach))
