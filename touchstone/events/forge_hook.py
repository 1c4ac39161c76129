"""What a forge does after a push, for a bare repository that has no forge: send the webhook.

The payload is written to a spool folder before it is sent and removed once the listener has taken
it, so a push is announced also when the listener is down at that moment.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.errors import UsageError
from touchstone.events import signature
from touchstone.git import git

_NAMESPACE = uuid.UUID("0b6c5f0e-7c1b-5b5e-8d4a-2f8f7a0f9d52")
_MAX_COMMITS = 100
_MAX_PAYLOAD = 900_000
"""Bytes; the listener refuses bodies over 1 MiB."""

_MAX_MESSAGE = 4096
_PERMANENT = frozenset({400, 413, 415, 422})
"""Answers that the same delivery will get again, however often it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One line that git gives to post-receive: a ref and the objects it pointed and points to."""

    before: str
    after: str
    ref: str

    @property
    def created(self) -> bool:
        """The ref is new."""
        return not self.before.strip("0")

    @property
    def deleted(self) -> bool:
        """The ref is gone."""
        return not self.after.strip("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one delivery."""

    ref: str
    taken: bool
    message: str
    """The listener's word, stored or duplicate; or why the delivery waits or was refused."""
    outcome: str = ""
    """What came of it, in one sentence; empty where that is not known yet."""
    runs: tuple[str, ...] = ()
    """Names of the runs that it started."""


def read_updates(lines: Iterable[str]) -> list[Update]:
    """The updates on post-receive's standard input.

    Raises:
        UsageError: a line is not `<old> <new> <ref>`.
    """
    updates = []
    for line in lines:
        before, after, ref = ([*line.rstrip("\n").split(" ", 2), "", ""])[:3]
        if not (_is_object(before) and _is_object(after) and ref.startswith("refs/")):
            raise UsageError(
                f"got {line.rstrip()!r}, expected <old> <new> <ref> as git gives to post-receive",
                hint="call this command from a bare repository's hooks/post-receive",
            )
        updates.append(Update(before=before, after=after, ref=ref))
    return updates


def _is_object(text: str) -> bool:
    return len(text) in (40, 64) and set(text) <= set("0123456789abcdef")


