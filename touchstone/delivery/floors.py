"""Does a touchstone.yaml ask for what the environments that it names ask at least?

Their floors are read once, before anything is trained, and kept as a document by its digest: what
a run is held to does not change while it runs, and its verdict can name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchstone.artifacts.store import Store
from touchstone.contract.model_repo import FILE_NAME, ModelPipeline
from touchstone.delivery import environment, gitops
from touchstone.delivery.environment import EnvironmentPolicy
from touchstone.errors import ManifestError, UsageError
from trust_gates.evaluation import Evaluation
from trust_gates.gates import Gates

_KIND = "Floor"
_HELD = {"required_gates", "gates"}
"""What of an environment's policy is asked of a touchstone.yaml."""

Floors = Mapping[str, EnvironmentPolicy]
"""By the path of the environment.yaml. All of them must hold, and so the strictest does."""


def resolve(artifacts: Store, pipeline: ModelPipeline, gitops_url: str) -> str:
    """The digest of the floors' document, put into the store.

    Empty without a GitOps repository, or where none of its environments has a floor.

    Whether touchstone.yaml asks for less than they do, `problems` says.

    Raises:
        ManifestError: touchstone.yaml names an environment that the GitOps repository does not
            have; or an environment.yaml is wrong.
        PlatformError: the repository cannot be read.
    """
    if not gitops_url:
        return ""
    floors = read(gitops_url, pipeline.spec.promote.environments)
    evaluation(floors)
    documents = {
        path: one.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=_HELD)
        for path, one in floors.items()
    }
    if not any(documents.values()):
        return ""
    return artifacts.put_json({"kind": _KIND, "environments": documents})


def read(gitops_url: str, environments: tuple[str, ...]) -> Floors:
    """The policies of environments as main of the GitOps repository has them now.

    In a repository that is empty still they are what the first promotion will lay out.
    """
    main = f"origin/{gitops.MAIN}"
    with gitops.clone(gitops_url) as checkout:
        if checkout.commit_of(main):
            check_known(checkout, environments)
        return {
            gitops.policy_of(name): environment.read_policy(checkout, name) for name in environments
        }


def check_known(checkout: gitops.Checkout, environments: tuple[str, ...]) -> None:
    """Refuse an environment that nobody has laid out: a push could name one without a floor.

    Raises:
        ManifestError: it has no environment.yaml on main.
    """
    for name in environments:
        path = gitops.policy_of(name)
        if checkout.read(f"origin/{gitops.MAIN}", path) is None:
            raise ManifestError(
                f"spec.promote.environments names {name}, but main of the GitOps repository has"
                f" no {path}",
                location=FILE_NAME,
                hint="only people add an environment: commit its environment.yaml to main",
            )


def problems(floors: Floors, gates: Gates, facts: Mapping[str, Any] | None = None) -> list[str]:
    """What the policies ask less of than a floor.

    Args:
        facts: of the data, as a verdict has them; without them, as far as can be said before.

    Raises:
        ManifestError: the facts are none that data can have.
    """
    if not floors:
        return []
    try:
        data = None if facts is None else environment.data_of(facts)
    except ValueError as error:
        raise ManifestError(
            f"the data's description does not fit: {error}",
            hint="`load_data` gives inputs with low < high, and names of features",
        ) from None
    return [
        problem
        for place, policy in floors.items()
        for problem in policy.problems(gates, data, place=place)
    ]


def require(floors: Floors, gates: Gates, facts: Mapping[str, Any] | None = None) -> None:
    """Raise ManifestError with all `problems`, where there are any."""
    if told := problems(floors, gates, facts):
        raise ManifestError(
            "\n".join(told),
            location=FILE_NAME,
            hint="a touchstone.yaml may ask for more than the floor of its environments, never"
            " for less; docs/reference/environment.md says how the floor is set",
        )


def evaluation(floors: Floors) -> Evaluation | None:
    """The organisation's own data that the floors name.

    Raises:
        ManifestError: they name several.
    """
    named = {path: one.gates.evaluation for path, one in floors.items() if one.gates.evaluation}
    if len(set(named.values())) > 1:
        told = ", ".join(f"{path}: {one.uri} {one.digest}" for path, one in named.items())
        raise ManifestError(
            f"got different evaluation data from the environments of one model: {told}",
            hint="name the same in gates.evaluation of each, or promote to one of them",
        )
    return next(iter(named.values()), None)


def load(artifacts: Store, digest: str) -> Floors:
    """The floors that `resolve` put there; none for an empty digest.

    Raises:
        UsageError: it is another document.
    """
    if not digest:
        return {}
    document = artifacts.get_json(digest)
    try:
        if document["kind"] == _KIND:
            return {
                path: EnvironmentPolicy.model_validate(one)
                for path, one in document["environments"].items()
            }
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    raise UsageError(f"got {digest} as the floor, expected a document as fetch-source leaves it")
