"""What happened in a repository, in words that no forge has for itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PUSH, TAG, PULL_REQUEST, COMMENT = "push", "tag", "pull_request", "comment"
KINDS = (PUSH, TAG, PULL_REQUEST, COMMENT)

_WHOLE = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PART = re.compile(r"[0-9a-f]{0,64}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_HEADS, _TAGS = "refs/heads/", "refs/tags/"


class UnreadableError(ValueError):
    """The body is not what the forge sends; the message says what is missing or strange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where it happened."""

    name: str
    """Owner and name, as they stand in the forge's addresses."""
    clone_url: str
    default_branch: str = ""
    """Empty where the forge does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A push to one branch, one tag, a pull request, or a comment on one.

    Raises:
        UnreadableError: a commit or a number that is none.
    """

    kind: str
    repository: Repository
    name: str
    """The branch or tag, without `refs/heads/`; of a pull request the one that is to be merged."""
    ref: str
    """Where the commit is, whole."""
    revision: str = ""
    """The commit, or as much of it as the forge says."""
    before: str = ""
    """The commit that a push came upon; zeros or empty for none."""
    words: str = ""
    """Where `[skip ci]` counts."""
    wordy: str = "the newest commit's message"
    """What `words` are."""
    files: tuple[str, ...] | None = None
    """All that changed; None where the forge does not list them all."""
    moved: bool = False
    """Whether one of them may have had another name before, which is not among them."""
    gone: bool = False
    """The branch or tag was deleted."""
    idle: str = ""
    """Why there is nothing to do: the pull request was closed, the comment edited."""
    fork: bool = False
    into: str = ""
    """The branch that a pull request is to be merged into."""
    number: str = ""
    """A pull request's."""
    author: str = ""
    """Of a comment: the login that the forge vouches for."""
    text: str = ""
    """Of a comment: its first line."""

    def __post_init__(self) -> None:
        for commit in (self.revision, self.before):
            if not _PART.fullmatch(commit):
                raise UnreadableError(f"got the commit {commit[:12]!r}, which is none")
        if self.number and not _NUMBER.fullmatch(self.number):
            raise UnreadableError(f"got the pull request {self.number[:12]!r}, which is no number")

    @property
    def whole(self) -> bool:
        """Whether `revision` is all of a commit's digits."""
        return bool(_WHOLE.fullmatch(self.revision))

    @property
    def follows(self) -> bool:
        """Whether there was a commit before, with which this one can be compared."""
        return bool(_WHOLE.fullmatch(self.before) and self.before.strip("0"))


def at(body: Any, *path: str) -> Any:
    """What stands there, or None: forges leave out what they have not, or say null."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def text(body: Any, *path: str) -> str:
    """The text there; empty where there is none."""
    found = at(body, *path)
    return found if isinstance(found, str) else ""


def needed(body: Any, *path: str) -> str:
    """The text there. Raises UnreadableError where there is none."""
    if found := text(body, *path):
        return found
    raise UnreadableError(f"got a delivery without {'.'.join(path)}")


def number(body: Any, *path: str) -> str:
    """The whole number there, as text. Raises UnreadableError where there is none."""
    found = at(body, *path)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    raise UnreadableError(f"got a delivery without the number {'.'.join(path)}")


def items(body: Any, *path: str) -> list[Any]:
    """The list there; an empty one where there is none."""
    found = at(body, *path)
    return found if isinstance(found, list) else []


def same(one: Any, other: Any, identity: str) -> bool:
    """Whether two repositories are one, by name and identity; a name may be taken anew."""
    return all(at(one, key) == at(other, key) for key in ("full_name", identity))


def first_line(words: str) -> str:
    """Of a comment: what may be a command."""
    return words.partition("\n")[0].rstrip()


def kind_of(ref: str) -> tuple[str, str] | None:
    """PUSH or TAG, and the name; None for other refs, such as notes."""
    for prefix, kind in ((_HEADS, PUSH), (_TAGS, TAG)):
        if ref.startswith(prefix) and ref != prefix:
            return kind, ref.removeprefix(prefix)
    return None


def changed(commits: Iterable[Any], *, total: Any = None, most: int = 0) -> tuple[str, ...] | None:
    """All files of the commits of a push; None where they cannot be all.

    `total` is the number of commits as the forge says it, `most` the number that it lists at most.
    A commit without files may be a merge, of which not every forge lists them.
    """
    listed = list(commits)
    cut = isinstance(total, int) and total > len(listed)
    if not listed or cut or (most and len(listed) >= most):
        return None
    files: list[str] = []
    for commit in listed:
        names = [n for kind in ("added", "modified", "removed") for n in items(commit, kind)]
        if not names:
            return None
        files += map(str, names)
    return tuple(files)
