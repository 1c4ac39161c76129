"""Where is the run of that name? `touchstone up` and `touchstone run` keep theirs apart.

Runs of the platform live in $TOUCHSTONE_HOME, those of `touchstone run` in its folder run/; what
lists, shows or ends runs sees both.
"""

from __future__ import annotations

import difflib
import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from touchstone.artifacts.store import Store
from touchstone.documents.naming import SHORTEST, shortens
from touchstone.errors import UsageError
from touchstone.home import Home, Is
from touchstone.runs import record
from touchstone.runs.lock import is_executed
from touchstone.runs.memory import Memory, Run
from touchstone.runs.store import State

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
_NAMED = 3
"""Runs that are named where a shortened name could be several."""

UNQUEUED = "touchstone.dev/unqueued"
"""Annotation: `true` for a short TaskRun that waits for no other and takes no other's place."""


@dataclass(frozen=True, slots=True)
class Kept(ABC):
    """Where runs are kept: a folder of ours, or a cluster."""

    root: Path
    state: Memory

    @property
    def logs(self) -> Path:
        """The steps' logs: a folder for each run, in it one for each TaskRun."""
        return self.root / "logs"

    @property
    @abstractmethod
    def title(self) -> str:
        """What people know the place by."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The artifact store of the runs."""

    @abstractmethod
    def executes(self, run: Run) -> bool:
        """Whether an engine executes the run, which has not ended."""


@dataclass(frozen=True, slots=True)
class Place(Kept):
    """One folder with runs in it."""

    state: State

    @property
    def title(self) -> str:
        """See `Kept`."""
        return str(self.root)

    @property
    def store(self) -> Store:
        """See `Kept`."""
        return Store(Home(self.root).artifacts)

    def executes(self, run: Run) -> bool:
        """See `Kept`."""
        return is_executed(self.root, run.name)


PlaceT = TypeVar("PlaceT", bound=Kept, covariant=True)


@dataclass(frozen=True, slots=True)
class Found(Generic[PlaceT]):
    """A run and where it is kept."""

    place: PlaceT
    run: Run


def local(home: Home) -> Path:
    """The folder of the runs that `touchstone run` makes."""
    return home.root / "run"


def places(home: Home) -> list[Place]:
    """The folders that hold runs by now; none is created. Raises OSError for a file."""
    if home.root.exists() and not home.root.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(home.root))
    roots = (home.root, local(home))
    return [Place(root, State(root)) for root in roots if (root / "state.sqlite").exists()]


def all_runs(home: Home) -> list[Found[Place]]:
    """Every run, newest first."""
    found = [Found(place, run) for place in places(home) for run in place.state.runs()]
    return sorted(found, key=lambda item: item.run.created, reverse=True)


def find(home: Home, name: str = "", *, model: str = "") -> Found[Place]:
    """The run called `name`, or the newest one, with `model` the newest one about it.

    Raises:
        UsageError: there is none.
    """
    for place in places(home) if name else ():
        run = place.state.run(name)
        if run is not None:
            return Found(place, run)
    known = all_runs(home)
    if not known and not name:
        raise UsageError(f"there is no run in {home.root} yet", hint=_how(home))
    return pick(known, name, model=model, where=str(home.root))


def pick(known: Sequence[Found[PlaceT]], name: str, *, model: str, where: str) -> Found[PlaceT]:
    """The run that is meant by `name`, or the newest one about `model`, of those known in `where`.

    Args:
        known: the newest first.

    Raises:
        UsageError: there is none, or several are meant.
    """
    if not name:
        newest = next((item for item in known if about(item, model)), None)
        if newest is None:
            raise UsageError(
                f"there is no run of the model {model!r} in {where}",
                hint="touchstone runs lists them all, with the models that they are about",
            )
        return newest
    if meant := _meant(known, name):
        return meant
    names = [item.run.name for item in known]
    close = difflib.get_close_matches(name, names, n=1)
    raise UsageError(
        f"there is no run {name!r} in {where}",
        hint=f"did you mean {close[0]}?" if close else "touchstone runs lists them",
    )


