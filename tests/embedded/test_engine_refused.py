"""What must be refused is refused, where and with the words its file says, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.reference.refused import FOLDER, Case, cases
from touchstone.cli import _app
from touchstone.commands.validate import examine
from touchstone.engine import Engine
from touchstone.engine.rules import validate
from touchstone.engine.text.load import load_text
from touchstone.errors import ManifestError
from touchstone.events.trigger_catalog import is_ours
from touchstone.runs.store import State

_ROOT = Path(__file__).parents[2]
_CASES = [
    pytest.param(case, id=f"{file.stem}: {case.title}")
    for file in sorted(FOLDER.glob("*.yaml"))
    for case in cases(file)
]


@pytest.mark.parametrize("case", _CASES)
def test_a_wrong_document_is_told_what_its_case_says_and_no_more(case: Case) -> None:
    documents = load_text(case.text, "x.yaml")
    problems, _ = examine(documents)
    told = sorted(
        (int(item.location.split(":")[1]), item.refused_by, item.message) for item in problems
    )
    assert case.expected
    assert told == case.expected
    stopping = [item for item in problems if not item.runs_here]
    if stopping and not any(map(is_ours, documents)):
        with pytest.raises(ManifestError) as caught:
            validate(documents)
        assert str(caught.value) == f"{stopping[0].location}: {stopping[0].message}"
        assert caught.value.exit_code == 4


def test_a_reference_that_nothing_replaces_is_told_and_refused_by_nobody(tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(
        "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n"
        "  steps: [{name: s, image: bash, script: 'echo ok # $(workspaces.w.path)'}]\n"
    )
    result = CliRunner().invoke(_app(), ["validate", str(file)])
    assert result.exit_code == 0
    place = f"{file}:5:34: stays text: spec.steps[0].script: got $(workspaces.w.path)"
    assert result.stdout.startswith(place)
    validate(load_text(file.read_text(), "x.yaml"))


def test_a_file_of_broken_yaml_hides_no_problem_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    (tmp_path / "b.yaml").write_text("apiVersion: tekton.dev/v1\nkind: Task\nspec: {steps: []}\n")
    result = CliRunner().invoke(_app(), ["validate", "--json", str(tmp_path)])
    assert isinstance(result.exception, ManifestError)
    told = [
        (Path(one["location"]).name, one["message"])
        for one in json.loads(result.stdout)["problems"]
    ]
    assert told[0][0] == "a.yaml:2:1" and told[0][1].startswith("got broken YAML")
    assert ("b.yaml:1:1", "metadata: got no name, expected one") in told


def test_a_kind_nobody_runs_is_refused_by_name() -> None:
    text = "apiVersion: tekton.dev/v1\nkind: ClusterTask\nmetadata: {name: t}\nspec: {steps: []}\n"
    with pytest.raises(ManifestError, match="x.yaml:2:1: kind: got 'ClusterTask', expected one of"):
        validate(load_text(text, "x.yaml"))


@pytest.mark.parametrize("metadata", [None, 5, {"name": 5}])
def test_a_run_whose_metadata_is_none_is_refused_before_it_is_stored(
    tmp_path: Path, metadata: object
) -> None:
    run = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": metadata, "spec": {}}
    with pytest.raises(ManifestError, match="metadata"):
        Engine(State(tmp_path), tmp_path, definitions=[]).check(run)
