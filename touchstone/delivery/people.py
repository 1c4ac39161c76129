"""Who may ask for what by a comment on a pull request: people.yaml of the GitOps repository.

It is read from that repository's `main`, where a change takes a review: a model repository's own
files come from the very pull request that is judged. See docs/decisions/0004.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from touchstone.delivery.gitops import MAIN, PEOPLE_FILE, Checkout, clone
from touchstone.documents import yaml
from touchstone.documents.validated import validated

Person = Annotated[str, StringConstraints(pattern=r"^(github|gitlab|forgejo|bitbucket):[^\s<>]+$")]


class People(BaseModel):
    """Names as `<forge>:<login>`: the same login on two forges may be two people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: tuple[Person, ...] = Field(default=())
    """May start, repeat and cancel the runs of pull requests."""

    review: tuple[Person, ...] = Field(default=())
    """May approve and hold promotions."""


def read(url: str) -> People:
    """The people of the GitOps repository `url`; nobody where it has no people.yaml.

    Raises:
        ManifestError: people.yaml is no YAML or holds something else.
    """
    with clone(url) as checkout:
        return _read(checkout)


def _read(checkout: Checkout) -> People:
    data = checkout.read(f"origin/{MAIN}", PEOPLE_FILE)
    if data is None:
        return People()
    document = yaml.load_one(data.decode("utf-8", "replace"), PEOPLE_FILE)
    if document is None:
        return People()
    hint = "the keys are run and review, each a list such as [github:ada, gitlab:grace]"
    return validated(document, People, hint=hint)
