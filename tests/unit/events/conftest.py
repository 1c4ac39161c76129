"""What the tests of events share: a listener over the repository's own triggers."""

from __future__ import annotations

from pathlib import Path

import pytest
from event_samples import SECRET

from touchstone.events.listener import Listener
from touchstone.events.triggers import Triggers, load_triggers
from touchstone.runs.store import State


@pytest.fixture(scope="session")
def triggers() -> Triggers:
    return load_triggers([Path(__file__).parents[3] / "tekton" / "triggers"])


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "home")


@pytest.fixture
def listener(state: State, triggers: Triggers) -> Listener:
    return Listener(
        state,
        triggers=triggers,
        secrets=lambda name, key: SECRET,
        overrides={"gitops-url": "file:///srv/gitops.git", "image-registry": "localhost/models"},
    )
