"""Review of the embedded pull requests: what is open, what it changes, and the decision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from touchstone.delivery import floors, gitops, scope
from touchstone.delivery import release as releases
from touchstone.delivery.environment import EnvironmentPolicy, held, read_policy
from touchstone.delivery.promote import BRANCH_PREFIX
from touchstone.errors import PlatformError, TouchstoneError, UsageError
from trust_gates.visible import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One reviewer's word on one commit."""

    decision: str
    """`approved`, `rejected`, `held` or `released`."""
    reviewer: str
    reason: str
    at: str
    """RFC 3339, UTC."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that `review show` shows."""

    review: Review
    body: str
    report: str
    diffstat: str
    decisions: tuple[Decision, ...]


def open_reviews(url: str, public_key: Path) -> list[Review]:
    """Every open promotion, oldest first."""
    with gitops.clone(url) as checkout:
        return [_review(checkout, branch, public_key) for branch in _branches(checkout)]


def show(url: str, branch: str, public_key: Path) -> Detail:
    """One promotion with its report. `branch` may leave out `promote/`, or be a model's name."""
    with gitops.clone(url) as checkout:
        name = _resolve(checkout, branch)
        review = _review(checkout, name, public_key)
        tip, main = f"origin/{name}", f"origin/{gitops.MAIN}"
        path = f"{_folder(review)}/{releases.REPORT_FILE}"
        return Detail(
            review=review,
            body=checkout.git("log", "-1", "--format=%B", tip),
            report=(checkout.read(tip, path) or b"").decode("utf-8", "replace"),
            diffstat=checkout.git("diff", "--stat", f"{main}...{tip}"),
            decisions=tuple(_decisions(checkout, review.commit)),
        )


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


def approve(url: str, branch: str, public_key: Path, reviewer: gitops.Identity) -> str:
    """Approve, and merge once the environment's number of approvals is there; says which.

    Raises:
        UsageError: there is no such open promotion.
        TouchstoneError: frozen, unverified, in conflict, or changing more than its own folder.
    """
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer) as checkout:
            return _approve(checkout, _resolve(checkout, branch), public_key, reviewer)
    raise AssertionError("tenacity reraises the last failure")


def reject(url: str, branch: str, reviewer: gitops.Identity, *, reason: str) -> str:
    """Delete the branch; its commit and the reason stay under refs/touchstone/rejected/."""
    if not reason.strip():
        raise UsageError("got no reason, expected --reason saying what must change")
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer) as checkout:
            name = _resolve(checkout, branch)
            commit = checkout.commit_of(f"origin/{name}") or ""
            _note(checkout, commit, "rejected", reviewer, reason)
            record = f"{gitops.REJECTED}/{name.removeprefix(BRANCH_PREFIX)}"
            checkout.push(f"+{commit}:{record}", f":refs/heads/{name}", gitops.REVIEWS)
            return f"rejected {name}: {reason}"
    raise AssertionError("tenacity reraises the last failure")


def hold(url: str, branch: str, reviewer: gitops.Identity) -> str:
    """Keep a promotion from being merged, however many approve, until it is released."""
    return _decide(url, branch, "held", reviewer)


def release(url: str, branch: str, reviewer: gitops.Identity) -> str:
    """End a hold, whoever placed it."""
    return _decide(url, branch, "released", reviewer)


def _decide(url: str, branch: str, decision: str, reviewer: gitops.Identity) -> str:
    for attempt in gitops.outrun():
        with attempt, gitops.clone(url, identity=reviewer) as checkout:
            name = _resolve(checkout, branch)
            commit = checkout.commit_of(f"origin/{name}") or ""
            _note(checkout, commit, decision, reviewer, "")
            checkout.push(gitops.REVIEWS)
            return f"{decision} {name}"
    raise AssertionError("tenacity reraises the last failure")


def rejections(url: str) -> dict[str, list[Decision]]:
    """What was rejected, as `<model>/<version>`, with the decisions on it."""
    with gitops.clone(url) as checkout:
        output = checkout.git("for-each-ref", "--format=%(refname) %(objectname)", gitops.REJECTED)
        pairs = [line.split(" ") for line in output.splitlines()]
        return {
            name.removeprefix(gitops.REJECTED + "/"): _decisions(checkout, commit)
            for name, commit in pairs
        }


