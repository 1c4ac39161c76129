"""Every file in tekton/refused is refused before anything runs, where its first line says."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchstone.engine import Engine
from touchstone.engine.load import load_files
from touchstone.engine.validate import validate
from touchstone.errors import ManifestError
from touchstone.state import State

_FOLDER = Path(__file__).parent / "tekton"
_FILES = sorted((_FOLDER / "refused").glob("*.yaml"))


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)
def test_a_wrong_file_is_refused_with_its_place_and_reason(file: Path) -> None:
    expected = file.read_text().splitlines()[0].removeprefix("# expect: ")
    with pytest.raises(ManifestError) as caught:
        validate(load_files([file]))
    assert str(caught.value).startswith(f"{file}:{'' if expected[0].isdigit() else ' '}{expected}")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("file", sorted(_FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_right_file_is_accepted(file: Path) -> None:
    validate(load_files([file]))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        load_files([tmp_path / "absent.yaml"])


@pytest.mark.parametrize("metadata", [None, 5, {"name": 5}])
def test_a_run_whose_metadata_is_none_is_refused_before_it_is_stored(
    tmp_path: Path, metadata: object
) -> None:
    run = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": metadata, "spec": {}}
    with pytest.raises(ManifestError, match="metadata"):
        Engine(State(tmp_path), tmp_path, definitions=[]).check(run)
