"""References name what the catalog holds, StepActions too, and say where they name nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchstone.documents.kubectl import load_text
from touchstone.engine.plan.references import References
from touchstone.engine.text.catalog import Catalog
from touchstone.errors import ManifestError

_TASK = """apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  steps:
    - {name: s, ref: {name: act}}
    - {name: z, ref: {name: absent}}
"""
_ACTION = """
apiVersion: tekton.dev/v1beta1
kind: StepAction
metadata: {name: act}
spec: {image: x, script: exit 0}
"""


def test_a_step_action_is_found_by_name_and_by_the_cluster_resolver(tmp_path: Path) -> None:
    (tmp_path / "act.yaml").write_text(_ACTION)
    references = References(Catalog([tmp_path]))
    task = load_text(_TASK, "task.yaml")[0]
    cluster = {
        "resolver": "cluster",
        "params": [{"name": "kind", "value": "stepaction"}, {"name": "name", "value": "act"}],
    }
    for reference in ({"name": "act"}, cluster):
        found = references.find("StepAction", reference, task, ("spec", "steps", 0))
        assert (found.name, found.spec["script"]) == ("act", "exit 0")
    with pytest.raises(ManifestError) as caught:
        references.find("StepAction", {"name": "absent"}, task, ("spec", "steps", 1))
    assert str(caught.value) == (
        "task.yaml:7:23: spec.steps[1].ref.name: got 'absent', expected the name of a StepAction"
    )
    assert caught.value.hint == "known here: act"
