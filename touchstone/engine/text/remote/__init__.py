"""What text stands behind a remote reference, and where exactly did it come from?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from touchstone.engine.text.remote.bundles import from_bundle
from touchstone.engine.text.remote.fetched import Fetched, ResolutionError
from touchstone.engine.text.remote.git import from_git
from touchstone.engine.text.remote.http import from_http

__all__ = ["REFUSED", "Fetched", "ResolutionError", "fetch"]

_RESOLVERS: dict[str, Callable[[Mapping[str, str]], Fetched]] = {
    "git": from_git,
    "http": from_http,
    "bundles": from_bundle,
}
REFUSED = {"hub": "hub.tekton.dev was shut in 2026-01; fetch the same file with git or http"}


def fetch(resolver: str, params: Mapping[str, str]) -> Fetched:
    """Fetch with the resolver of that name. Raises ResolutionError, saying what went wrong."""
    if resolver in REFUSED:
        raise ResolutionError(f"resolver {resolver}: {REFUSED[resolver]}")
    if resolver not in _RESOLVERS:
        known = ", ".join(["cluster", *sorted(_RESOLVERS)])
        raise ResolutionError(f"got the resolver {resolver!r}, expected one of {known}")
    return _RESOLVERS[resolver](params)