def settle(home: Home, *, seconds: float = 10) -> None:
    """Wait until what came in by now has become runs: who has just pushed means the run of that."""
    if not home.platform():
        return
    state, deadline = State(home.root), time.monotonic() + seconds
    while state.pending_events() and time.monotonic() < deadline:
        time.sleep(0.05)


def _how(home: Home) -> str:
    """How a first run comes about."""
    life = home.life()
    push = "a push to the platform makes one" if life.state is Is.RUNNING else life.remedy
    return f"touchstone run -f FILE makes one, or else: {push}"


def _meant(known: Sequence[Found[PlaceT]], given: str) -> Found[PlaceT] | None:
    """The one run whose name, or else whose commit, begins so, or was shown as `abc…xyz`.

    Of several runs of one commit it is the newest.

    Raises:
        UsageError: several runs are meant.
    """
    start, sign, end = given.partition("…")
    if len(start) < SHORTEST and not sign:
        return None
    found = [one for one in known if one.run.name.startswith(start) and one.run.name.endswith(end)]
    if not found:
        found = [one for one in known if shortens(given, _revision(one.run.manifest))][:1]
    if len(found) > 1:
        raise UsageError(
            f"got {given!r}, which several runs begin with: "
            + ", ".join(one.run.name for one in found[:_NAMED])
            + (" and others" if len(found) > _NAMED else ""),
            hint="type more of the name of the one that is meant",
        )
    return found[0] if found else None


def _revision(manifest: Mapping[str, Any]) -> str:
    """The commit in full where the run has it as its param; else as its label shortens it."""
    params = manifest.get("spec", {}).get("params") or []
    full = [p.get("value") for p in params if p.get("name") == "revision"]
    shortened = commit_of(manifest)
    return next((one for one in full if str(one).startswith(shortened)), shortened)


def annotations_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """The annotations of a run; empty where it has none."""
    return manifest.get("metadata", {}).get("annotations") or {}


def model_of(manifest: Mapping[str, Any]) -> str:
    """The model that the run is about: as annotated, else its repository; empty where neither."""
    given = annotations_of(manifest)
    return given.get(MODEL) or given.get(REPOSITORY, "")


def names_of(found: Found[Kept]) -> set[str]:
    """All that people call the run's model: by its repository, with or without the owner, and by
    its name in touchstone.yaml, once a stage has read that.
    """
    name = model_of(found.run.manifest)
    statuses = found.place.state.taskruns(found.run.name)
    stages = record.tasks_of(found.run.status)
    declared = {
        str(record.results(status).get("model", ""))
        for taskrun, status in statuses.items()
        if stages.get(taskrun) == "fetch-source"
    }
    return ({name, name.rpartition("/")[2]} | declared) - {""}


def about(found: Found[Kept], model: str) -> bool:
    """Whether the run is about `model`, by any of its names; every run is about the empty one."""
    return not model or model_of(found.run.manifest) == model or model in names_of(found)


def commit_of(manifest: Mapping[str, Any]) -> str:
    """The commit that the run is about, shortened; empty where it says none."""
    metadata = manifest.get("metadata", {})
    return str((metadata.get("labels") or {}).get(REVISION, ""))


def status_word(found: Found[Kept]) -> str:
    """How the run stands, in a word: Tekton's reason, or Queued or Interrupted.

    A run without an engine is Queued before its first start and Interrupted after it.
    """
    run = found.run
    condition = record.written_condition(run.status)
    reason = str(condition["reason"]) if condition else ""
    if run.done or found.place.executes(run):
        return reason or "Started"
    begun = run.status.get("startTime") or (
        # The status of a TaskRun by itself stands beside it until it ends.
        run.manifest.get("kind") == "TaskRun" and found.place.state.taskruns(run.name)
    )
    return "Interrupted" if begun else "Queued"
