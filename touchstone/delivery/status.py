"""Commit statuses: what a forge shows beside a commit; in an embedded repository, git notes."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from touchstone.artifacts.store import Store
from touchstone.delivery import forges
from touchstone.delivery.gitops import TOUCHSTONE
from touchstone.delivery.promote import describe, failed_checks
from touchstone.errors import PlatformError, UsageError
from touchstone.git import git
from trust_gates.report.asked import Yardstick
from trust_gates.visible import one_line

NOTES = "refs/notes/touchstone-status"
_LIMIT = 140
"""GitHub refuses a longer description, and the others take less than twice that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One commit status, in GitHub's words."""

    state: str
    """`success`, `failure` (a gate refused), `error` (a stage broke) or `pending`."""
    description: str
    context: str = "touchstone"
    target_url: str = ""

    @classmethod
    def of(cls, state: str, text: str, *, context: str) -> Status:
        """A status that says `text`, as far as a forge takes it."""
        return cls(state=state, description=_shortened(text), context=context)


def verdict_of(store: Store, run: str, *, ended: str) -> tuple[str, Mapping[str, Any]] | None:
    """The verdict that the run's name points to, with its digest; None where there is none.

    Whoever may write to the store can set the reference. `ended` is what Tekton says of the stage
    that decides, `$(tasks.verdict.status)`: it succeeds exactly where the model passed. A verdict
    that says otherwise, or that is of another run, counts for none.
    """
    digest = store.ref(f"runs/{run}/verdict")
    if digest is None:
        return None
    document = store.get_json(digest)
    passed = {"Succeeded": True, "Failed": False}.get(ended)
    if passed is None or document["passed"] is not passed or document["run"] != run:
        return None
    return digest, document


def note_source(store: Store, run: str, source: str) -> None:
    """Remember which tree of a model repository the run is about."""
    store.set_ref(f"runs/{run}/source", source)


def note_problems(store: Store, source: str, problems: Sequence[str]) -> None:
    """Remember what is wrong with a model repository's tree.

    By the tree and not by the run, whose name would be one more thing that the stage reads.
    """
    store.set_ref(f"refused/{source.removeprefix('sha256:')}", store.put_json(list(problems)))


def problems_of(store: Store, run: str) -> Sequence[str]:
    """What was wrong with the tree that the run is about; nothing where nobody noted it."""
    source = store.ref(f"runs/{run}/source")
    digest = source and store.ref(f"refused/{source.removeprefix('sha256:')}")
    return [str(one) for one in store.get_json(digest)] if digest else []


def of_run(
    run_status: str,
    verdict: Mapping[str, Any] | None,
    *,
    run: str = "",
    problems: Sequence[str] = (),
    promoted: bool = True,
    target_url: str = "",
) -> Status:
    """What a run that ended with Tekton's `$(tasks.status)` says about its commit.

    `run` is its name, for who wants to know why it broke; `problems` are what the stage validate
    found. `promoted` is whether a promotion was
    asked for: a pull request's run only judges.
    """
    if verdict is None and problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        state, text = "failure", f"{count} before training: {problems[0]}"
        text = _ending(text, f"; touchstone describe {run}")
    elif verdict is None:
        state, text = "error", f"the run ended {run_status} before there was a verdict"
        # A run's name may be of any length, and half a command helps nobody.
        more = f"; touchstone describe {run} says why" if run else ""
        text += more if len(text) + len(more) <= _LIMIT else ""
    elif verdict.get("passed") is not True:
        state, text = "failure", _refusal(verdict)
    elif run_status not in ("Succeeded", "Completed"):
        state, text = "error", f"the gates passed, but the run ended {run_status}"
    else:
        review = "a review is open" if promoted else "nothing was promoted"
        weak = Yardstick.of(verdict).counted
        state, text = "success", f"passed all {len(verdict['checks'])} checks; {review}"
        text += f"; {weak}" if weak else ""
    return Status(state=state, description=_shortened(text), target_url=target_url)


def post(
    url: str, commit: str, status: Status, *, forge: str = "", token: str = "", api: str = ""
) -> str:
    """Put `status` on `commit` of the repository `url`; return where it can be read.

    `forge` is one of touchstone.delivery.forges.FORGES, or empty where the host says it; `api`
    takes the place of its API's usual address.

    Raises:
        UsageError: there is no way to put a status there.
        PlatformError: the forge or git refused it.
    """
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
        raise UsageError(f"got commit {commit!r}, expected a full commit id")
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _post_note(Path(unquote(parts.path)), commit, status)
    fields = {key: value for key, value in asdict(status).items() if value}
    asked = forges.request(url, commit, fields, forge=forge, token=token, api=api)
    if not token:
        raise PlatformError(
            f"got no token for {parts.hostname}", hint="pass --token-file, a mounted Secret's file"
        )
    return _send(asked, parts.hostname or "")


def read(repository: Path, commit: str) -> list[Status]:
    """The statuses on `commit` of an embedded repository, one a context; skips what is none."""
    try:
        text = git("notes", f"--ref={NOTES}", "show", commit, cwd=repository)
    except PlatformError:
        return []  # git's way of saying that there is no note
    found = []
    for line in filter(str.strip, text.splitlines()):
        # Whoever may push to the repository may write a note.
        with suppress(ValueError, TypeError, RecursionError):
            found.append(Status(**json.loads(line)))
    return found


def _post_note(repository: Path, commit: str, status: Status) -> str:
    # Reading and writing notes is no transaction in git: of two runs that end at once, one's
    # status would be lost without the lock.
    with (repository / "touchstone-status.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [s for s in read(repository, commit) if s.context != status.context]
        text = "\n".join(json.dumps(asdict(s)) for s in [*others, status])
        arguments = ["notes", f"--ref={NOTES}", "add", "--force", "--file=-", commit]
        git(*arguments, cwd=repository, env=TOUCHSTONE.environment, data=text)
    return f"git --git-dir {repository} notes --ref=touchstone-status show {commit[:12]}"


def _send(asked: forges.Request, host: str) -> str:
    import httpx

    try:
        answer = httpx.post(
            asked.url, json=dict(asked.body), headers=dict(asked.headers), timeout=20
        )
    except httpx.HTTPError as error:
        raise PlatformError(f"{host} cannot be reached: {type(error).__name__}") from None
    if not answer.is_success:
        raise PlatformError(
            f"{host} answered {answer.status_code} to the status, expected 2xx:"
            f" {answer.text[:200]}",
            hint=f"the token needs {asked.permission}",
        )
    return asked.page


def _refusal(verdict: Mapping[str, Any]) -> str:
    """The check that failed first, how many did not pass beside it, and where all of them stand."""
    reasons = [describe(check) for check in failed_checks(verdict)]
    if not reasons:
        return "refused by the verdict, which names no failed check"
    after = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    if verdict.get("run"):
        after += f"; touchstone report {verdict['run']}"
    return _ending(f"refused by {reasons[0]}", after)


def _ending(text: str, end: str) -> str:
    """The text as far as there is room before `end`, which stays whole or, too long, is left out.

    A run's name may be of any length.
    """
    end = end if len(end) <= _LIMIT // 2 else ""
    return _shortened(text, _LIMIT - len(end)) + end


def _shortened(text: str, limit: int = _LIMIT) -> str:
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
