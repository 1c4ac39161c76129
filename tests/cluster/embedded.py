"""A probe in the embedded engine: its answer in the words that the cluster's is told in."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.cluster.probes import Probe
from tests.cluster.status import told
from touchstone.documents.kubectl import load_text
from touchstone.engine import Engine, Notice, StepStarted
from touchstone.engine.rules import find
from touchstone.runs.store import State


def ask(probe: Probe, home: Path) -> dict[str, Any]:
    """What becomes of the probe here."""
    documents = load_text(probe.text, probe.file.name)
    refused = [
        f"{document.kind}/{document.name}"
        for document in documents
        if any(problem.refused_by == "tekton" for problem in find([document]))
    ]
    if refused:
        return {"refused": sorted(refused)}
    home.mkdir(parents=True)
    definitions = home / "definitions.yaml"
    definitions.write_text(probe.text)
    state = State(home)
    state.add_run(probe.run)

    def watch(notice: Notice) -> None:
        if isinstance(notice, StepStarted) and notice.task == probe.once_running:
            threading.Timer(0.5, state.set_spec_status, (probe.name, probe.spec_status)).start()

    engine = Engine(state, home, definitions=[definitions], parallel=4, observer=watch)
    try:
        status = engine.execute(probe.name)
    finally:
        engine.stop()
    return told(status, state.taskruns(probe.name))
