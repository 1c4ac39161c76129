"""Review of the embedded pull requests: what is open, what it changes, and the decision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.delivery import admission, attestation, decisions, floors, gitops, people, scope
from touchstone.delivery import release as releases
from touchstone.delivery.admission import Entry, Standing
from touchstone.delivery.decisions import Decision, Reviewer
from touchstone.delivery.promote import BRANCH_PREFIX
from touchstone.delivery.release import APPROVALS_FILE, Release
from touchstone.documents.naming import SHORTEST
from touchstone.errors import TouchstoneError, UsageError
from trust_gates.report import VERDICT_FILE
from trust_gates.visible import one_line

_MAIN = f"origin/{gitops.MAIN}"
_ROLLBACK = "-rollback-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One open promotion."""

    branch: str
    commit: str
    title: str
    environment: str
    model: str
    approvals: int
    required: int
    obstacles: tuple[str, ...]
    """Why it cannot be merged now, in words; empty when it can, approvals aside."""
    skipped: tuple[str, ...]
    """What was found among the decisions and counts for nothing, and why."""
    attested: dict[str, str]
    """What the verified attestation names; empty where it does not verify."""
    version: str = ""
    rollback: bool = False
    """Whether it would put back what was merged before."""
    newer: str = ""
    """The branch of a newer version that waits, too: merging that closes this one."""

    @property
    def short(self) -> str:
        """How a command names this very promotion."""
        return f"{self.model}/{self.version[:SHORTEST]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that `review show` shows."""

    review: Review
    body: str
    report: str
    diffstat: str
    decisions: tuple[Decision, ...]
    verdict: dict[str, Any] | None
    """The verdict document as the promotion has it; None where it is none."""
    served: dict[str, Any] | None
    """That of the version that main holds, where there is one."""
    served_version: str
    may: tuple[str, ...]
    """Who may still approve, as people.yaml names them."""


def open_reviews(url: str, public_key: Path) -> list[Review]:
    """Every open promotion, oldest first."""
    with gitops.clone(url) as checkout:
        branches = _branches(checkout)
        return [_beside(_judged(checkout, one, public_key)[0], branches) for one in branches]


def show(url: str, branch: str, public_key: Path) -> Detail:
    """One promotion with its report. `branch` may leave out `promote/`; be a model's name, of which
    the newest is meant; or a version, or seven digits of one, with or without the model's name.
    """
    with gitops.clone(url) as checkout:
        name = _resolve(checkout, branch)
        review, standing = _judged(checkout, name, public_key)
        tip = f"origin/{name}"
        folder = gitops.folder_of(review.environment, review.model)
        report = checkout.read(tip, f"{folder}/{releases.REPORT_FILE}")
        return Detail(
            review=_beside(review, _branches(checkout)),
            body=checkout.git("log", "-1", "--format=%B", tip),
            report=(report or b"").decode("utf-8", "replace"),
            diffstat=checkout.git("diff", "--stat", f"{_MAIN}...{tip}"),
            decisions=standing.decisions,
            verdict=_document(checkout, tip, f"{folder}/{VERDICT_FILE}"),
            served=_document(checkout, _MAIN, f"{folder}/{VERDICT_FILE}"),
            served_version=_served_version(checkout, folder),
            may=_may(checkout, standing),
        )


