"""Where is the run of that name? `touchstone up` and `touchstone run` keep theirs apart.

Runs of the platform live in $TOUCHSTONE_HOME, those of `touchstone run` in its folder run/; what
lists, shows or ends runs sees both.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import UsageError
from touchstone.home import Home
from touchstone.runs import record
from touchstone.runs.lock import is_executed
from touchstone.runs.store import Run, State

ASKED_AS = "touchstone.dev/asked-as"
"""Annotation with the metadata as the file gave it: how a run cut short is known again."""

DEFINED_AS = "touchstone.dev/defined-as"
"""Annotation with the digest of the files that the run was made from."""

NO_CACHE = "touchstone.dev/no-cache"
"""Annotation of a run: `true` lets every TaskRun of it run, whatever the cache holds."""

BREAKPOINTS = "touchstone.dev/breakpoints"
"""Annotation of a run: what spec.debug.breakpoints of a TaskRun would say, as JSON."""

REPOSITORY = "touchstone.dev/repository"
BRANCH = "touchstone.dev/branch"
MODEL = "touchstone.dev/model"
REVISION = "touchstone.dev/revision"
UNQUEUED = "touchstone.dev/unqueued"
"""Annotation: `true` for a short TaskRun that waits for no other and takes no other's place."""


@dataclass(frozen=True, slots=True)
class Place:
    """One folder with runs in it."""

    root: Path
    state: State

    @property
    def logs(self) -> Path:
        """The steps' logs: a folder for each run, in it one for each TaskRun."""
        return self.root / "logs"


@dataclass(frozen=True, slots=True)
class Found:
    """A run and where it is kept."""

    place: Place
    run: Run


def local(home: Home) -> Path:
    """The folder of the runs that `touchstone run` makes."""
    return home.root / "run"


def places(home: Home) -> list[Place]:
    """The folders that hold runs by now; none is created."""
    roots = (home.root, local(home))
    return [Place(root, State(root)) for root in roots if (root / "state.sqlite").exists()]


def all_runs(home: Home) -> list[Found]:
    """Every run, newest first."""
    found = [Found(place, run) for place in places(home) for run in place.state.runs()]
    return sorted(found, key=lambda item: item.run.created, reverse=True)


def find(home: Home, name: str = "") -> Found:
    """The run called `name`, or the newest one.

    Raises:
        UsageError: there is none.
    """
    if not name:
        newest = all_runs(home)
        if not newest:
            raise UsageError(
                f"there is no run in {home.root} yet",
                hint="touchstone run -f FILE makes one, and so does a push while touchstone is up",
            )
        return newest[0]
    for place in places(home):
        run = place.state.run(name)
        if run is not None:
            return Found(place, run)
    names = [item.run.name for item in all_runs(home)]
    close = difflib.get_close_matches(name, names, n=1)
    raise UsageError(
        f"there is no run {name!r} in {home.root}",
        hint=f"did you mean {close[0]}?" if close else "touchstone runs lists them",
    )


def annotations_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """The annotations of a run; empty where it has none."""
    return manifest.get("metadata", {}).get("annotations") or {}


def model_of(manifest: Mapping[str, Any]) -> str:
    """The model that the run is about: as annotated, else its repository; empty where neither."""
    given = annotations_of(manifest)
    return given.get(MODEL) or given.get(REPOSITORY, "")


def commit_of(manifest: Mapping[str, Any]) -> str:
    """The commit that the run is about, shortened; empty where it says none."""
    metadata = manifest.get("metadata", {})
    return str((metadata.get("labels") or {}).get(REVISION, ""))


def status_word(found: Found) -> str:
    """How the run stands, in a word: Tekton's reason, or Queued or Interrupted.

    A run without an engine is Queued before its first start and Interrupted after it.
    """
    run = found.run
    condition = record.written_condition(run.status)
    reason = str(condition["reason"]) if condition else ""
    if run.done or is_executed(found.place.root, run.name):
        return reason or "Started"
    return "Interrupted" if run.status.get("startTime") else "Queued"
