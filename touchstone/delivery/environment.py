"""What an environment asks of a release before it may change: environment.yaml."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from touchstone.delivery.gitops import ENVIRONMENTS, MAIN, POLICY_FILE, Checkout
from touchstone.documents.validated import validated


def _reason(freeze: Any) -> Any:
    """`freeze: true` freezes without a reason given."""
    if isinstance(freeze, bool):
        return "no reason was given" if freeze else ""
    return freeze


class EnvironmentPolicy(BaseModel):
    """Rules of one environment, as `main` has them before the change that they judge."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )

    approvals: int = Field(default=1, ge=1, le=20)
    """How many different keys or accounts of people.yaml must approve."""

    freeze: Annotated[str, BeforeValidator(_reason)] = ""
    """Why nothing may change here now; empty when it may."""

    required_gates: tuple[str, ...] = ()
    """Gates of which every release must have passed at least one check."""


def read_policy(
    checkout: Checkout, environment: str, reference: str = f"origin/{MAIN}"
) -> EnvironmentPolicy:
    """The policy of `environment` as of a commit; an environment without one has the defaults.

    Raises:
        ManifestError: environment.yaml is no YAML or holds something else than a policy.
    """
    path = f"{ENVIRONMENTS}/{environment}/{POLICY_FILE}"
    data = checkout.read(reference, path)
    return (
        EnvironmentPolicy()
        if data is None
        else parse(data.decode("utf-8", "replace"), location=path)
    )


def parse(text: str, *, location: str) -> EnvironmentPolicy:
    """The Policy in an environment.yaml."""
    from touchstone.documents import yaml

    document = yaml.load_one(text, location)
    if document is None:
        return EnvironmentPolicy()
    hint = "the keys are approvals, freeze and requiredGates"
    return validated(document, EnvironmentPolicy, hint=hint)