def _approve(
    checkout: gitops.Checkout, name: str, public_key: Path, reviewer: gitops.Identity
) -> str:
    if not checkout.git("rev-list", "-1", f"origin/{gitops.MAIN}..origin/{name}"):
        # Git was killed between moving main and deleting the branch: that a push is all or nothing
        # holds for those who look, not for a kill.
        checkout.push(f":refs/heads/{name}")
        return f"{name} is merged into {gitops.MAIN} already"
    review = _review(checkout, name, public_key)
    if review.obstacles:
        raise TouchstoneError(
            f"{name} cannot be merged: " + "; ".join(review.obstacles),
            hint=f"`touchstone review show {name}` shows it; reject it and promote again",
        )
    _note(checkout, review.commit, "approved", reviewer, "")
    approvals = _approvals(_decisions(checkout, review.commit))
    if len(approvals) < review.required:
        checkout.push(gitops.REVIEWS)
        return f"approved {name}: {len(approvals)} of {review.required} approvals"
    trailers = [f"Reviewed-by: {one_line(who)}" for who in approvals]
    checkout.git("checkout", "--quiet", "-B", gitops.MAIN, f"origin/{gitops.MAIN}")
    message = f"Merge {name}: {one_line(review.title)}\n\n" + "\n".join(trailers) + "\n"
    checkout.git("merge", "--quiet", "--no-ff", f"--message={message}", review.commit)
    checkout.push(f"HEAD:refs/heads/{gitops.MAIN}", f":refs/heads/{name}", gitops.REVIEWS)
    return f"merged {name} into {gitops.MAIN}: {review.title}"


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
    exact = [b for b in branches if b.removeprefix(BRANCH_PREFIX) == tail]
    found = exact or [b for b in branches if tail in b.removeprefix(BRANCH_PREFIX).split("/")]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"got {wanted!r}, expected one open promotion of: {', '.join(branches) or 'none is open'}",
        hint="`touchstone review list` shows what is open",
    )


def _review(checkout: gitops.Checkout, name: str, public_key: Path) -> Review:
    tip, main = f"origin/{name}", f"origin/{gitops.MAIN}"
    commit = checkout.commit_of(tip) or ""
    model = name.removeprefix(BRANCH_PREFIX).split("/")[0]
    changed = checkout.changed(main, tip)
    decisions = _decisions(checkout, commit)
    obstacles = _holds(decisions)
    environment, rules = "", EnvironmentPolicy()
    try:
        environment = scope.environment(changed, model)
        floors.check_known(checkout, (environment,))
        rules = read_policy(checkout, environment)
    except TouchstoneError as error:
        obstacles.append(str(error))
    else:
        obstacles += _obstacles(checkout, name, environment, model, public_key, rules)
    return Review(
        branch=name,
        commit=commit,
        title=checkout.git("log", "-1", "--format=%s", tip),
        environment=environment,
        model=model,
        approvals=len(_approvals(decisions)),
        required=rules.approvals,
        obstacles=tuple(obstacles),
    )


def _obstacles(
    checkout: gitops.Checkout,
    name: str,
    environment: str,
    model: str,
    public_key: Path,
    rules: EnvironmentPolicy,
) -> list[str]:
    found = []
    if rules.freeze:
        found.append(f"{environment} is frozen: {rules.freeze}")
    if not checkout.merges_cleanly(f"origin/{gitops.MAIN}", f"origin/{name}"):
        found.append(f"it conflicts with {gitops.MAIN}: another version was merged meanwhile")
    folder = f"{gitops.ENVIRONMENTS}/{environment}/{model}"
    try:
        with checkout.files(f"origin/{name}", folder) as files:
            release = releases.verify(files, public_key)
            verdict = releases.verdict(files, release)
    except TouchstoneError as error:
        return [*found, f"its attestation does not verify: {error}"]
    if release.model != model:
        found.append(f"it is a release of {release.model} in the folder of {model}")
    return found + held(rules, verdict, environment=environment)


def _folder(review: Review) -> str:
    return f"{gitops.ENVIRONMENTS}/{review.environment}/{review.model}"


def _decisions(checkout: gitops.Checkout, commit: str) -> list[Decision]:
    try:
        text = checkout.git("notes", f"--ref={gitops.REVIEWS}", "show", commit)
    except PlatformError:
        return []  # git's way of saying that there is no note
    return [Decision(**json.loads(line)) for line in text.splitlines() if line.strip()]


def _approvals(decisions: Sequence[Decision]) -> list[str]:
    return list(dict.fromkeys(d.reviewer for d in decisions if d.decision == "approved"))


def _holds(decisions: Sequence[Decision]) -> list[str]:
    last = [d for d in decisions if d.decision in ("held", "released")][-1:]
    return [f"{d.reviewer} holds it since {d.at}" for d in last if d.decision == "held"]


def _note(
    checkout: gitops.Checkout,
    commit: str,
    decision: str,
    reviewer: gitops.Identity,
    reason: str,
) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = Decision(decision=decision, reviewer=str(reviewer), reason=reason, at=now)
    arguments = ["--file=-", commit]
    checkout.git(
        "notes", f"--ref={gitops.REVIEWS}", "append", *arguments, stdin=json.dumps(asdict(entry))
    )