def _document(checkout: gitops.Checkout, reference: str, path: str) -> dict[str, Any] | None:
    """A JSON object; None where there is none, whatever else is there."""
    try:
        found = json.loads(checkout.read(reference, path) or b"null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _served_version(checkout: gitops.Checkout, folder: str) -> str:
    path = f"{folder}/{releases.RELEASE_FILE}"
    text = checkout.read(_MAIN, path)
    try:
        return releases.parse(text, location=path).version if text else ""
    except TouchstoneError:
        return ""


def _may(checkout: gitops.Checkout, standing: Standing) -> tuple[str, ...]:
    who = people.read_at(checkout, _MAIN)
    done = {one.person for one in standing.approvals}
    by_key = [name for name, key in who.keys.items() if key not in done]
    accounts = [one for one in who.review if who.person(one) not in done and one not in by_key]
    return (*by_key, *accounts)


def export(url: str, branch: str, folder: Path) -> list[Path]:
    """Write the files of one promotion, report and pictures among them, into `folder`.

    Raises:
        UsageError: there is no such open promotion.
        PlatformError: it holds something else than plain files.
    """
    with gitops.clone(url) as checkout:
        tip = f"origin/{_resolve(checkout, branch)}"
        changed = checkout.changed(f"origin/{gitops.MAIN}", tip)
        written = []
        for path in changed:
            data = checkout.read(tip, path)
            if data is not None:  # a file that the promotion removes has nothing to show
                target = folder / Path(path).name
                folder.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                written.append(target)
        return written


def approve(url: str, branch: str, public_key: Path, reviewer: Reviewer) -> str:
    """Approve, and merge once the environment's number of approvals is there; says which.

    Raises:
        UsageError: there is no such open promotion.
        TouchstoneError: frozen, unverified, in conflict, changing more than its own folder, putting
            back what was served before, or by a key that people.yaml does not name.
    """
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer.identity) as checkout:
            name = _resolve(checkout, branch)
            return _agree(checkout, name, decisions.APPROVED, public_key, reviewer)
    raise AssertionError("tenacity reraises the last failure")


def rollback(
    url: str, model: str, version: str, public_key: Path, reviewer: Reviewer, environment: str = ""
) -> str:
    """Ask for a release that was merged before to be served again, or agree to it; says which.

    It is a promotion of its own, which takes the approvals of any other, each given by this
    function. `environment` may be empty where the model is in one alone.

    Raises:
        UsageError: there is no such release.
        TouchstoneError: as `approve`.
    """
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer.identity) as checkout:
            _check_may_decide(checkout, public_key, reviewer)
            place = _place_of(checkout, model, environment)
            name = _put_back(checkout, place, version, public_key)
            return _agree(checkout, name, decisions.ROLLBACK, public_key, reviewer)
    raise AssertionError("tenacity reraises the last failure")


def reject(url: str, branch: str, public_key: Path, reviewer: Reviewer, *, reason: str) -> str:
    """Delete the branch; its commit and the reason stay under refs/touchstone/rejected/."""
    if not reason.strip():
        raise UsageError("got no reason, expected --reason saying what must change")
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer.identity) as checkout:
            name = _resolve(checkout, branch)
            commit = _decide(checkout, name, decisions.REJECTED, public_key, reviewer, reason)
            record = f"{gitops.REJECTED}/{name.removeprefix(BRANCH_PREFIX)}"
            checkout.push(f"+{commit}:{record}", f":refs/heads/{name}", gitops.REVIEWS)
            return f"rejected {name}: {reason}"
    raise AssertionError("tenacity reraises the last failure")


def hold(url: str, branch: str, public_key: Path, reviewer: Reviewer) -> str:
    """Keep a promotion from being merged, however many approve, until it is released."""
    return _say(url, branch, decisions.HELD, public_key, reviewer)


def release(url: str, branch: str, public_key: Path, reviewer: Reviewer) -> str:
    """End a hold, whoever placed it."""
    return _say(url, branch, decisions.RELEASED, public_key, reviewer)


def rejections(url: str, public_key: Path) -> dict[str, list[Decision]]:
    """What was rejected, as `<model>/<version>`, with the decisions on it."""
    return _closed(url, public_key, gitops.REJECTED)


def superseded(url: str, public_key: Path) -> dict[str, list[Decision]]:
    """The same of what was closed because a newer version was merged."""
    return _closed(url, public_key, gitops.SUPERSEDED)


def _closed(url: str, public_key: Path, place: str) -> dict[str, list[Decision]]:
    with gitops.clone(url) as checkout:
        output = checkout.git("for-each-ref", "--format=%(refname) %(objectname)", place)
        who = people.read_at(checkout, _MAIN)
        promoter = attestation.key_text(public_key)
        found = {}
        for name, commit in (line.split(" ") for line in output.splitlines()):
            text, about = decisions.noted(checkout, commit), {decisions.COMMIT: commit}
            given, _ = decisions.read(text, who, promoter, about)
            found[name.removeprefix(f"{place}/")] = given
        return found


