"""What main of the GitOps repository says, and so what is served: verify first, then switch.

A folder that does not verify, or that no review let in, is not served, and the newest earlier state
of it that does goes on serving, also after a restart: the repository's history is the only memory.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from touchstone.artifacts import models
from touchstone.artifacts.store import Store
from touchstone.delivery import admission, gitops
from touchstone.delivery import release as releases
from touchstone.delivery.admission import Entry
from touchstone.delivery.serve import Serving
from touchstone.errors import PlatformError, TouchstoneError
from touchstone.git import git
from touchstone.runs import faults

_HISTORY = 20
"""How many earlier merges into a folder are tried when the newest state does not verify."""
_MERGED = 2
"""Parents of a merge: main before it, and what was reviewed."""
_RETRY_SECONDS = 30.0


class Outcome(StrEnum):
    """What became of one model in one environment."""

    SERVED = "served"
    RESTARTED = "restarted"
    REFUSED = "refused"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncEvent:
    """Something that changed, in words for the log."""

    environment: str
    model: str
    version: str
    outcome: Outcome
    reason: str = ""
    merged: str = ""
    """The merge that brought what is served now; empty for what was there at the start."""

    def __str__(self) -> str:
        text = f"{self.environment}/{self.model} {self.version} {self.outcome}"
        return f"{text}: {self.reason}" if self.reason else text


@dataclass(frozen=True, slots=True)
class _Desired:
    """What should be served at one place, or why nothing there may be."""

    release: releases.Release | None
    merged: str
    """The commit of main that brought it; empty for what was there at the start."""
    refusal: str
    refused: str
    """Version or commit of the state that was refused."""


class Sync:
    """One GitOps repository and the platform that serves it; `step` is the whole loop."""

    def __init__(self, url: str, *, store: Store, public_key: Path, serving: Serving) -> None:
        self._url = url
        self._store = store
        self._public_key = public_key
        self._serving = serving
        self._main = ""
        self._desired: dict[tuple[str, str], _Desired] = {}
        self._identities: dict[tuple[str, str], str] = {}
        """Identity of the release that is served, by environment and model."""
        self._retry: dict[tuple[str, str], tuple[str, float]] = {}
        """Release that failed to start, and when to try it again (monotonic seconds)."""
        self._rewritten = ""
        """A head of main that does not descend from what was read; it is not cloned again."""
        self._again = math.inf
        """When to judge the same main anew (monotonic seconds)."""
        self._doubtful = False
        """Whether something was refused for what git or the store could not do."""
        self._unreadable = ""
        """Why main could not be read at the last step."""

    def step(self) -> list[SyncEvent]:
        """Bring what is served in line with main once; return what changed.

        What cannot be read now is read at a later step, and what main said last goes on being
        served; what cannot be served does not keep the next from being. Never raises.
        """
        events = []
        try:
            events = self._read()
            self._unreadable = ""
        except Exception as error:
            if self._unreadable != (problem := faults.words(error)):
                self._unreadable = problem
                events.append(_event(("-", "-"), "-", Outcome.FAILED, problem))
        for key, desired in self._desired.items():
            if desired.release is not None:
                events += self._serve(key, desired.release, desired.merged)
        for key in set(self._serving.served()) - set(self._desired):
            version = self._serving.current(*key) or "-"
            try:
                self._serving.remove(*key)
            except Exception as error:
                events.append(_event(key, version, Outcome.FAILED, faults.words(error)))
                continue
            self._identities.pop(key, None)
            events.append(_event(key, version, Outcome.REMOVED, "its folder is gone from main"))
        return events

    def _read(self) -> list[SyncEvent]:
        head = git("ls-remote", self._url, f"refs/heads/{gitops.MAIN}").partition("\t")[0]
        if not head:
            self._serving.expect(())
        if not head or (head == self._main and time.monotonic() < self._again):
            return []
        if head == self._rewritten:
            raise self._lost()
        events: list[SyncEvent] = []
        self._doubtful = False
        with gitops.clone(self._url) as checkout:
            self._check_descends(checkout, head)
            # What was cloned counts: main may have moved since ls-remote.
            cloned = checkout.commit_of("HEAD") or head
            found = {}
            for key in _places(checkout):
                desired = self._judge(checkout, key)
                found[key] = desired
                before = self._desired.get(key)
                if desired.refusal and (before is None or before.refusal != desired.refusal):
                    reason = desired.refusal + self._goes_on(desired)
                    events.append(_event(key, desired.refused, Outcome.REFUSED, reason))
        self._serving.expect(key for key, one in found.items() if one.release is not None)
        self._desired, self._main = found, cloned
        self._again = time.monotonic() + _RETRY_SECONDS if self._doubtful else math.inf
        return events

    def _check_descends(self, checkout: gitops.Checkout, head: str) -> None:
        """Raise where main was rewritten: its history is what tells an old release from a new.

        What was read must be on its line of first parents: as the second parent of a merge, main
        would be a branch of a history that has not seen the releases since.
        """
        line = checkout.git("rev-list", "--first-parent", f"origin/{gitops.MAIN}").splitlines()
        if self._main and self._main not in line:
            self._rewritten = head
            raise self._lost()

    def _lost(self) -> TouchstoneError:
        return TouchstoneError(
            f"main was rewritten: {self._main[:12]}, which was read before, is no longer on its"
            " line of first parents",
            hint="push the old main again, and rebase onto it what was merged the other way round;"
            " or start the platform anew if that was meant",
        )

    def _judge(self, checkout: gitops.Checkout, key: tuple[str, str]) -> _Desired:
        """The newest state of the folder that verifies, and why newer ones do not."""
        folder = gitops.folder_of(*key)
        states = checkout.git(
            "log", "--first-parent", "--format=%H %P", f"origin/{gitops.MAIN}", "--", folder
        ).splitlines()
        refusal = refused = ""
        tried = 0
        for commit, *parents in (line.split(" ") for line in states):
            # Only a merge can be right. What else is there is looked at to say what is wrong.
            if refusal and len(parents) != _MERGED:
                if not checkout.holds(commit, folder):
                    break
                continue
            if not checkout.holds(commit, folder) or tried == _HISTORY:
                break  # it was removed here: what is older was ended on purpose
            tried += 1
            try:
                release = self._verify(checkout, key, commit, parents)
            except Exception as error:
                # A broken folder is that folder's fault; a full disk is not.
                if faults.passing(error):
                    raise
                if isinstance(error, PlatformError):  # git or the store: it may be there later
                    self._doubtful = True
                refusal = refusal or faults.words(error)
                refused = refused or commit[: releases.VERSION_LENGTH]
                continue
            return _Desired(release, commit if self._main else "", refusal, refused)
        return _Desired(None, "", refusal, refused)

    def _verify(
        self, checkout: gitops.Checkout, key: tuple[str, str], commit: str, parents: list[str]
    ) -> releases.Release:
        """The release in the folder at `commit`, where it may be served."""
        folder = gitops.folder_of(*key)
        if len(parents) != _MERGED or not checkout.lacks(*parents):
            with checkout.files(commit, folder) as files:
                releases.verify(files, self._public_key)  # what is wrong with it is said first
            raise TouchstoneError(
                f"{commit[:12]} brought it to main, which is no merge of a new promotion",
                hint="`touchstone review approve` merges, `touchstone review rollback` puts back",
            )
        base, reviewed = parents
        entry = Entry(environment=key[0], model=key[1], base=base, commit=reviewed, tree=commit)
        given = checkout.read(commit, f"{folder}/{releases.APPROVALS_FILE}") or b""
        standing = admission.judge(
            checkout, entry, given.decode("utf-8", "replace"), self._public_key
        )
        self._doubtful |= standing.doubtful
        if standing.release is None or standing.refusal:
            raise TouchstoneError(standing.refusal)
        release = standing.release
        with tempfile.TemporaryDirectory(prefix="touchstone-verify-") as scratch:
            models.get(self._store, release.digests.model, Path(scratch) / "model")
        return release

    def _goes_on(self, desired: _Desired) -> str:
        if desired.release is None:
            return "; nothing is served in its place"
        return f"; {desired.release.version} goes on serving"

    def _serve(
        self, key: tuple[str, str], release: releases.Release, merged: str
    ) -> list[SyncEvent]:
        alive = self._serving.current(*key) is not None
        same = self._identities.get(key) == release.identity
        failed, until = self._retry.get(key, ("", 0.0))
        if (same and alive) or (failed == release.identity and time.monotonic() < until):
            return []
        try:
            digest = release.digests.model
            self._serving.apply(
                *key, lambda folder: models.get(self._store, digest, folder), release.version
            )
        except Exception as error:
            again = failed == release.identity
            self._retry[key] = (release.identity, time.monotonic() + _RETRY_SECONDS)
            problem = faults.words(error)
            return [] if again else [_event(key, release.version, Outcome.FAILED, problem)]
        self._retry.pop(key, None)
        self._identities[key] = release.identity
        if same:
            return [_event(key, release.version, Outcome.RESTARTED, "")]
        return [_event(key, release.version, Outcome.SERVED, "", merged)]


def _event(
    key: tuple[str, str], version: str, outcome: Outcome, reason: str, merged: str = ""
) -> SyncEvent:
    environment, model = key
    return SyncEvent(
        environment=environment,
        model=model,
        version=version,
        outcome=outcome,
        reason=reason,
        merged=merged,
    )


def _places(checkout: gitops.Checkout) -> Iterator[tuple[str, str]]:
    """(environment, model) of every folder on main."""
    root = checkout.path / gitops.ENVIRONMENTS
    for folder in sorted(root.glob("*/*")):
        if folder.is_dir():
            yield folder.parent.name, folder.name
