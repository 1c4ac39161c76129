"""May this release enter this environment? One answer, for a review's merge and for sync.

Everything is read as of `main` before the change: a commit that loosens the policy, or names new
reviewers, and brings a release of its own gains nothing by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.artifacts.store import digest_bytes
from touchstone.delivery import attestation, decisions, people, scope
from touchstone.delivery import release as releases
from touchstone.delivery.decisions import Decision
from touchstone.delivery.environment import EnvironmentPolicy, below, read_policy
from touchstone.delivery.gitops import MAIN, PEOPLE_FILE, Checkout, folder_of
from touchstone.delivery.people import People
from touchstone.delivery.release import Release
from touchstone.errors import PlatformError, TouchstoneError
from touchstone.runs import faults
from trust_gates.report import VERDICT_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What asks to be let in."""

    environment: str
    model: str
    base: str
    """`main` before the change: its policy, people and history judge."""
    commit: str
    """The promotion's commit: what reviewers looked at."""
    tree: str
    """The commit whose folder is to be served: `commit`, or the merge of it."""

    @property
    def folder(self) -> str:
        """Where the release lies."""
        return folder_of(self.environment, self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an entry stands."""

    entry: Entry
    about: Mapping[str, str]
    """Subjects of a decision on it."""
    release: Release | None
    """None where it does not verify."""
    kind: str
    """The decision that lets it in: `approved`, or `rollback` where it was served before."""
    decisions: tuple[Decision, ...]
    skipped: tuple[str, ...]
    """What was found among the decisions and is none, and why."""
    approvals: tuple[Decision, ...]
    required: int
    obstacles: tuple[str, ...]
    """Why it may not enter, in words, approvals aside."""
    doubtful: bool
    """Whether git failed, so that a later look may tell otherwise."""

    @property
    def refusal(self) -> str:
        """Why it may not be served; empty where it may."""
        missing = [*self.obstacles]
        if len(self.approvals) < self.required:
            back = (
                " of a rollback, as it was merged before" if self.kind != decisions.APPROVED else ""
            )
            why = f" ({'; '.join(self.skipped[:3])})" if self.skipped else ""
            count = f"got {len(self.approvals)} of {self.required} approvals"
            missing.append(f"{count}{back}{why}")
        return "; ".join(missing)


def judge(checkout: Checkout, entry: Entry, text: str, public_key: Path) -> Standing:
    """How `entry` stands with the signed decisions in `text`; see decisions.read."""
    rules, who, release, promoter = EnvironmentPolicy(), People(), None, ""
    about, kind, doubtful = {decisions.COMMIT: entry.commit}, decisions.APPROVED, False
    try:
        rules = read_policy(checkout, entry.environment, entry.base)
        who = people.read_at(checkout, entry.base)
        promoter = attestation.key_text(public_key)
        with checkout.files(entry.tree, entry.folder) as files:
            found, verdict = _verified(files, public_key)
            data = (files / releases.RELEASE_FILE).read_bytes()
        about |= releases.subjects(found, data)
        if _served_before(checkout, entry, found):
            kind = decisions.ROLLBACK
        scope.environment(checkout.changed(entry.base, entry.tree), entry.model)
        obstacles = environment_obstacles(rules, entry.environment, verdict)
        obstacles += _misplaced(found, entry)
        obstacles += _foreign(checkout, found, who, entry.base, public_key)
        release = found
    except Exception as error:  # a hostile folder raises whatever its parsers do
        if faults.passing(error):
            raise
        doubtful = isinstance(error, PlatformError)
        frozen = [_frozen(rules, entry.environment)] if rules.freeze else []
        obstacles = [*frozen, f"it does not verify: {faults.words(error)}"]
    given, skipped = decisions.read(text, who, promoter, about)
    counted = decisions.approvals(given, kind, (entry.environment, entry.model))
    return Standing(
        entry=entry,
        about=about,
        release=release,
        kind=kind,
        decisions=tuple(given),
        skipped=tuple(skipped),
        approvals=tuple(counted if release else ()),
        required=rules.approvals,
        obstacles=tuple(obstacles),
        doubtful=doubtful,
    )


def environment_obstacles(
    rules: EnvironmentPolicy, name: str, verdict: Mapping[str, Any]
) -> list[str]:
    """What keeps a model with this verdict out of the environment, approvals aside."""
    found = [_frozen(rules, name)] if rules.freeze else []
    outcomes: dict[str, set[str]] = {}
    for check in verdict["checks"]:
        outcomes.setdefault(check["gate"], set()).add(check["outcome"])
    missing = [gate for gate in rules.required_gates if outcomes.get(gate) != {"passed"}]
    if missing:
        found.append(f"{name} requires the gates {', '.join(missing)}, which it lacks")
    return found + below(rules, verdict, environment=name)


def check_name(checkout: Checkout, release: Release, base: str, public_key: Path) -> None:
    """Raise TouchstoneError where the model's name belongs to another repository."""
    who = people.read_at(checkout, base)
    for problem in _foreign(checkout, release, who, base, public_key):
        raise TouchstoneError(problem, hint="choose another name in touchstone.yaml, or ask for it")


def held(checkout: Checkout, commit: str, folder: str, public_key: Path) -> Release | None:
    """The release that the folder held at that commit; None where none did that verifies."""
    try:
        with checkout.files(commit, folder) as files:
            return releases.verify(files, public_key)
    except Exception as error:
        if faults.passing(error):
            raise
        return None


def _verified(files: Path, public_key: Path) -> tuple[Release, dict[str, Any]]:
    """The release in `files`, and the verdict that it was attested with."""
    release = releases.verify(files, public_key)
    data = (files / VERDICT_FILE).read_bytes() if VERDICT_FILE in release.files else b""
    if digest_bytes(data) != release.digests.verdict:
        raise TouchstoneError(
            f"{VERDICT_FILE}: got {digest_bytes(data)}, expected {release.digests.verdict}",
            hint="promote the model again",
        )
    verdict: dict[str, Any] = json.loads(data)
    expected = {"passed": True, "model": release.digests.model, "commit": release.commit}
    for name, value in expected.items():
        if verdict.get(name) != value:
            raise TouchstoneError(f"its verdict says {name} {verdict.get(name)}, expected {value}")
    return release, verdict


def _frozen(rules: EnvironmentPolicy, name: str) -> str:
    return f"{name} is frozen: {rules.freeze}"


def _misplaced(release: Release, entry: Entry) -> list[str]:
    found = []
    if release.model != entry.model:
        found.append(f"got a release of {release.model} in the folder of {entry.model}")
    if entry.environment not in release.environments:
        listed = ", ".join(release.environments)
        found.append(f"it was promoted for {listed}, not for {entry.environment}")
    return found


def _foreign(
    checkout: Checkout, release: Release, who: People, base: str, public_key: Path
) -> list[str]:
    named = release.model in who.models
    first = "" if named else _first(checkout, release.model, base, public_key)
    if who.allows(release.model, release.repository, first=first):
        return []
    owners = list(who.models[release.model]) if named else [first]
    line = f"models: {{{release.model}: {json.dumps([*owners, release.repository])}}}"
    return [
        f"the name {release.model} belongs to {', '.join(owners) or 'nobody'}, got a release from"
        f" {release.repository}; what allows it is the line  {line}  in {PEOPLE_FILE} on {MAIN}"
    ]


def _first(checkout: Checkout, model: str, base: str, public_key: Path) -> str:
    """The repository of the first release of that name that was merged; empty where none was."""
    pattern = f":(glob){folder_of('*', model)}/{releases.RELEASE_FILE}"
    merges = ("log", "--first-parent", "--merges", "--reverse", "--diff-filter=AM")
    # A line is a commit, or one of its paths.
    log = checkout.git(*merges, "--format=%H", "--name-only", base, "--", pattern)
    commit = ""
    for line in filter(None, log.splitlines()):
        if "/" not in line:
            commit = line
            continue
        release = held(checkout, commit, line.rpartition("/")[0], public_key)
        if release is not None and release.model == model:
            return release.repository
    return ""


def _served_before(checkout: Checkout, entry: Entry, release: Release) -> bool:
    """Whether the folder held this very release before, and holds another one now."""
    path = f"{entry.folder}/{releases.RELEASE_FILE}"
    commits = checkout.git("log", "--first-parent", "--format=%H", entry.base, "--", path)
    seen: set[bytes] = set()
    for commit in commits.splitlines():
        text = checkout.read(commit, path)
        if text is None or text in seen:
            continue
        seen.add(text)
        try:
            if releases.parse(text, location=path).identity == release.identity:
                return True
        except Exception as error:
            if faults.passing(error):
                raise
    return False
