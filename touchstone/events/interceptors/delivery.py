"""The interceptor `touchstone`: is this delivery to start something, whichever forge sent it?

It verifies who sent the delivery as the interceptors `github`, `gitlab` and `bitbucket` do, each
forge by a Secret of its own, and puts what happened into extensions that are the same for all. What
starts nothing stops here, with a sentence for people. What the delivery does not tell (a commit,
the default branch, which files changed) is not guessed: it goes to a trigger with `asks`, whose
step asks git.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from touchstone.documents.naming import SHORTEST, image_name, run_name
from touchstone.events.forges.event import (
    COMMENT,
    KINDS,
    PULL_REQUEST,
    PUSH,
    TAG,
    Event,
    UnreadableError,
)
from touchstone.events.interceptors.forge import Forge
from touchstone.events.interceptors.interceptor import (
    ElsewhereError,
    Passed,
    Request,
    Secrets,
    UnwantedError,
)
from touchstone.events.interceptors.params import SecretRef, by_name, flag, texts
from touchstone.events.interceptors.senders import SENDERS, Sender
from touchstone.runs import otlp

_COMMAND = re.compile(r"/(test|retest|cancel|approve|hold|unhold)([ \t]+cancel)?")
_SKIP = ("[skip ci]", "[ci skip]")
_MOST_REFS = 10
"""Of one push. GitHub and GitLab tell of no push of more than three."""

_SHOWN_NAME, _SHOWN_FILES, _SHOWN_REASONS = 80, 3, 3
_NAMES = {PUSH: "branch", TAG: "tag", PULL_REQUEST: "pull request", COMMENT: "comment"}
_TEMPLATES = {PUSH: "model", TAG: "model", PULL_REQUEST: "model-check"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What of all that forges send is for this trigger."""

    kind: ClassVar[str] = "touchstone"

    events: tuple[str, ...]
    """Of touchstone.events.forges.event.KINDS."""
    proofs: tuple[tuple[Sender, Forge], ...]
    """What must hold of each forge's deliveries that may tell of these."""
    asks: bool
    """Whether it takes those of which git must be asked something; else it takes the others."""
    branch: str
    """The branch that counts; empty for the repository's default branch."""
    tags: re.Pattern[str]
    ignore: re.Pattern[str] | None
    """Files that start nothing."""

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> Delivery:
        """Raises ValueError where the params are not what this interceptor defines."""
        known = ("events", "asks", "branch", "tags", "ignore")
        given = by_name(params, known, of=cls.kind)
        events = texts(given.get("events"), name="events") or ()
        if not events or not set(events) <= set(KINDS):
            raise ValueError(f"got events {list(events)}, expected some of {list(KINDS)}")
        words = {name: given.get(name, "") for name in ("branch", "tags", "ignore")}
        for name, value in words.items():
            if not isinstance(value, str):
                raise ValueError(f"got {name} {value!r}, expected a text")
        return cls(
            events=events,
            proofs=tuple((sender, sender.proof(events)) for sender in SENDERS),
            asks=flag(given.get("asks"), name="asks"),
            branch=words["branch"],
            tags=_pattern("tags", words["tags"]),
            ignore=_pattern("ignore", words["ignore"]) if words["ignore"] else None,
        )

    @property
    def secrets_used(self) -> frozenset[SecretRef]:
        """The Secrets of all forges."""
        return frozenset(check.secret for check in self.checks if check.secret)

    @property
    def checks(self) -> tuple[Forge, ...]:
        """One for each forge; one that holds is enough to listen to the sender."""
        return tuple(proof for _, proof in self.proofs)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Check the proof of the forge as which the request speaks."""
        self._sender(request)[1].authenticate(request, secrets)

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Check who sent it, read it, and judge what it tells."""
        sender, proof = self._sender(request)
        passed = proof.process(request, secrets)
        event = request.header(sender.check.EVENT)
        try:
            told = sender.read(event, request.body)
        except UnreadableError as error:
            raise UnwantedError(
                f"{_shown(str(error))}, expected what {sender.name} sends as {event}",
                notes=passed.notes,
            ) from None
        mine = [one for one in told if one.kind in self.events]
        if not mine:
            expected = " or ".join(_NAMES[kind] for kind in self.events)
            raise ElsewhereError(f"it tells of no {expected}", notes=passed.notes)
        taken = self._taken(mine, passed.notes)
        notes = [*passed.notes, *(_note(one) for one in taken)]
        trace = otlp.of_event(request.event_id, request.header("traceparent"))
        extensions = {**self._extensions(taken, sender), "traceparent": trace}
        return Passed(extensions=extensions, notes=tuple(notes))

    def spoken(self, request: Request) -> str:
        """The forge as which the request speaks, which proves nothing; empty for none."""
        return next((sender.name for sender, _ in self.proofs if sender.spoke(request)), "")

    def _sender(self, request: Request) -> tuple[Sender, Forge]:
        """The forge as which the request speaks, and what must hold for it."""
        spoken = ""
        for sender, proof in self.proofs:
            event = request.header(proof.EVENT)
            spoken = spoken or event
            if sender.spoke(request) and event in (proof.event_types or ()):
                return sender, proof
        raise ElsewhereError(f"the event type {_shown(spoken) or '(absent)'} is for other triggers")

    def _taken(self, mine: list[Event], notes: tuple[str, ...]) -> list[Event]:
        refusals = {id(one): self.refusal(one) for one in mine}
        wanted = [one for one in mine if not refusals[id(one)]]
        if not wanted:
            reasons = [*dict.fromkeys(refusals.values())]
            raise UnwantedError(", and ".join(reasons[:_SHOWN_REASONS]), notes=notes)
        if len(wanted) > _MOST_REFS:
            raise UnwantedError(
                f"{len(wanted)} branches and tags were pushed at once, and at most {_MOST_REFS}"
                " start runs: push them in turn",
                notes=notes,
            )
        # A trigger makes one run; a step that asks git makes as many as there are to make.
        open_questions = len(wanted) > 1 or any(map(self._questions, wanted))
        if open_questions is not self.asks:
            raise ElsewhereError(
                "git is to be asked first" if open_questions else "there is nothing to ask of git",
                notes=notes,
            )
        return wanted

    def refusal(self, one: Event) -> str:
        """Why the event starts nothing, as far as it tells; empty where it starts something."""
        if one.idle:
            return _shown(one.idle)
        name = _shown(one.name)
        if one.gone:
            return f"the {'tag' if one.kind == TAG else 'branch'} {name} was deleted"
        if one.kind == TAG:
            only = f"only tags like {self.tags.pattern} start a run, and this was {name}"
            return "" if self.tags.search(one.name) else only
        if one.fork:
            return f"a fork's {_NAMES[one.kind]}: its code is a stranger's"
        if one.kind == COMMENT:
            fits = _COMMAND.fullmatch(one.text)
            return "" if fits else f"the first line is no command: {_shown(one.text)}"
        return self._other_branch(one) or self._skipped(one) or self._documents(one)

    def _other_branch(self, one: Event) -> str:
        chosen = self.branch or one.repository.default_branch
        where = one.into if one.kind == PULL_REQUEST else one.name
        if not chosen or where == chosen:
            return ""
        which = f"the {'branch' if self.branch else 'default branch'}, {_shown(chosen)},"
        other = _shown(where)
        if one.kind == PULL_REQUEST:
            return f"only a pull request into {which} starts a run, and this was into {other}"
        return f"only {which} starts a run, and this was a push to {other}"

    def _skipped(self, one: Event) -> str:
        found = next((mark for mark in _SKIP if mark in one.words), "")
        return f"{found} in {one.wordy}" if found else ""

    def _documents(self, one: Event) -> str:
        # Of a new branch it is listed only what is on no other.
        if one.moved or not one.follows or not self._only_ignored(one):
            return ""
        files = sorted(set(one.files or ()))
        more = f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
        return f"only documents changed: {', '.join(map(_shown, files[:_SHOWN_FILES]))}{more}"

    def _only_ignored(self, one: Event) -> bool:
        if self.ignore is None or not one.files:
            return False
        # A name of two lines is not one that the pattern means.
        return all("\n" not in name and self.ignore.search(name) for name in one.files)

    def _questions(self, one: Event) -> bool:
        """Whether the delivery leaves open whether a run starts, or of which commit."""
        if one.kind == COMMENT:
            return False
        if not one.whole or not (one.kind == TAG or self.branch or one.repository.default_branch):
            return True
        if one.kind == PULL_REQUEST:  # no forge lists the files
            return True
        unlisted = one.files is None or self._only_ignored(one)
        return one.kind == PUSH and one.follows and unlisted and self.ignore is not None

    def _extensions(self, taken: list[Event], sender: Sender) -> dict[str, Any]:
        first, *further = taken
        name = first.repository.name.rpartition("/")[2]
        return {
            "event": first.kind,
            "forge": sender.name,
            "repository": first.repository.name,
            "clone_url": first.repository.clone_url,
            "default_branch": first.repository.default_branch,
            "image_name": image_name(name),
            "run_name": run_name(name),
            "template": _TEMPLATES.get(first.kind, ""),
            "pull_request": first.number,
            "author": first.author,
            "text": first.text,
            "files": "unknown" if first.files is None else list(first.files),
            "short_revision": first.revision[:SHORTEST],
            **self._change(first),
            "further": json.dumps([self._change(one) for one in further]),
        }

    def _change(self, one: Event) -> dict[str, str]:
        """What start-run is told of one ref."""
        before = f"refs/heads/{one.into}" if one.into else one.before if one.follows else ""
        known = self.branch or one.repository.default_branch or one.kind == TAG
        return {
            "branch": one.name,
            "ref": one.ref,
            "revision": one.revision,
            "since": before if one.kind in (PUSH, PULL_REQUEST) else "",
            "ignore": self.ignore.pattern if self.ignore and one.kind != TAG else "",
            "target": "" if known else one.into or one.name,
        }


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"got {name} {text!r}, expected a regular expression: {error}") from None


def _shown(text: str) -> str:
    """A stranger's words within a sentence: printable, short, and without what parts sentences."""
    clean = "".join(letter if letter.isprintable() and letter != ";" else "?" for letter in text)
    return clean if len(clean) <= _SHOWN_NAME else f"{clean[:_SHOWN_NAME]}…"


def _note(one: Event) -> str:
    files = "which files changed is unknown" if one.files is None else f"{len(one.files)} files"
    return f"{one.kind} of {_shown(one.ref)} in {_shown(one.repository.name)}, {files}"
