"""Which version of a model is served: what a new one is compared with before it may follow."""

from __future__ import annotations

from touchstone.delivery import gitops, release
from touchstone.delivery.release import Release


def served(gitops_url: str, environment: str, model: str) -> Release | None:
    """The release that main of the GitOps repository names, or None where there is none yet.

    Raises:
        ManifestError: its release.json is not one.
        PlatformError: the repository cannot be read.
    """
    path = f"{gitops.ENVIRONMENTS}/{environment}/{model}/{release.RELEASE_FILE}"
    with gitops.clone(gitops_url) as checkout:
        text = checkout.read(f"origin/{gitops.MAIN}", path)
    return None if text is None else release.parse(text, location=path)
