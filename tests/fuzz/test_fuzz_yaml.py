"""Whatever stands in a file: it is read, or refused with a ManifestError."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import strategies as ours
from touchstone.commands.validate import examine
from touchstone.contract import model_repo
from touchstone.documents import yaml
from touchstone.engine import Engine
from touchstone.engine.rules import validate
from touchstone.engine.text.fields import KINDS
from touchstone.engine.text.load import load_files, load_text
from touchstone.errors import ManifestError
from touchstone.events.triggers import load_listeners
from touchstone.runs.store import State

LISTENER = Path(__file__).with_name("listener.yaml").read_text()
MODELS = [
    path.read_text() for path in sorted((ours.ROOT / "training/examples").glob("*/touchstone.yaml"))
]
refused = contextlib.suppress(ManifestError)


@given(ours.spoiled(ours.texts()) | st.text() | ours.values.map(ours.as_text))
def test_text_is_read_by_every_reader_or_refused_by_all(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.yaml"
    with contextlib.suppress(UnicodeEncodeError):
        file.write_text(text)
    with refused:
        yaml.load_one(text, "file.yaml")
    with refused:
        load_text(text, "file.yaml")
    with refused:
        load_files([file])


@given(st.binary() | ours.spoiled(ours.texts()).map(lambda text: text.encode("utf-16")))
def test_bytes_of_any_encoding_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "touchstone.yaml"
    file.write_bytes(content)
    for read in (yaml.load_file, model_repo.load, lambda path: load_files([path])):
        with refused:
            read(file)


@given(ours.mutated(ours.documents()))
def test_what_validate_admits_the_engine_admits(document: object) -> None:
    try:
        loaded = load_text(ours.as_text(document), "file.yaml")
    except ManifestError:
        return
    found, _ = examine(loaded)
    kinds = {item.kind for item in loaded}
    if not found and kinds <= set(KINDS):
        validate(loaded)


@given(ours.spoiled(ours.texts()))
def test_validate_finds_problems_in_broken_text_and_never_breaks(text: str) -> None:
    with refused:
        examine(load_text(text, "file.yaml"))


@given(ours.spoiled(MODELS))
def test_a_spoiled_model_file_is_loaded_or_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "touchstone.yaml"
    with contextlib.suppress(UnicodeEncodeError):
        file.write_text(text)
    with refused:
        model_repo.load(file)


@given(ours.mutated([yaml.load_text(text, "touchstone.yaml")[0].body for text in MODELS]))
def test_a_changed_model_file_is_loaded_or_refused_and_survives_a_dump(
    tmp_path: Path, document: object
) -> None:
    file = tmp_path / "touchstone.yaml"
    file.write_text(ours.as_text(document))
    try:
        model = model_repo.load(file)
    except ManifestError:
        return
    plain = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    file.write_text(ours.as_text(plain))
    assert model_repo.load(file) == model


@given(ours.spoiled([LISTENER]))
def test_spoiled_triggers_are_loaded_or_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "listener.yaml"
    file.write_text(text, errors="replace")
    with refused:
        load_listeners([file])


def _run_of(document: dict[str, Any]) -> dict[str, Any]:
    """A run of this Task or Pipeline, its spec embedded."""
    kind = document["kind"]
    field = {"Task": "taskSpec", "Pipeline": "pipelineSpec"}.get(kind)
    if field is None:
        return document
    metadata = {"name": "run"}
    spec = {field: document["spec"], "params": [{"name": "a", "value": "b"}]}
    return {"apiVersion": "tekton.dev/v1", "kind": f"{kind}Run", "metadata": metadata, "spec": spec}


RUNS = [_run_of(item) for item in ours.documents() if item.get("spec") and item.get("kind")]


@given(ours.mutated(RUNS))
def test_any_run_is_taken_or_refused_before_it_starts(tmp_path: Path, run: Any) -> None:
    home = tmp_path / "home"
    engine = Engine(State(home), home, definitions=[])
    with refused:
        engine.check(run)
