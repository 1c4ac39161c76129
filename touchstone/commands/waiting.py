"""Will an unfinished run still end? Only while somebody executes it, or will; else one is told.

A platform takes up its own runs by itself; one of `touchstone run` ends with its command.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from touchstone.errors import PlatformError

if TYPE_CHECKING:
    from touchstone.home import Home
    from touchstone.runs.lookup import Found, Kept

_PATIENCE = 5.0
"""Seconds that nobody executes it: an engine may be about to take it up."""


@dataclass(slots=True)
class Patience:
    """How long whoever follows a run has seen nobody execute it."""

    home: Home
    since: float | None = field(default=None, init=False)

    def ask(self, found: Found[Kept]) -> None:
        """Ask once more, several times a second.

        Raises:
            PlatformError: nobody has executed the run for a while, and nobody will.
        """
        if found.run.done or will_go_on(self.home, found):
            self.since = None
            return
        self.since = self.since or time.monotonic()
        if time.monotonic() - self.since > _PATIENCE:
            raise PlatformError(
                f"run {found.run.name} has not ended, and {who_ended(self.home, found)}",
                hint=way_on(self.home, found),
            )


def waiting(home: Home) -> Mapping[str, str]:
    """Why queued runs of the platform wait, by name; empty where no platform runs."""
    from touchstone.runs.lock import is_executed
    from touchstone.runs.queue import Limits, decide
    from touchstone.runs.store import State

    platform = home.platform()
    if platform is None:
        return {}
    unfinished = State(home.root).runs(done=False)
    executing = {run.name for run in unfinished if is_executed(home.root, run.name)}
    limits = Limits(platform.get("parallel", 1), platform.get("perModel", 1))
    return decide(unfinished, executing, limits).waits


def will_go_on(home: Home, found: Found[Kept]) -> bool:
    """Whether an engine executes the run, or a platform that runs will take it up."""
    from touchstone.runs.lock import is_executed

    place = found.place.root
    return is_executed(place, found.run.name) or (
        place == home.root and home.platform() is not None
    )


def who_ended(home: Home, found: Found[Kept]) -> str:
    """Why nobody executes it, in words."""
    if found.place.root != home.root:
        return "nothing executes it: the command that did has ended"
    return f"nothing executes it: {home.life()}"


def way_on(home: Home, found: Found[Kept]) -> str:
    """What to do, so that the run ends."""
    if found.place.root != home.root:
        return f"touchstone rerun --failed {found.run.name}"
    return home.life().remedy
