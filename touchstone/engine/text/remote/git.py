"""Which file does a commit of a git repository hold?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from touchstone.engine.text.remote.fetched import Fetched, ResolutionError, as_text, required
from touchstone.errors import PlatformError
from touchstone.git import git

_SAFE = (
    "-c", "protocol.ext.allow=never",
    "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30",
)  # fmt: skip
"""No url runs a program, and a server that says nothing ends the fetch."""


def from_git(params: Mapping[str, str]) -> Fetched:
    """Params: url, pathInRepo, and revision (a branch, tag or commit; main where left out).

    Raises ResolutionError.
    """
    if "repo" in params:
        raise ResolutionError("got repo, expected url: an API of a forge is not asked here")
    url, path = required(params, "url", "pathInRepo")
    revision = params.get("revision") or "main"
    path = path.lstrip("/")
    if url.startswith("-") or revision.startswith("-"):
        raise ResolutionError(f"got {url!r} at {revision!r}, expected no leading -")
    with TemporaryDirectory() as folder:
        try:
            commit = _fetched(Path(folder), url, revision)
            text = git("show", f"{commit}:{path}", cwd=Path(folder))
        except PlatformError as error:
            raise ResolutionError(f"git {url} at {revision}, {path}: {error}") from None
    uri = url if url.startswith("git+") else f"git+{url}"
    as_text(text.encode(), url)
    return Fetched(text=text, uri=uri, digest={"sha1": commit}, entry_point=path)


def _fetched(folder: Path, url: str, revision: str) -> str:
    """The commit that `revision` means, fetched into `folder`."""
    git("init", "--quiet", cwd=folder)
    try:
        git(*_SAFE, "fetch", "--quiet", "--depth=1", "--", url, revision, cwd=folder)
    except PlatformError:
        # A shortened commit is known only to who has all of them.
        heads = "+refs/heads/*:refs/remotes/origin/*"
        git(*_SAFE, "fetch", "--quiet", "--tags", "--", url, heads, cwd=folder)
        return git("rev-parse", "--verify", f"{revision}^{{commit}}", cwd=folder)
    return git("rev-parse", "--verify", "FETCH_HEAD^{commit}", cwd=folder)