def push_payload(repository: Path, update: Update, *, clone_url: str, now: float) -> dict[str, Any]:
    """GitHub's `push` payload for one update of the bare `repository`; `now` in epoch seconds.

    At most 100 commits are listed, the newest, and fewer where the payload would not fit into a
    webhook; `total_commits`, a field of Forgejo's, says how many there are.

    Raises:
        PlatformError: git cannot read the repository.
    """
    name = clone_url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    commits = [] if update.deleted else list(_commits(repository, update))
    total, forced = (0, False) if update.deleted else _extent(repository, update)
    head = None if update.deleted else next(_log(repository, ["-1", update.after]))
    pusher = os.environ.get("GIT_PUSHER") or os.environ.get("USER") or "unknown"
    payload: dict[str, Any] = {
        "ref": update.ref,
        "before": update.before,
        "after": update.after,
        "created": update.created,
        "deleted": update.deleted,
        "forced": forced,
        "base_ref": None,
        "repository": {
            "name": name,
            # Without an owner: whoever pushes, it is the same repository.
            "full_name": name,
            "clone_url": clone_url,
            "default_branch": _default_branch(repository),
            # Two pushes of one commit (there, back and there again) are two events.
            "pushed_at": int(now),
        },
        "pusher": {"name": pusher},
        "head_commit": head,
        "commits": commits,
        "total_commits": total,
    }
    while len(_encode(payload)) > _MAX_PAYLOAD and payload["commits"]:
        payload["commits"] = payload["commits"][len(payload["commits"]) // 2 + 1 :]
    if head and len(_encode(payload)) > _MAX_PAYLOAD:
        head |= {"message": head["message"][:_MAX_MESSAGE], "added": [], "modified": []}
        head["removed"] = []
    return payload


def _encode(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def _git(repository: Path, *arguments: str) -> str:
    # As --git-dir: within a hook git has set GIT_DIR to a path of its own.
    return git(*arguments, env={"GIT_DIR": str(repository)})


def _default_branch(repository: Path) -> str:
    return _git(repository, "symbolic-ref", "HEAD").strip().removeprefix("refs/heads/")


def _commits(repository: Path, update: Update) -> Iterator[dict[str, Any]]:
    """The commits that the push added, oldest first."""
    limit = f"--max-count={_MAX_COMMITS}"
    yield from reversed(list(_log(repository, [limit, *_added(update)])))


def _added(update: Update) -> list[str]:
    """What the push added, in git's words."""
    if update.created:
        # A new branch adds what is on none of the others; --all would count HEAD, which may be it.
        return [update.after, "--not", f"--exclude={update.ref}", "--glob=refs/*"]
    return [update.after, f"^{update.before}"]


def _extent(repository: Path, update: Update) -> tuple[int, bool]:
    """How many commits the push added, and whether it took some back."""
    total = int(_git(repository, "rev-list", "--count", *_added(update)))
    if update.created:
        return total, False
    lost = _git(repository, "rev-list", "--max-count=1", update.before, f"^{update.after}")
    return total, bool(lost.strip())


def _log(repository: Path, arguments: list[str]) -> Iterator[dict[str, Any]]:
    """Commits as GitHub describes them, in git's order.

    Every field ends in NUL, which neither a message nor a path can hold; a token is read as a
    status or as the next commit by its place, never by what it looks like.
    """
    layout = "%H%x00%T%x00%aI%x00%an%x00%ae%x00%cn%x00%ce%x00%B%x00"
    text = _git(
        repository,
        *("log", "-z", "--name-status", "--no-renames", "--diff-merges=first-parent"),
        *(f"--format={layout}", *arguments),
    )
    tokens = iter(text.split("\0"))
    token = next(tokens, "").lstrip("\n")
    while token:
        tree, when, author, author_mail, committer, committer_mail, message = (
            next(tokens) for _ in range(7)
        )
        commit: dict[str, Any] = {
            "id": token,
            "tree_id": tree,
            "timestamp": when,
            "message": message.rstrip("\n"),
            "author": {"name": author, "email": author_mail},
            "committer": {"name": committer, "email": committer_mail},
            "added": [],
            "modified": [],
            "removed": [],
        }
        token = _next(tokens)
        while 0 < len(token) <= 2:  # a status letter; the next commit's hash is longer
            kind = {"A": "added", "D": "removed"}.get(token, "modified")
            commit[kind].append(next(tokens))
            token = _next(tokens)
        yield commit


def _next(tokens: Iterator[str]) -> str:
    """The next token that is not the empty one between two commits; empty at the end."""
    return next((token for raw in tokens if (token := raw.lstrip("\n"))), "")


def spool(folder: Path, payload: dict[str, Any]) -> Path:
    """Write the delivery, complete or not at all; files sort in the order of the pushes."""
    repository = payload["repository"]["clone_url"]
    identity = f"{repository} {payload['ref']} {payload['after']}"
    delivery = str(uuid.uuid5(_NAMESPACE, identity))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{time.time_ns():020d}-{delivery}.json"
    partial = target.with_suffix(f".{os.getpid()}.partial")
    content = {"event": "push", "delivery": delivery, "body": _encode(payload).decode()}
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(target)
    return target


@contextmanager
def alone(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whether nobody else sends what is in `folder` meanwhile; without `wait` somebody may.

    A folder that cannot be made holds nothing to send.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(lock)


def drain_spool(
    folder: Path,
    *,
    url: str,
    secret: bytes,
    attempts: int = 3,
    timeout: float = 5.0,
    patience: float = 0,
) -> list[Sent]:
    """Send every delivery in `folder`, oldest first, and remove those that the listener took.

    A delivery that the listener will never take moves to `folder/refused`; one that it may take
    later stays. `timeout` is in seconds for each attempt. Stops at the first that must wait, so
    that the order of pushes is kept. Then the listener has `patience` seconds, for all of them
    together, to say what came of them.
    """
    results: list[tuple[Sent, _Delivery | None]] = []
    for file in sorted(folder.glob("*.json")):
        try:
            delivery = _Delivery.read(file, secret)
        except FileNotFoundError:  # someone else delivered it meanwhile
            continue
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _refuse(file)
            broken = Sent(ref=file.name, taken=False, message=f"not a delivery: {error!r}")
            results.append((broken, None))
            continue
        sent = _deliver(file, delivery, url=url, attempts=attempts, timeout=timeout)
        results.append((sent, delivery))
        if not sent.taken and file.exists():
            break
    deadline = time.monotonic() + patience
    return [
        _with_outcome(sent, delivery, url, deadline - time.monotonic())
        if sent.taken and delivery
        else sent
        for sent, delivery in results
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """A webhook, ready to be sent."""

    ref: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, file: Path, secret: bytes) -> _Delivery:
        document = json.loads(file.read_text(encoding="utf-8"))
        body = document["body"].encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": document["event"],
            "x-github-delivery": document["delivery"],
            signature.HEADER: signature.sign(body, secret),
        }
        return cls(ref=json.loads(body)["ref"], headers=headers, body=body)


def _deliver(file: Path, delivery: _Delivery, *, url: str, attempts: int, timeout: float) -> Sent:
    import httpx

    ref = delivery.ref
    try:
        answer = _post(url, delivery, attempts=attempts, timeout=timeout)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        return Sent(ref=ref, taken=False, message=f"no answer from {url}: {reason}")
    if answer.is_success:
        file.unlink(missing_ok=True)
        return Sent(ref=ref, taken=True, message=_field(answer, "status"))
    if answer.status_code in _PERMANENT:
        _refuse(file)
    reason = _field(answer, "error")
    return Sent(ref=ref, taken=False, message=f"{url} answered {answer.status_code}: {reason}")


def _with_outcome(sent: Sent, delivery: _Delivery, url: str, seconds: float) -> Sent:
    """What was sent, and what came of it, where the listener knows within so many seconds.

    It is asked by the delivery itself, which it knows by then: no one else can ask.
    """
    import httpx

    if seconds <= 0:
        return sent
    headers = {**delivery.headers, "prefer": f"wait={math.ceil(seconds)}"}
    try:
        answer = _post(url, replace(delivery, headers=headers), attempts=1, timeout=seconds)
        content = answer.json()
        return replace(sent, outcome=content["outcome"], runs=tuple(content["runs"]))
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return sent


def _post(url: str, delivery: _Delivery, *, attempts: int, timeout: float) -> Any:
    """The listener's last answer; tried again after a 5xx or 429, or where the connection broke.

    One that does not answer in time is not asked again: somebody waits for this push.
    """
    import httpx
    import tenacity

    def busy(answer: httpx.Response) -> bool:
        return answer.status_code >= 500 or answer.status_code == 429

    def broken(error: BaseException) -> bool:
        late = isinstance(error, httpx.TimeoutException)
        return isinstance(error, httpx.TransportError) and not late

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_exponential(multiplier=0.1, max=2),
        retry=tenacity.retry_if_exception(broken) | tenacity.retry_if_result(busy),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    # The listener is on this machine: a proxy from the environment must not see the webhook.
    with httpx.Client(timeout=timeout, trust_env=False) as client:
        return retrying(client.post, url, headers=delivery.headers, content=delivery.body)


def _field(answer: Any, name: str) -> str:
    try:
        return str(answer.json()[name])
    except (ValueError, KeyError, TypeError):
        return str(answer.text[:200])


def _refuse(file: Path) -> None:
    folder = file.parent / "refused"
    folder.mkdir(exist_ok=True)
    file.replace(folder / file.name)
