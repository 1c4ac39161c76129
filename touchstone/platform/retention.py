"""Which runs may go, and which artifacts does nobody refer to any more?

A run goes with its row, its logs and its folder; one that has not ended never does, nor one whose
CloudEvents still wait for their sink. A run of `touchstone run` that was interrupted counts as
ended: nothing takes it up again by itself, as the next `touchstone up` does with the platform's.
An artifact goes when no digest in what is kept leads to it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from touchstone.artifacts.store import Store
from touchstone.errors import PlatformError
from touchstone.git import git
from touchstone.home import Home
from touchstone.runs.lock import folder_of, is_executed, only_engine
from touchstone.runs.lookup import Found, Place, all_runs, local, places, status_word

_SWEEP_SECONDS = 20.0
"""How long a sweep may keep engines from writing; they wait 30 s."""


def removable(
    home: Home, *, keep: int | None, newer_than: float | None, now: float
) -> list[Found[Place]]:
    """Ended runs that are neither among the newest `keep` nor younger than `newer_than` seconds."""
    ended = [found for found in all_runs(home) if _ended(home, found)]
    gone = ended[keep:] if keep is not None else ended
    if newer_than is not None:
        gone = [found for found in gone if now - found.run.created > newer_than]
    return [found for found in gone if not undelivered(found)]


def _ended(home: Home, found: Found[Place]) -> bool:
    abandoned = found.place.root == local(home) and status_word(found) == "Interrupted"
    return found.run.done or abandoned


def undelivered(found: Found[Place]) -> bool:
    """Whether a CloudEvent of the run still waits for its sink."""
    return bool(found.place.state.outbox("pending", run=found.run.name))


def held(home: Home) -> int:
    """How many ended runs stay whatever their age, as their CloudEvents wait."""
    return sum(_ended(home, found) and undelivered(found) for found in all_runs(home))


def remove(found: Found[Place]) -> None:
    """Remove a run's logs, folder and refs, and its row last: a kill in between loses no trace.

    Raises:
        PlatformError: an engine executes the run.
    """
    root, name = found.place.root, found.run.name
    with only_engine(root, name):
        shutil.rmtree(found.place.logs / name, ignore_errors=True)
        shutil.rmtree(Home(root).artifacts / "refs" / "runs" / name, ignore_errors=True)
        shutil.rmtree(folder_of(root, name), ignore_errors=True)
        found.place.state.delete_run(name)


def unreferenced(home: Home, gone: Iterable[Found[Place]] = ()) -> dict[Path, int]:
    """Blobs to which nothing that is kept leads, with their sizes in bytes; removes nothing."""
    doomed = {found.run.name for found in gone}
    found: dict[Path, int] = {}
    for place in places(home):
        store = place.store
        reached = store.reach(_texts(home, doomed))
        for blob in _blobs(store):
            if f"sha256:{blob.name}" not in reached:
                found[blob] = blob.stat().st_size
    return found


def sweep(home: Home) -> dict[Path, int]:
    """Remove unreferenced blobs while no engine can begin a stage; what was removed.

    Raises:
        PlatformError: a run is being executed, and may hold artifacts it has not named yet.
    """
    with ExitStack() as stack:
        # Every stage is stored before it starts: who holds the write lock keeps all from starting.
        for place in places(home):
            stack.enter_context(place.state.exclusively())
        deadline = time.monotonic() + _SWEEP_SECONDS
        for item in all_runs(home):
            if not item.run.done and is_executed(item.place.root, item.run.name):
                raise PlatformError(
                    f"run {item.run.name} is being executed: its artifacts may not be named yet",
                    hint="wait for it, or cancel it, then collect artifacts",
                )
        removed = {}
        for blob, size in unreferenced(home).items():
            if time.monotonic() > deadline:
                break
            blob.unlink(missing_ok=True)
            removed[blob] = size
    return removed


def _blobs(store: Store) -> Iterator[Path]:
    for path in (store.root / "blobs" / "sha256").glob("*"):
        if not path.name.startswith("."):
            yield path


def _texts(home: Home, gone: set[str]) -> list[bytes]:
    """Everything kept that may name a digest: runs, references, reviews and releases."""
    texts: list[bytes] = []
    for place in places(home):
        texts += [text.encode() for text in place.state.texts(without=gone)]
        refs = Home(place.root).artifacts / "refs"
        texts += [
            path.read_bytes()
            for path in refs.rglob("*")
            if path.is_file() and not _belongs(path.relative_to(refs), gone)
        ]
    return texts + _texts_of_git(home.gitops_repository)


def _belongs(ref: Path, gone: set[str]) -> bool:
    return ref.parts[0] == "runs" and len(ref.parts) > 1 and ref.parts[1] in gone


def _texts_of_git(repository: Path) -> list[bytes]:
    """All that was ever promoted or put up for review: any of it may be served again."""
    if not repository.exists():
        return []
    return [git("log", "--all", "--patch", "--no-color", cwd=repository).encode()]


def per_run(
    gone: Sequence[Found[Place]], act: Callable[[Found[Place]], None]
) -> list[Found[Place]]:
    """Do `act` for each run; those that an engine took up meanwhile are left alone."""
    done = []
    for found in gone:
        try:
            act(found)
        except PlatformError:
            continue
        done.append(found)
    return done
