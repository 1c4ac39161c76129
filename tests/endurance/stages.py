"""What of a delivery is killed: `python -m tests.endurance.stages KIND FOLDER` does it once.

Each does what was not done yet and exits with 0; what it left is in the folder. `prepare` lays out
what it begins with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.delivery_platform import Platform, make_platform
from touchstone.delivery import review
from touchstone.delivery.sync import Sync

COMMITS = ("1" * 40, "2" * 40)
"""Of the version that is served, and of the one that comes after it."""


def prepare(kind: str, folder: Path) -> None:
    """What `kind` begins with: nothing, one promotion, or one release and one promotion."""
    world = make_platform(folder)
    if kind == "review":
        world.promote(world.candidate(commit=COMMITS[0]))
    if kind in ("sync", "serve"):
        first, second = (_candidate(world, commit, real=kind == "serve") for commit in COMMITS)
        world.promote(first)
        world.approve(COMMITS[0][:12])
        world.promote(second)


def _promote(folder: Path) -> None:
    world = make_platform(folder)
    world.promote(world.candidate(commit=COMMITS[0]))


def _review(folder: Path) -> None:
    world = make_platform(folder)
    for one in review.open_reviews(world.gitops, world.keys.public):
        world.approve(one.branch)


class Shelf:
    """Serves a version by its folder and a file that says so, in place of a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said: dict[tuple[str, str], str] = {}

    def apply(
        self, environment: str, model: str, unpack: Callable[[Path], Any], version: str
    ) -> None:
        unpack(self._folder / version)
        self._said[environment, model] = version
        (self._folder / "served.json").write_text(json.dumps(list(self._said.values())))

    def remove(self, environment: str, model: str) -> None:
        self._said.pop((environment, model))

    def current(self, environment: str, model: str) -> str | None:
        return self._said.get((environment, model))

    def served(self) -> list[tuple[str, str]]:
        return list(self._said)


def _sync(folder: Path) -> None:
    (folder / "shelf").mkdir(exist_ok=True)
    _switch(make_platform(folder), Shelf(folder / "shelf"))


def _serve(folder: Path) -> None:
    import httpx

    from touchstone.delivery.serve import Serving

    serving = Serving(folder / "home", 0)
    serving.start()
    try:
        _switch(make_platform(folder), serving)
        body = {"instances": [[0.1, 0.2, 0.3]]}
        url = f"{serving.url}/v1/models/tiny:predict"
        answer = httpx.post(url, json=body, timeout=30, trust_env=False)
        said = {"version": answer.headers["x-touchstone-version"], "answer": answer.json()}
        (folder / "served.json").write_text(json.dumps(said))
    finally:
        serving.stop()


def _switch(world: Platform, serving: Any) -> None:
    """Serve what main says, then merge what is open and serve that."""
    sync = Sync(world.gitops, store=world.store, public_key=world.keys.public, serving=serving)
    sync.step()
    _review(world.root)
    sync.step()
    assert serving.current("staging", "tiny") == COMMITS[1][:12]


def _candidate(world: Platform, commit: str, *, real: bool) -> Any:
    candidate = world.candidate(commit=commit, weights=commit.encode())
    if not real:
        return candidate
    from tests.support.linear_model import model_tree

    model = world.store.put(model_tree(world.root / f"model-{commit[:6]}", float(commit[0])))
    verdict = world.store.get_json(candidate.digests.verdict) | {"model": model}
    digests = {"model": model, "verdict": world.store.put_json(verdict)}
    return replace(candidate, digests=candidate.digests.model_copy(update=digests))


KINDS = {"promote": _promote, "review": _review, "sync": _sync, "serve": _serve}


if __name__ == "__main__":
    print("ready", flush=True)
    KINDS[sys.argv[1]](Path(sys.argv[2]))