def _say(url: str, branch: str, decision: str, public_key: Path, reviewer: Reviewer) -> str:
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer.identity) as checkout:
            name = _resolve(checkout, branch)
            _decide(checkout, name, decision, public_key, reviewer)
            checkout.push(gitops.REVIEWS)
            return f"{decision} {name}"
    raise AssertionError("tenacity reraises the last failure")


def _decide(
    checkout: gitops.Checkout,
    name: str,
    decision: str,
    public_key: Path,
    reviewer: Reviewer,
    reason: str = "",
) -> str:
    """Note a decision that needs no release, and return the promotion's commit."""
    commit = checkout.commit_of(f"origin/{name}") or ""
    _check_may_decide(checkout, public_key, reviewer)
    about = {decisions.COMMIT: commit}
    _note(checkout, commit, decisions.signed(decision, reviewer, about, reason=reason))
    return commit


def _agree(
    checkout: gitops.Checkout, name: str, decision: str, public_key: Path, reviewer: Reviewer
) -> str:
    if not checkout.git("rev-list", "-1", f"{_MAIN}..origin/{name}"):
        # Git was killed between moving main and deleting the branch: that a push is all or nothing
        # holds for those who look, not for a kill.
        checkout.push(f":refs/heads/{name}")
        return f"{name} is merged into {gitops.MAIN} already"
    _check_may_decide(checkout, public_key, reviewer)
    review, standing = _judged(checkout, name, public_key)
    if review.obstacles or standing.release is None:
        raise TouchstoneError(
            f"{name} cannot be merged: " + "; ".join(review.obstacles),
            hint=f"`touchstone review unhold {name}` ends a hold; else reject it and promote again",
        )
    if standing.kind != decision:
        version = standing.release.version
        if decision == decisions.ROLLBACK:
            problem = f"{version} was never merged into {review.environment}, so it is no rollback"
            hint = f"touchstone review approve {name}"
        else:
            problem = f"{name} puts back {version}, which was merged before"
            hint = f"touchstone review rollback {review.model} --to {version}"
        raise TouchstoneError(problem, hint=hint)
    where = {"environment": review.environment, "model": review.model}
    _note(checkout, review.commit, decisions.signed(decision, reviewer, standing.about, **where))
    text = decisions.noted(checkout, review.commit)
    standing = admission.judge(checkout, standing.entry, text, public_key)
    if len(standing.approvals) < standing.required:
        checkout.push(gitops.REVIEWS)
        return f"{decision} {name}: {len(standing.approvals)} of {standing.required} approvals"
    closed = _supersede(checkout, review, reviewer) if decision == decisions.APPROVED else {}
    _merge(checkout, review, standing)
    moved = [f"+{c}:{gitops.SUPERSEDED}/{n.removeprefix(BRANCH_PREFIX)}" for n, c in closed.items()]
    moved += [f":refs/heads/{one}" for one in closed]
    checkout.push(f"HEAD:refs/heads/{gitops.MAIN}", f":refs/heads/{name}", gitops.REVIEWS, *moved)
    also = "".join(f"\nclosed {one}: {name} is newer" for one in closed)
    return f"merged {name} into {gitops.MAIN}: {review.title}{also}"


def _supersede(checkout: gitops.Checkout, review: Review, reviewer: Reviewer) -> dict[str, str]:
    """Note on every older open version of the model that this one took its place.

    Returns: the commit of each by branch. One for another environment, or that would put back what
    was served before, is a question of its own and stays open.
    """
    found = {}
    merged = _offered(checkout, review.branch)
    for name in _branches(checkout):
        commit = checkout.commit_of(f"origin/{name}") or ""
        if not _same_model(name, review.branch) or _offered(checkout, name) >= merged:
            continue
        try:
            where = scope.environment(checkout.changed(_MAIN, f"origin/{name}"), review.model)
        except TouchstoneError:
            continue  # it is no promotion, whatever it is called
        if where == review.environment:
            reason = f"{review.branch} is newer and was merged"
            about = {decisions.COMMIT: commit}
            line = decisions.signed(decisions.SUPERSEDED, reviewer, about, reason=reason)
            _note(checkout, commit, line)
            found[name] = commit
    return found


def _same_model(one: str, other: str) -> bool:
    """Whether both branches offer new versions of one model."""
    model = other.removeprefix(BRANCH_PREFIX).split("/")[0]
    return one.startswith(f"{BRANCH_PREFIX}{model}/") and _ROLLBACK not in one


