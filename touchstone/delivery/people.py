"""Whose word counts: people.yaml of the GitOps repository.

It is read from that repository's `main`, where a change takes a review: a model repository's own
files come from the very pull request that is judged. See docs/decisions/0004 and 0011.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from touchstone.delivery.attestation import normal_key
from touchstone.delivery.gitops import MAIN, PEOPLE_FILE, Checkout, clone
from touchstone.delivery.repositories import place
from touchstone.documents import yaml
from touchstone.documents.validated import validated

Person = Annotated[
    str, StringConstraints(pattern=r"^(github|gitlab|forgejo|bitbucket):[^\s<>]+$", to_lower=True)
]
"""Forges do not tell logins apart by case, so one person's is one here, however it is typed."""
Name = Annotated[str, StringConstraints(pattern=r"^[^\s<>]{1,100}$")]
Key = Annotated[str, AfterValidator(normal_key)]


class People(BaseModel):
    """Accounts as `<forge>:<login>`: the same login on two forges may be two people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: tuple[Person, ...] = Field(default=())
    """May start, repeat and cancel the runs of pull requests."""

    review: tuple[Person, ...] = Field(default=())
    """May approve and hold promotions by a comment."""

    keys: dict[Name, Key] = Field(default_factory=dict)
    """May approve and hold promotions by a signature: a name for people, and the public key. A key
    under the name of an account is the same person's."""

    recorder: Key | None = None
    """The key by which the platform signs what an account decided by a comment."""

    models: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The repositories from which a model of that name may come; unless it is named here, the one
    that first promoted it."""

    def name_of(self, key: str) -> str:
        """The first name of a key; empty where it is nobody's."""
        return next((name for name, one in self.keys.items() if one == key), "")

    def person(self, account: str) -> str:
        """What tells one person from another: their key, else their account."""
        by_name = {name.lower(): key for name, key in self.keys.items()}
        return by_name.get(account.lower(), account.lower())

    def may_review(self, account: str) -> bool:
        """Whether what that account comments on a promotion counts."""
        return account.lower() in self.review

    def may_run(self, account: str) -> bool:
        """Whether that account may ask for runs by comments."""
        return account.lower() in self.run

    def allows(self, model: str, repository: str, *, first: str) -> bool:
        """Whether `repository` may promote `model`, whose first release came from `first`."""
        allowed = self.models.get(model, (first,) if first else (repository,))
        return place(repository) in map(place, allowed)


def read(url: str) -> People:
    """The people of the GitOps repository `url`; nobody where it has no people.yaml.

    Raises:
        ManifestError: people.yaml is no YAML or holds something else.
    """
    with clone(url) as checkout:
        return read_at(checkout, f"origin/{MAIN}")


def read_at(checkout: Checkout, reference: str) -> People:
    """The people as of a commit. Raises as `read` does."""
    data = checkout.read(reference, PEOPLE_FILE)
    if data is None:
        return People()
    document = yaml.load_one(data.decode("utf-8", "replace"), PEOPLE_FILE)
    if document is None:
        return People()
    hint = (
        "the keys are run and review, each a list such as [github:ada, gitlab:grace], keys (name:"
        " public key), recorder (a public key) and models (name: a list of repositories)"
    )
    return validated(document, People, hint=hint)
