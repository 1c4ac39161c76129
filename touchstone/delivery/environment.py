"""What an environment asks of a release before it may change: environment.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from touchstone.delivery.gitops import ENVIRONMENTS, MAIN, POLICY_FILE, Checkout
from touchstone.errors import ManifestError


class EnvironmentPolicy(BaseModel):
    """Rules of one environment; they are read from `main`, never from the branch they judge."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )

    approvals: int = Field(default=1, ge=1, le=20)
    """How many different people must approve."""

    freeze: str = ""
    """Why nothing may change here now; empty when it may."""

    required_gates: tuple[str, ...] = ()
    """Gates of which every release must have passed at least one check."""


def read_policy(checkout: Checkout, environment: str) -> EnvironmentPolicy:
    """The policy of `environment` on main; an environment without one has the defaults.

    Raises:
        ManifestError: environment.yaml is no YAML or holds something else than a policy.
    """
    path = f"{ENVIRONMENTS}/{environment}/{POLICY_FILE}"
    data = checkout.read(f"origin/{MAIN}", path)
    return (
        EnvironmentPolicy()
        if data is None
        else parse(data.decode("utf-8", "replace"), location=path)
    )


def parse(text: str, *, location: str) -> EnvironmentPolicy:
    """The Policy in an environment.yaml; `freeze: true` freezes without a reason given."""
    from touchstone.documents import yaml

    document = yaml.load_one(text, location)
    if document is None:
        return EnvironmentPolicy()
    policy = dict(document.body)
    if isinstance(policy.get("freeze"), bool):
        policy["freeze"] = "no reason was given" if policy["freeze"] else ""
    try:
        return EnvironmentPolicy.model_validate(policy)
    except ValidationError as error:
        first = error.errors()[0]
        place = document.location(first["loc"])
        field = ".".join(str(part) for part in first["loc"])
        raise ManifestError(
            f"{field}: {first['msg']}",
            location=place,
            hint="the keys are approvals, freeze and requiredGates",
        ) from None
