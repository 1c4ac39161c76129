"""What an environment asks of a release before it may change: environment.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from touchstone.delivery.gitops import DEFAULT_POLICY, MAIN, Checkout, policy_of
from touchstone.documents import yaml
from touchstone.documents.validated import validated
from trust_gates import GATES
from trust_gates.floor import Facts, Floor
from trust_gates.gates import Gates
from trust_gates.policy import OneOf, Strict


def _reason(freeze: Any) -> Any:
    """`freeze: true` freezes without a reason given."""
    if isinstance(freeze, bool):
        return "no reason was given" if freeze else ""
    return freeze


class EnvironmentPolicy(Strict):
    """Rules of one environment, as `main` has them before the change that they judge."""

    approvals: int = Field(default=1, ge=1, le=20)
    """How many different keys or accounts of people.yaml must approve."""

    freeze: Annotated[str, BeforeValidator(_reason)] = ""
    """Why nothing may change here now; empty when it may."""

    required_gates: tuple[Annotated[str, OneOf(GATES)], ...] = ()
    """Gates of which every release must have passed at least one check."""

    gates: Floor = Field(default_factory=Floor)
    """The floor: what a touchstone.yaml asks at least of the gates that it declares."""

    def problems(self, gates: Gates, data: Facts | None = None, *, place: str) -> list[str]:
        """What the policies of touchstone.yaml ask less of than this, each with both values.

        Args:
            data: of what the model is judged on; without it, as far as can be said before.
            place: where this policy stands.
        """
        absent = [gate for gate in self.required_gates if gate not in gates.declared]
        return [
            *(
                f"{gate}: touchstone.yaml has no spec.gates.{gate}, {place} requires that gate"
                for gate in absent
            ),
            *self.gates.problems(gates, data, place=place),
        ]


def read_policy(
    checkout: Checkout, environment: str, reference: str = f"origin/{MAIN}"
) -> EnvironmentPolicy:
    """The policy of `environment` as of a commit.

    An environment without one has that of a new repository.

    Raises:
        ManifestError: environment.yaml is no YAML or holds something else than a policy.
    """
    path = policy_of(environment)
    data = checkout.read(reference, path)
    text = DEFAULT_POLICY if data is None else data.decode("utf-8", "replace")
    return parse(text, location=path)


def parse(text: str, *, location: str) -> EnvironmentPolicy:
    """The Policy in an environment.yaml."""
    return _policy(yaml.load_one(text, location))


def load_policy(file: Path) -> EnvironmentPolicy:
    """Likewise, of a file. Raises ManifestError where it is absent or wrong."""
    return _policy(yaml.load_file(file))


def _policy(document: yaml.Document | None) -> EnvironmentPolicy:
    if document is None:
        return EnvironmentPolicy()
    hint = "docs/reference/environment.md lists every key"
    return validated(document, EnvironmentPolicy, hint=hint)


def below(policy: EnvironmentPolicy, verdict: Mapping[str, Any], *, environment: str) -> list[str]:
    """What the verdict's policies were asked less of than the environment's floor.

    The floor may have been raised since the verdict, or be of another environment than it was for.

    Args:
        verdict: the document, as the release carries it.
    """
    if policy.gates == Floor():
        return []
    place = policy_of(environment)
    try:
        # A remedy splits the confidence: what touchstone.yaml asked for is that of all rounds.
        asked = {**verdict["gates"], "confidence": verdict["confidence"]}
        gates, data = Gates.model_validate(asked), data_of(verdict["facts"])
    except (KeyError, TypeError, ValueError) as error:
        why = "does not fit" if isinstance(error, ValidationError) else f"lacks {error}"
        return [f"{place} has a floor, and what its verdict says of policy and data {why}"]
    problems = policy.gates.problems(gates, data, place=place)
    named, judged = policy.gates.evaluation, verdict.get("evaluation", "")
    if named is not None and judged != named.digest:
        problems.append(
            f"evaluation: it was judged on {judged or 'no data of its own'}, {place} asks for"
            f" {named.digest}; run it again"
        )
    return problems


def data_of(facts: Mapping[str, Any]) -> Facts:
    """What a floor depends on, of a verdict's `facts`.

    Raises:
        KeyError: they lack something.
        ValueError: they are not what a dataset's description says.
    """
    return Facts.model_validate(
        {
            "task": facts["task"],
            "protected": facts["protected"],
            "inputs": facts["inputs"],
            "test": facts["samples"]["test"],
        }
    )
