"""What did reviewers decide about a promotion, and whose word is it?

A decision is an in-toto Statement about the promotion's commit and its release, signed by the
reviewer's own key, one envelope a line. The name that someone typed counts for nothing: a person is
who people.yaml names by that key, or by the account that a forge's signed webhook vouched for,
which the platform signs with its recording key. While a promotion is open its decisions lie in a
git note on its commit; a merge commits those that it rests on beside the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from touchstone.delivery import attestation, gitops
from touchstone.delivery.people import People
from touchstone.errors import PlatformError, TouchstoneError
from touchstone.runs import faults
from trust_gates.visible import one_line

PREDICATE = "https://touchstone.dev/review/decision/v1"
APPROVED, ROLLBACK, REJECTED = "approved", "rollback", "rejected"
HELD, RELEASED = "held", "released"
SUPERSEDED = "superseded"
"""By a newer version, which the reviewer let in: the reason names it."""
COMMIT = "commit"
"""Name of the subject that is the promotion's commit."""

_TEXT_LIMIT, _LINE_LIMIT, _MOST_LINES = 1 << 20, 1 << 14, 1000
"""Of what is longer the end is read: there the newest decisions are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """Who decides."""

    identity: gitops.Identity
    """Whom git names as author of a merge; it proves nothing."""
    key: Path
    """PEM file of the private key: the person's own, or the recording key for an account."""
    account: str = ""
    """`<forge>:<login>` where a forge vouched for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One reviewer's word on one commit; its signature was verified."""

    decision: str
    """`approved`, `rollback`, `rejected`, `held`, `released` or `superseded`."""
    reviewer: str
    """As people.yaml names them."""
    reason: str
    at: str
    """RFC 3339, UTC."""
    environment: str = ""
    model: str = ""
    person: str = field(default="", repr=False)
    """Tells one person from another: a key, or an account without one."""
    line: str = field(default="", repr=False)
    """The signed envelope."""


def signed(
    decision: str,
    reviewer: Reviewer,
    about: Mapping[str, str],
    *,
    environment: str = "",
    model: str = "",
    reason: str = "",
) -> str:
    """The envelope, one line, of `decision` about the subjects `about`.

    Raises:
        ManifestError: the key file holds no ed25519 private key.
    """
    predicate = {
        "decision": decision,
        "environment": environment,
        "model": model,
        "account": reviewer.account,
        "reason": reason,
        "decidedOn": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return attestation.sign([attestation.statement(PREDICATE, predicate, about)], reviewer.key)


def check_may_decide(reviewer: Reviewer, people: People, promoter: str) -> None:
    """Raise TouchstoneError where the reviewer's word would not count; says the line to add."""
    key = attestation.key_text(reviewer.key)
    where = f"{gitops.PEOPLE_FILE} on {gitops.MAIN} of the GitOps repository"
    if key == promoter or (key == people.recorder and not reviewer.account):
        raise TouchstoneError(
            "got a key that the platform signs with, expected one of a person",
            hint="what signs a release does not approve it",
        )
    if reviewer.account:
        if people.recorder != key:
            raise TouchstoneError(
                f"{where} does not name the key that records what accounts decide",
                hint=f'add there the line  recorder: "{key}"',
            )
        if not people.may_review(reviewer.account):
            raise TouchstoneError(
                f"{where} does not let {reviewer.account} review",
                hint=f"add there, to the list review:, {reviewer.account}",
            )
        return
    if not people.name_of(key):
        line = f'{gitops.slug(reviewer.identity.name)}: "{key}"'
        raise TouchstoneError(
            f"{where} does not name the key {key}, so its decisions count for nothing",
            hint=f"add there, below keys:, the line  {line}"
            if people.keys
            else f"add there, or write in place of keys:, the line  keys: {{{line}}}",
        )


def noted(checkout: gitops.Checkout, commit: str) -> str:
    """The text of the note on `commit`; empty where there is none that can be read."""
    try:
        note = checkout.git("notes", f"--ref={gitops.REVIEWS}", "list", commit)
        return checkout.git("cat-file", "blob", note)
    except PlatformError:
        return ""  # git's way of saying that there is no note


def read(
    text: str, people: People, promoter: str, about: Mapping[str, str]
) -> tuple[list[Decision], list[str]]:
    """The decisions about the subjects `about` in `text`, and of each other line why it is none.

    A line that is malformed, too long, of an unknown key or about something else is skipped.
    """
    found, skipped = [], []
    lines = [line for line in text[-_TEXT_LIMIT:].splitlines() if line.strip()]
    for number, line in enumerate(lines[-_MOST_LINES:], 1):
        try:
            found.append(_decision(line, people, promoter, about))
        except Exception as error:
            if faults.passing(error):
                raise
            skipped.append(one_line(f"line {number} counts for nothing: {faults.words(error)}"))
    return found, skipped


def approvals(decisions: Iterable[Decision], kind: str, where: tuple[str, str]) -> list[Decision]:
    """The decisions of that kind for (environment, model), one a person."""
    by_person: dict[str, Decision] = {}
    for one in decisions:
        if one.decision == kind and (one.environment, one.model) == where:
            by_person.setdefault(one.person, one)
    return list(by_person.values())


def holds(decisions: Sequence[Decision]) -> list[str]:
    """The hold that nobody has ended, and what was rejected for good, in words.

    Whoever may push can put a rejected branch back, and the approvals of its commit stay true.
    """
    last = [one for one in decisions if one.decision in (HELD, RELEASED)][-1:]
    held = [f"{one.reviewer} holds it since {one.at}" for one in last if one.decision == HELD]
    return held + [
        f"{one.reviewer} rejected it: {one.reason}" for one in decisions if one.decision == REJECTED
    ]


def _decision(line: str, people: People, promoter: str, about: Mapping[str, str]) -> Decision:
    if len(line) > _LINE_LIMIT:
        raise TouchstoneError(f"it has {len(line)} characters, at most {_LINE_LIMIT} are read")
    persons = set(people.keys.values()) - {promoter, people.recorder}
    keys = persons | ({people.recorder} if people.recorder not in (None, promoter) else set())
    document, key = attestation.signer(line, [one for one in keys if one])
    if document["predicateType"] != PREDICATE:
        raise TouchstoneError(f"it is a {document['predicateType']}, expected {PREDICATE}")
    predicate = {name: str(value) for name, value in document["predicate"].items()}
    account = predicate["account"]
    by_account = key == people.recorder
    if by_account is not bool(account) or (by_account and not people.may_review(account)):
        raise TouchstoneError(f"{account or 'an account without a name'} may not review")
    subjects = {name: value for name, value in about.items() if _needs(predicate, name)}
    attestation.check_subjects(document, subjects)
    return Decision(
        decision=predicate["decision"],
        reviewer=account or people.name_of(key),
        reason=predicate["reason"],
        at=predicate["decidedOn"],
        environment=predicate["environment"],
        model=predicate["model"],
        person=people.person(account) if account else key,
        line=line,
    )


def _needs(predicate: Mapping[str, str], subject: str) -> bool:
    """A hold or a rejection is of a commit, whatever it holds; an approval of a release, too."""
    return subject == COMMIT or predicate["decision"] in (APPROVED, ROLLBACK)
