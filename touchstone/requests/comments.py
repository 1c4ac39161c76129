"""What does a command in a pull request's comment do? `/test`, `/retest`, `/cancel`, `/approve`, …

The first line of a comment is a command or nothing. Who may give which is in the GitOps
repository's people.yaml; from anyone else a command does nothing and gets no answer, so that
strangers cannot write on commits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from touchstone.delivery import people, review
from touchstone.delivery.decisions import Reviewer
from touchstone.delivery.gitops import Identity
from touchstone.delivery.status import Status
from touchstone.errors import TouchstoneError, UsageError
from touchstone.requests.keeper import Control
from touchstone.requests.start import Wanted, resolve, start

TEMPLATE = "model-check"
"""The TriggerTemplate of a pull request's run."""

CONTEXT = "touchstone/command"
HOLD_CONTEXT = "touchstone/hold"
"""A status of its own: while it is pending, a branch rule that asks for it keeps a merge away."""


class Command(StrEnum):
    """What a comment may ask for."""

    TEST = "test"
    RETEST = "retest"
    CANCEL = "cancel"
    APPROVE = "approve"
    HOLD = "hold"
    UNHOLD = "unhold"

    @property
    def reviews(self) -> bool:
        """Whether it is a word on a promotion, not on a run."""
        return self in (Command.APPROVE, Command.HOLD, Command.UNHOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment on a pull request, as its forge tells of it."""

    text: str
    forge: str
    author: str
    """The login that the forge vouches for."""
    repository: str
    """Owner and name."""
    repo_url: str
    pull_request: str
    """Its number."""
    branch: str
    ref: str
    """Where the pull request's newest commit is, such as refs/pull/7/head."""
    revision: str
    """The newest commit as the comment's author saw it, or its beginning; empty where unsaid."""
    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the platform knows and no comment says."""

    gitops_url: str
    image_registry: str
    public_key: Path
    """Verifies attestations before a merge."""
    recording_key: Path
    """Signs what an account decided: the forge's signed webhook said who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was done, to be left on the commit."""

    commit: str
    status: Status


def parse(text: str) -> Command | None:
    """The command on the first line; `/hold cancel` is `/unhold`. None where it is no command."""
    words = (text.splitlines() or [""])[0].split()
    if words == ["/hold", "cancel"]:
        return Command.UNHOLD
    match = re.fullmatch(r"/([a-z]+)", words[0]) if len(words) == 1 else None
    return Command(match[1]) if match and match[1] in set(Command) else None


def act(comment: Comment, control: Control, installation: Installation) -> Answer | None:
    """Do what the comment asks; None, and nothing done, where its author may not ask for it.

    Raises:
        UsageError: it holds no command, or the pull request cannot be found.
        ManifestError: people.yaml is wrong.
        PlatformError: git or the place of the runs cannot be reached.
    """
    command = parse(comment.text)
    if command is None:
        raise UsageError(f"got the comment {comment.text!r}, expected one of {_COMMANDS}")
    allowed = people.read(installation.gitops_url)
    person = f"{comment.forge}:{comment.author}"
    if not (allowed.may_review(person) if command.reviews else allowed.may_run(person)):
        return None
    commit = comment.revision
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
        commit = resolve(comment.repo_url, comment.ref, seen=commit)
    try:
        if command.reviews:
            done = _review(command, commit, _reviewer(comment, installation), installation)
        else:
            done = _run(command, commit, comment, control, installation)
        state = "pending" if command is Command.HOLD else "success"
    except TouchstoneError as error:
        done, state = str(error), "error"
    asked = f"/{command.value} by {comment.author}: {done}"
    holds = command in (Command.HOLD, Command.UNHOLD)
    status = Status.of(state, asked, context=HOLD_CONTEXT if holds else CONTEXT)
    return Answer(commit=commit, status=status)


_COMMANDS = ", ".join(f"/{command.value}" for command in Command)


def _run(
    command: Command, commit: str, comment: Comment, control: Control, installation: Installation
) -> str:
    if command is Command.TEST:
        wanted = Wanted(
            template=TEMPLATE,
            repo_url=comment.repo_url,
            repository=comment.repository,
            branch=comment.branch,
            revision=commit,
            image_registry=installation.image_registry,
            gitops_url=installation.gitops_url,
            event=comment.event,
            forge=comment.forge,
            pull_request=comment.pull_request,
        )
        return f"started {start(control, wanted)}"
    runs = control.runs(comment.repository, comment.pull_request)
    if command is Command.CANCEL:
        ended = [run.name for run in runs if not run.done and control.cancel(run.name)]
        return f"cancelled {', '.join(ended)}" if ended else "nothing runs"
    newest = next((run for run in runs if run.revision == commit), None)
    if newest is None:
        return f"nothing ran for {commit[:7]}: /test starts it"
    if not newest.done:
        return f"{newest.name} has not ended: wait for it, or /cancel"
    if not newest.failed:
        return f"nothing failed in {newest.name}: /test runs it anew"
    name, extent = control.repeat(newest.name)
    return f"started {name}, {extent} of {newest.name}"


def _review(command: Command, commit: str, who: Reviewer, installation: Installation) -> str:
    url, key = installation.gitops_url, installation.public_key
    branches = [found.branch for found in review.open_reviews(url, key) if found.commit == commit]
    if not branches:
        raise UsageError(
            f"{commit[:7]} is the newest commit of no open promotion, expected a pull request of"
            " the GitOps repository"
        )
    if command is Command.APPROVE:
        return review.approve(url, branches[0], key, who)
    decide = review.hold if command is Command.HOLD else review.release
    return decide(url, branches[0], key, who)


def _reviewer(comment: Comment, installation: Installation) -> Reviewer:
    """The person as git and the record of reviews name them; the address leads nowhere."""
    account = f"{comment.forge}:{comment.author}"
    who = Identity(account, f"{comment.author}@{comment.forge}.invalid")
    return Reviewer(identity=who, key=installation.recording_key, account=account)
