"""Do promotion, review, sync and serving end as undisturbed ones, however often they are killed?"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.endurance import stages
from tests.endurance.killing import Ended, killed, paths, start
from tests.support.delivery_platform import make_platform
from touchstone.delivery import gitops, release, review
from touchstone.errors import TouchstoneError

_HANGS_AFTER = 180
_TIMED = {
    *(release.RELEASE_FILE, release.ATTESTATION_FILE, release.APPROVALS_FILE),
    gitops.PEOPLE_FILE,
}
"""Files that hold the moment of their promotion or of its review, or a platform's new keys."""


def run(kind: str, moments: list[tuple[float, bool]]) -> Ended:
    """Do `kind` to its end, killing it `moments` seconds after each of its starts."""
    with tempfile.TemporaryDirectory(prefix="touchstone-kill-") as name:
        folder = Path(name)
        stages.prepare(kind, folder)
        command = [sys.executable, "-m", "tests.endurance.stages", kind, name]
        kills, wrong = [], []
        for seconds, everything in moments:
            if killed(command, seconds, everything):
                kills.append(f"{seconds:.2f}{'+' if everything else ''}")
        process = start(command)
        began = time.monotonic()
        if process.wait(_HANGS_AFTER):
            wrong.append(f"it ended with {process.returncode}")
        seconds = time.monotonic() - began
        wrong += [f"left running: {one}" for one in _left(name)]
        wrong += [f"left locked: {lock.name}" for lock in (folder / "git").rglob("*.lock")]
        return Ended(seconds=seconds, outcome=_outcome(folder), wrong=wrong, kills=kills)


def difference(disturbed: Ended, undisturbed: Ended) -> list[str]:
    """What is not as it should be; empty where all is well."""
    return [*disturbed.wrong, *paths(undisturbed.outcome, disturbed.outcome)]


def _outcome(folder: Path) -> dict[str, Any]:
    """All that lasts: branches, history and reviews of the GitOps repository; what is served."""
    world = make_platform(folder)
    with gitops.clone(world.gitops) as checkout:
        names = checkout.git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin")
        branches = sorted(set(names.splitlines()) - {"HEAD"})
        found = {name: _branch(checkout, f"origin/{name}", world.keys.public) for name in branches}
        notes = checkout.git("for-each-ref", "--format=%(refname)", "refs/notes")
    served = [*folder.glob("served.json"), *folder.glob("shelf/served.json")]
    return {
        "branches": found,
        "reviews": notes,
        "open": len(review.open_reviews(world.gitops, world.keys.public)),
        "served": [json.loads(file.read_text()) for file in served],
        "revisions": sorted(path.name for path in folder.glob("home/revisions/*")),
    }


def _branch(checkout: gitops.Checkout, tip: str, public_key: Path) -> dict[str, Any]:
    lines = checkout.git("ls-tree", "-r", "--format=%(path) %(objectname)", tip).splitlines()
    pairs = [line.split(" ") for line in lines]
    releases = [path for path, _ in pairs if path.endswith(f"/{release.RELEASE_FILE}")]
    return {
        "files": {p: "" if Path(p).name in _TIMED else digest for p, digest in pairs},
        # Sorted: two of one second are in no order.
        "commits": sorted(checkout.git("log", "--format=%s", tip).splitlines()),
        "verified": [_verified(checkout, tip, str(Path(p).parent), public_key) for p in releases],
    }


def _verified(checkout: gitops.Checkout, tip: str, folder: str, public_key: Path) -> str:
    with checkout.files(tip, folder) as files:
        try:
            return f"{folder} {release.verify(files, public_key).version}"
        except TouchstoneError as error:
            return f"{folder} {error}"


def _left(folder: str, seconds: float = 15) -> list[str]:
    """Processes of the folder that do not end by themselves soon."""
    limit = time.monotonic() + seconds
    while (left := list(_processes(folder))) and time.monotonic() < limit:
        time.sleep(0.2)
    return left


def _processes(folder: str) -> Iterator[str]:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid != os.getpid() and any(folder in word for word in words):
            yield " ".join(words)[:100]