def _offered(checkout: gitops.Checkout, name: str) -> int:
    """When the branch was written, in seconds since the epoch."""
    return int(checkout.git("log", "-1", "--format=%ct", f"origin/{name}"))


def _beside(review: Review, branches: Sequence[str]) -> Review:
    """The review, with the newest branch of the same model where it is another."""
    alike = [name for name in branches if _same_model(name, review.branch)]
    newest = alike[-1] if alike else review.branch
    return review if newest == review.branch else replace(review, newer=newest)


def _check_may_decide(checkout: gitops.Checkout, public_key: Path, reviewer: Reviewer) -> None:
    who = people.read_at(checkout, _MAIN)
    decisions.check_may_decide(reviewer, who, attestation.key_text(public_key))


def _merge(checkout: gitops.Checkout, review: Review, standing: Standing) -> None:
    """Merge the promotion, and commit with it the decisions that it rests on."""
    checkout.git("checkout", "--quiet", "-B", gitops.MAIN, _MAIN)
    checkout.git("merge", "--quiet", "--no-ff", "--no-commit", review.commit)
    lines = "".join(f"{one.line}\n" for one in standing.approvals)
    checkout.write(f"{standing.entry.folder}/{APPROVALS_FILE}", lines.encode())
    trailers = "\n".join(f"Reviewed-by: {one_line(one.reviewer)}" for one in standing.approvals)
    checkout.commit(f"Merge {review.branch}: {one_line(review.title)}\n\n{trailers}", {})


def _put_back(
    checkout: gitops.Checkout, place: tuple[str, str], version: str, public_key: Path
) -> str:
    """The branch that asks for the newest release of that version which main held before."""
    folder = gitops.folder_of(*place)
    commit, old = _held(checkout, folder, version, public_key)
    name = f"{BRANCH_PREFIX}{old.model}/{old.version}{_ROLLBACK}{place[0]}"
    with checkout.files(commit, folder) as files:
        found = {one.name: one.read_bytes() for one in files.iterdir()}
    tip, path = f"origin/{name}", f"{folder}/{releases.RELEASE_FILE}"
    # Whoever may push a branch may have put another release there: then it begins anew.
    same = checkout.commit_of(tip) and checkout.read(tip, path) == found[releases.RELEASE_FILE]
    if same and checkout.merges_cleanly(_MAIN, tip):
        return name
    checkout.git("checkout", "--quiet", "-B", name, _MAIN)
    # Its approvals were of another promotion; even where main holds the same, this is a change.
    checkout.replace_folder(folder, {**found, APPROVALS_FILE: b""})
    title = f"Roll back {old.model} to {old.version} in {place[0]}"
    checkout.commit(title, {"Touchstone-Rollback": old.identity})
    checkout.push(f"+HEAD:refs/heads/{name}")
    return name


def _held(
    checkout: gitops.Checkout, folder: str, version: str, public_key: Path
) -> tuple[str, Release]:
    """A merge of that version, the newest of another release than the folder holds now, if any."""
    commits = checkout.git("log", "--first-parent", "--merges", "--format=%H", _MAIN, "--", folder)
    found: list[tuple[str, Release]] = []
    for commit in commits.splitlines():
        old = admission.held(checkout, commit, folder, public_key)
        if old is not None and releases.means(version, old.version):
            found.append((commit, old))
    meant = sorted({old.version for _, old in found})
    if not found:
        raise UsageError(
            f"got version {version!r}, expected one that was merged into {folder}",
            hint=f"git log --first-parent {gitops.MAIN} -- {folder}",
        )
    if len(meant) > 1:
        raise UsageError(
            f"got version {version!r}, with which several begin: {', '.join(meant)}",
            hint="type more of the version that is meant",
        )
    path = f"{folder}/{releases.RELEASE_FILE}"
    now = checkout.read(_MAIN, path)
    return next((one for one in found if checkout.read(one[0], path) != now), found[0])


