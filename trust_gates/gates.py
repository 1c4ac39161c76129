"""What all gates are asked together: the `gates` of a touchstone.yaml and of a gates file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from trust_gates import GATES, wording
from trust_gates.errors import PolicyError
from trust_gates.explainability.policy import Explainability
from trust_gates.fairness.policy import Fairness
from trust_gates.glossary import METRICS
from trust_gates.integrity.policy import Integrity
from trust_gates.named import Known, as_typed
from trust_gates.policy import GatePolicy, Setting, Strict
from trust_gates.quality.policy import Quality
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Task


class Gates(Strict):
    """What is judged, and what must hold; a gate that is left out is not asked."""

    quality: Quality | None = None
    robustness: Robustness | None = None
    fairness: Fairness | None = None
    explainability: Explainability | None = None
    integrity: Integrity = Integrity()
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of a whole verdict: the chance that it lets a model pass that fails a check is the rest."""

    def policy(self, gate: str) -> GatePolicy | None:
        """The policy of the gate of that name."""
        found: GatePolicy | None = getattr(self, gate)
        return found

    @property
    def policies(self) -> dict[str, GatePolicy]:
        """The policies that are declared, by gate."""
        return {name: policy for name in GATES if (policy := self.policy(name)) is not None}

    def check_names(self, known: Known) -> None:
        """Raise PolicyError, naming each gate, where policies mean what the data do not have."""
        wrong = [
            f"spec.gates.{name}: {problem}"
            for name, policy in self.policies.items()
            for _, problem in policy.misnamed(known)
        ]
        if wrong:
            raise PolicyError("\n".join(wrong))

    @property
    def task(self) -> Task:
        """What a table is of that does not say it itself: a regression where a check is of a
        figure that only regressions have."""
        named = [METRICS[check.metric] for one in self.policies.values() for check in one.checks]
        alone = any(metric.tasks == ("regression",) for metric in named)
        return "regression" if alone else "classification"

    @property
    def declared(self) -> tuple[str, ...]:
        """Names of the gates that must have judged the model before it can be promoted."""
        return tuple(self.policies)

    @property
    def confidence_each(self) -> float:
        """What each gate must decide at, so that `confidence` holds for all checks of a verdict.

        Bonferroni: the gates that estimate share the chance of error equally, and each applies
        Holm's step-down to its own checks (`trust_gates.statistics.decide`).
        """
        estimating = [one for one in self.policies.values() if one.estimates]
        return 1 - (1 - self.confidence) / max(1, len(estimating))

    def setting(
        self,
        *,
        seed: int = 0,
        features: tuple[str, ...] = (),
        columns: tuple[str, ...] = (),
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> Setting:
        """What each gate is told besides its policy."""
        return Setting(
            confidence=self.confidence_each,
            seed=seed,
            features=features,
            columns=columns,
            groups=groups or {},
        )


class GatesFile(Strict):
    """A YAML file with nothing but the gates' policies."""

    gates: Gates

    @classmethod
    def given(cls, document: Any, where: str) -> Gates:
        """The `gates` of plain data.

        Args:
            where: what errors call it.

        Raises:
            PolicyError: they do not fit; every problem with its field.
        """
        if not isinstance(document, Mapping):
            raise PolicyError(
                f"{where}: got {type(document).__name__}, expected a mapping with `gates`"
            )
        if "spec" in document:
            raise PolicyError(
                f"{where}: got a whole touchstone.yaml, which `touchstone gate` judges by; "
                "expected a file with only `gates`"
            )
        try:
            return cls.model_validate(document).gates
        except ValidationError as error:
            problems = wording.problems(error, lambda _: where, cls)
            raise PolicyError("\n".join(f"{place}: {text}" for place, text in problems)) from None


def read_policy(path: Path) -> Gates:
    """The `gates` of a YAML file with nothing else.

    Raises:
        PolicyError: it is absent, no YAML, or does not fit; every problem with its field.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        document = YAML(typ="safe", pure=True).load(text)  # 1.2, as a touchstone.yaml is read
    except (OSError, YAMLError, ValueError) as error:
        raise PolicyError(f"{path}: {error}") from None
    return GatesFile.given(as_typed(GatesFile, document, text), str(path))
