"""Control of the embedded platform: its State, and the trigger YAML of this checkout."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchstone.errors import PlatformError
from touchstone.events.kinds import TemplateSpec
from touchstone.events.trigger_catalog import DEFAULT_NAMESPACE, load
from touchstone.home import SHIPPED, Home
from touchstone.requests.keeper import RunSummary, belongs, summary
from touchstone.requests.rerun import repeat
from touchstone.runs.lookup import find
from touchstone.runs.store import State


class EmbeddedControl:
    """Runs of the platform in `home`; whichever process executes them notices what changes."""

    def __init__(self, home: Home, *, triggers: Path = SHIPPED / "tekton" / "triggers") -> None:
        self._home = home
        self._state = State(home.root)
        self._triggers = triggers

    def template(self, name: str) -> TemplateSpec:
        """See `Control`."""
        found = load([self._triggers]).get("TriggerTemplate", name, DEFAULT_NAMESPACE)
        if found is None:
            raise PlatformError(f"got no TriggerTemplate {name!r}, expected it in {self._triggers}")
        spec: TemplateSpec = found.spec
        return spec

    def runs(self, repository: str, pull_request: str) -> list[RunSummary]:
        """See `Control`."""
        return [
            summary(run.manifest, run.status)
            for run in reversed(self._state.runs())
            if run.manifest["kind"] == "PipelineRun"
            and belongs(run.manifest, repository, pull_request)
        ]

    def create(self, manifest: Mapping[str, Any]) -> bool:
        """See `Control`."""
        try:
            self._state.add_run(manifest)
        except sqlite3.IntegrityError:
            return False
        return True

    def cancel(self, name: str) -> bool:
        """See `Control`."""
        return self._state.set_spec_status(name, "CancelledRunFinally")

    def repeat(self, name: str) -> tuple[str, str]:
        """See `Control`."""
        new = repeat(find(self._home, name), failed=True, extra={})
        return new, "what failed and what follows it"