def _place_of(checkout: gitops.Checkout, model: str, environment: str) -> tuple[str, str]:
    """The environment, asked for or the only one, and the model that was ever in it."""
    pattern = f":(glob){gitops.folder_of('*', model)}/{releases.RELEASE_FILE}"
    paths = checkout.git("log", "--first-parent", "--format=", "--name-only", _MAIN, "--", pattern)
    known = sorted({path.split("/")[1] for path in paths.splitlines() if "/" in path})
    if environment in known or (not environment and len(known) == 1):
        return environment or known[0], model
    raise UsageError(
        f"got the environment {environment!r}, expected one that has had {model}:"
        f" {', '.join(known) or 'none'}",
        hint="--environment NAME",
    )


def _branches(checkout: gitops.Checkout) -> list[str]:
    output = checkout.git(
        "for-each-ref",
        "--sort=committerdate",
        "--format=%(refname:lstrip=3)",
        f"refs/remotes/origin/{BRANCH_PREFIX}",
    )
    return output.splitlines()


def _resolve(checkout: gitops.Checkout, wanted: str) -> str:
    branches = _branches(checkout)
    tail = wanted.removeprefix(BRANCH_PREFIX)
    of, _, version = tail.rpartition("/")
    exact, begun, of_model = [], [], []
    for name in branches:
        model, _, full = name.removeprefix(BRANCH_PREFIX).partition("/")
        if tail == f"{model}/{full}":
            exact.append(name)
        if of in ("", model) and releases.means(version, full):
            begun.append(name)
        if tail == model:
            of_model.append(name)
    versions = [name for name in begun if _ROLLBACK not in name]
    for found in (exact, versions, begun):
        if len(found) == 1:
            return found[0]
    newest = [name for name in of_model if _ROLLBACK not in name][-1:] or of_model
    if len(newest) == 1:
        return newest[0]
    if not branches:
        raise UsageError(
            f"got {wanted!r}, but no promotion waits for a review",
            hint="touchstone report MODEL says what became of its newest version",
        )
    raise UsageError(
        f"got {wanted!r}, expected one open promotion of: {', '.join(branches)}",
        hint="`touchstone review list` shows what is open",
    )


def _judged(checkout: gitops.Checkout, name: str, public_key: Path) -> tuple[Review, Standing]:
    tip = f"origin/{name}"
    commit = checkout.commit_of(tip) or ""
    model = name.removeprefix(BRANCH_PREFIX).split("/")[0]
    changed = checkout.changed(_MAIN, tip)
    try:
        environment, obstacles = scope.environment(changed, model), []
        floors.check_known(checkout, (environment,))
    except TouchstoneError as error:
        environment, obstacles = "", [str(error)]
    entry = Entry(environment=environment, model=model, base=_MAIN, commit=commit, tree=commit)
    standing = admission.judge(checkout, entry, decisions.noted(checkout, commit), public_key)
    if environment:
        obstacles = [*standing.obstacles]
        if not checkout.merges_cleanly(_MAIN, tip):
            obstacles.append(
                f"it conflicts with {gitops.MAIN}: another version was merged meanwhile"
            )
    review = Review(
        branch=name,
        commit=commit,
        title=checkout.git("log", "-1", "--format=%s", tip),
        environment=environment,
        model=model,
        approvals=len(standing.approvals),
        required=standing.required,
        obstacles=(*decisions.holds(standing.decisions), *obstacles),
        skipped=standing.skipped,
        attested=_attested(standing.release),
        version=name.rpartition("/")[2].partition(_ROLLBACK)[0],
        rollback=_ROLLBACK in name,
    )
    return review, standing


def _attested(found: Release | None) -> dict[str, str]:
    if found is None:
        return {}
    return {
        "repository": found.repository,
        "model": f"{found.model} {found.version}",
        "environments": ", ".join(found.environments),
        **found.judged_by,
    }


def _note(checkout: gitops.Checkout, commit: str, line: str) -> None:
    known = checkout.git("for-each-ref", gitops.REVIEWS)
    if known and checkout.commit_of(gitops.REVIEWS) is None:
        # Someone pushed what is no notes, so it holds no decision.
        checkout.push(f":{gitops.REVIEWS}")
        checkout.git("update-ref", "-d", gitops.REVIEWS)
    checkout.git("notes", f"--ref={gitops.REVIEWS}", "append", "--file=-", commit, stdin=line)
