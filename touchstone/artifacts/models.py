"""A model tree out of the store, and beside it the packages that its code needs."""

from __future__ import annotations

import json
from pathlib import Path

from touchstone import beneath
from touchstone.artifacts.store import Store
from touchstone.errors import PlatformError
from touchstone.home import packages_of

PACKAGES = "touchstone-packages.json"
"""A tree of packages holds it, their names, versions and hashes; no other tree is shown as one."""

_LONGEST = 4 << 20


def get(store: Store, digest: str, folder: Path) -> Path:
    """Write the model tree into `folder`, and what model.json names as `packages` beside it.

    Raises:
        PlatformError: as `Store.get`; or what is named is something else than packages.
    """
    tree = store.get(digest, folder)
    get_packages(store, named(tree), packages_of(tree))
    return tree


def get_packages(store: Store, digest: str, folder: Path) -> Path | None:
    """Write packages into `folder`; None where `digest` is empty.

    Code of a model reads what lies there: whatever the digest is of, only packages get there.

    Raises:
        PlatformError: they are not in the store, or something else is.
    """
    if not digest:
        return None
    listed(store, digest)
    return store.get(digest, folder)


def listed(store: Store, digest: str) -> dict[str, str]:
    """The version of each of the packages, by name.

    Raises:
        PlatformError: it is something else.
    """
    data = store.get_bytes(digest)
    try:
        entry = json.loads(data)["entries"][PACKAGES]["digest"]
        found = json.loads(store.get_bytes(entry))["packages"]
        return {one["name"]: one["version"] for one in found}
    except (ValueError, KeyError, TypeError):
        raise PlatformError(
            f"got {digest} as a model's packages, expected what the stage packages has stored",
            hint="train the model again",
        ) from None


def named(tree: Path) -> str:
    """The digest of the packages that a model tree names; empty where it names none.

    A model.json that cannot be read names none: whoever opens the model says so.
    """
    try:
        document = json.loads(beneath.read(tree, "model.json", limit=_LONGEST))
        found = document.get("packages", "")
    except (OSError, ValueError, AttributeError, PlatformError):
        return ""
    return found if isinstance(found, str) else ""
