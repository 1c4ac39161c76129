"""Which version of a model is served: what a new one is compared with before it may follow."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from touchstone.artifacts.store import Store
from touchstone.contract.model_repo import ModelPipeline
from touchstone.delivery import gitops, release
from touchstone.delivery.release import Release
from touchstone.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a run needs to know of the served version, so that equal ones have equal digests."""

    version: str
    model: str
    """Digest of the model's tree."""


def resolve(artifacts: Store, pipeline: ModelPipeline, gitops_url: str) -> str:
    """The digest of the served version's document, put into the store.

    Empty where touchstone.yaml asks for no comparison, or nothing is served.

    Raises:
        ManifestError: its release.json is not one.
        PlatformError: the repository cannot be read.
    """
    spec = pipeline.spec
    if spec.gates.quality.champion is None or not gitops_url:
        return ""
    found = served(gitops_url, spec.promote.environments[0], pipeline.metadata.name)
    if found is None:
        return ""
    return artifacts.put_json(asdict(Served(version=found.version, model=found.digests.model)))


def read(artifacts: Store, digest: str) -> Served:
    """The document that `resolve` put there.

    Raises:
        UsageError: it is none.
    """
    document = artifacts.get_json(digest)
    try:
        return Served(**document)
    except TypeError:
        raise UsageError(
            f"got {digest} as the served version, expected a document as fetch-source leaves it"
        ) from None


def served(gitops_url: str, environment: str, model: str) -> Release | None:
    """The release that main of the GitOps repository names, or None where there is none yet.

    Raises:
        ManifestError: its release.json is not one.
        PlatformError: the repository cannot be read.
    """
    path = f"{gitops.folder_of(environment, model)}/{release.RELEASE_FILE}"
    with gitops.clone(gitops_url) as checkout:
        text = checkout.read(f"origin/{gitops.MAIN}", path)
    return None if text is None else release.parse(text, location=path)
