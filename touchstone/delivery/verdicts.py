"""Which verdict is meant by a model, a run, a version or a digest, and what became of it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.artifacts.store import Store
from touchstone.delivery import gitops, release
from touchstone.delivery.promote import BRANCH_PREFIX
from touchstone.delivery.status import verdict_of
from touchstone.documents.naming import shortens
from touchstone.errors import PlatformError, TouchstoneError, UsageError
from touchstone.home import Home
from touchstone.runs import lookup, record


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict, the run that came to it, and where its evidence lies."""

    run: str
    digest: str
    verdict: Mapping[str, Any]
    store: Store


def find(home: Home, wanted: str = "") -> Judged:
    """The verdict of the run, else the newest of the model, of the version or of that digest.

    Args:
        wanted: a run's or model's name, or the first seven hex digits or more of a verdict's
            digest or of a commit; empty for the newest verdict.

    Raises:
        UsageError: there is none, or two digests begin so; says how a run ended without one.
    """
    return among(lookup.all_runs(home), wanted, where=str(home.root))


def among(runs: Sequence[lookup.Found[lookup.Kept]], wanted: str = "", *, where: str) -> Judged:
    """The same among these runs, newest first, that are kept in `where`."""
    for found in runs:
        if found.run.name == wanted:
            judged = of_run(found)
            if judged is None:
                raise _none(found)
            return judged
    every = ((found, judged) for found in runs if (judged := of_run(found)))
    if not wanted:
        newest = next((judged for _, judged in every), None)
        if newest is None:
            raise UsageError(
                f"there is no verdict in {where} yet", hint="touchstone runs lists what runs"
            )
        return newest
    digits = wanted.lower().removeprefix("sha256:")
    named = [
        judged
        for found, judged in every
        if judged.verdict.get("name") == wanted
        or lookup.about(found, wanted)
        or _what(judged, digits)
    ]
    meant = {text for one in named if (text := _what(one, digits))}
    if len(meant) > 1:
        raise UsageError(
            f"got {wanted!r}, with which several begin: "
            + ", ".join(sorted(text[:24] for text in meant)),
            hint="give more digits, or the run's name",
        )
    if named:
        return named[0]
    about = next((one for one in runs if lookup.about(one, wanted)), None)
    if about is not None:
        raise _none(about)
    raise UsageError(
        f"got {wanted!r}, expected a run, a model, or seven digits of a verdict or a commit",
        hint="touchstone runs lists the runs",
    )


def of_run(found: lookup.Found[lookup.Kept]) -> Judged | None:
    """The verdict that the run came to; None where it came to none, or it was collected."""
    store = found.place.store
    run, taskruns = found.run, found.place.state.taskruns(found.run.name)
    ended = next(
        (
            record.outcome(taskruns.get(name))
            for name, task in record.tasks_of(run.status).items()
            if task == "verdict"
        ),
        "None",
    )
    try:
        pair = verdict_of(store, run.name, ended=ended)
    except PlatformError:
        return None
    return (
        None if pair is None else Judged(run=run.name, digest=pair[0], verdict=pair[1], store=store)
    )


def became(home: Home, judged: Judged) -> str:
    """What became of the model that was judged, in words."""
    if judged.verdict["passed"] is not True:
        return "refused: nothing was promoted"
    if not home.gitops_repository.exists():
        return "passed"
    end = f"/{judged.verdict.get('name', '')}/{release.RELEASE_FILE}"
    with gitops.clone(str(home.gitops_repository)) as checkout:
        for place, reference in _places(checkout):
            paths = checkout.git("ls-tree", "-r", "--name-only", reference).splitlines()
            for path in (one for one in paths if one.endswith(end)):
                if _names(checkout.read(reference, path) or b"", judged.digest):
                    return place.format(environment=path.split("/")[1])
    return "passed: it neither waits for a review nor is it what should be served"


def _places(checkout: gitops.Checkout) -> Iterator[tuple[str, str]]:
    yield "merged into {environment}", f"origin/{gitops.MAIN}"
    kinds = {
        f"refs/remotes/origin/{BRANCH_PREFIX}": "waits for a review into {environment}",
        f"{gitops.REJECTED}/": "rejected for {environment}",
        f"{gitops.SUPERSEDED}/": "superseded in {environment} by a newer version",
    }
    for prefix, words in kinds.items():
        for reference in checkout.git("for-each-ref", "--format=%(refname)", prefix).splitlines():
            yield words, reference


def _names(text: bytes, digest: str) -> bool:
    try:
        return release.parse(text, location="").digests.verdict == digest
    except TouchstoneError:
        return False  # whoever may push can leave anything there


def _what(one: Judged, digits: str) -> str:
    """What of the verdict begins with these digits: its digest, else its commit; else nothing."""
    found = (one.digest.removeprefix("sha256:"), str(one.verdict["commit"]))
    return next((text for text in found if shortens(digits, text)), "")


def _none(found: lookup.Found[lookup.Kept]) -> UsageError:
    run, name = found.run, found.run.name
    if not run.done:
        return UsageError(f"{name} has come to no verdict yet", hint=f"touchstone watch {name}")
    condition = record.succeeded_condition(run.status)
    return UsageError(
        f"{name} ended without a verdict: {condition['reason']}: {condition['message']}",
        hint=f"touchstone describe {name} shows what went wrong",
    )
