"""A stage is told what it reads and nothing else: only that may change its document."""

import shutil

import pytest

from touchstone.artifacts.store import Store
from touchstone.contract import model_repo, reads
from touchstone.contract.reads import DataReads, GateReads, TrainReads, TuneReads
from touchstone.contract.remedy import judged_by
from touchstone.errors import UsageError
from touchstone.home import SHIPPED
from trust_gates.inputs.description import Description

EXAMPLE = SHIPPED / "training" / "examples" / "tabular"
GATES = ("quality", "robustness", "fairness", "explainability", "integrity")


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "tree"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def read(store, tree):
    spec = model_repo.load(tree).spec
    return reads.put(store, tree, spec, spec)


def edit(tree, old, new, name="touchstone.yaml"):
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "who"),
    [
        ("purpose: Tell", "purpose: Say", set()),
        ("canary: 100", "canary: 10", set()),
        ("environments: [production]", "environments: [staging]", set()),
        ("atLeast: 0.55", "atLeast: 0.56", {"quality", "preprocess"}),
        ("atMost: 0.35", "atMost: 0.36", {"explainability", "preprocess"}),
        ("within: [-0.45, 0.45]", "within: [-0.4, 0.45]", {"fairness", "preprocess"}),
        ("epsilon: 0.01", "epsilon: 0.02", {"robustness", "preprocess"}),
        ("maxTrials: 4", "maxTrials: 5", {"tune"}),
        ("    workers: 2\n    epochs: 30", "    workers: 2\n    epochs: 31", {"train"}),
        ("batchSize: 32", "batchSize: 16", {"tune", "train"}),
        ("uri: sklearn:diabetes", "uri: generate", {"data"}),
        ("seed: 7", "seed: 8", {"data", "tune", "train", *GATES}),
        ("confidence: 0.95", "confidence: 0.9", {"preprocess", *GATES}),
    ],
)
def test_a_change_reaches_those_who_read_it_and_nobody_else(store, tree, old, new, who):
    before = read(store, tree)
    edit(tree, old, new)
    after = read(store, tree)
    assert {name for name in before if before[name] != after[name]} == who


def test_code_reaches_all_who_run_it_and_the_gate_that_looks_at_it(store, tree):
    before = read(store, tree)
    edit(tree, "import", "import os\nimport", "model.py")
    after = read(store, tree)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"data", "tune", "train", "integrity"}


def test_what_a_training_takes_from_a_policy_is_part_of_its_recipe(store, tree):
    edit(tree, "batchSize: 32\n", "batchSize: 32\n    defences: [{method: adversarial_training}]\n")
    before = read(store, tree)
    edit(tree, "epsilon: 0.01", "epsilon: 0.02")
    after = read(store, tree)
    assert before["train"] != after["train"]


def test_a_remedy_changes_the_training_and_nobody_judges_otherwise(store, tree):
    spec = model_repo.load(tree).spec
    remedied = spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": 3})})
    plain, other = (reads.put(store, tree, spec, one) for one in (spec, remedied))
    assert {name for name in plain if plain[name] != other[name]} == {"train"}


@pytest.mark.parametrize(
    "name", ["README.md", "docs/index.rst", "LICENSE", "LICENSE.txt", ".gitignore", "sub/Notes.MD"]
)
def test_documents_change_nothing_and_no_code_sees_them(store, tree, tmp_path, name):
    before = read(store, tree)
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text("what nobody's model may depend on")
    assert read(store, tree) == before
    for part, kind in (("data", DataReads), ("tune", TuneReads), ("train", TrainReads)):
        code = store.get(reads.load(store, before[part], kind).code, tmp_path / part)
        assert [path.name for path in code.rglob("*")] == ["model.py"]


@pytest.mark.parametrize(
    "name",
    ["labels.txt", "data.csv", "requirements.txt", "markdown.py", "notice.py", "authors.csv"],
)
def test_anything_else_is_code(store, tree, name):
    before = read(store, tree)
    (tree / name).write_text("x")
    assert read(store, tree)["train"] != before["train"]


def test_a_gate_judges_by_the_policy_and_at_the_confidence_of_the_whole(store, tree):
    spec = model_repo.load(tree).spec
    found, gates = read(store, tree), judged_by(spec)
    for gate in GATES:
        told = reads.load(store, found[gate], GateReads)
        assert told.policy(gate) == gates.policy(gate)
        setting = told.setting(
            Description(
                task="classification",
                classes=("x", "y"),
                inputs={"shape": [1], "low": 0, "high": 1, "features": ["a"]},
                protected={"sex": ("m", "f")},
                seed=1,
            )
        )
        assert setting == gates.setting(
            seed=spec.data.seed, features=("a",), groups={"sex": ("m", "f")}
        )
        assert not any(told.policy(name) for name in set(GATES) - {gate, "integrity"})


def test_a_stage_refuses_the_document_of_another(store, tree):
    found = read(store, tree)
    with pytest.raises(UsageError, match=r"expected a document as fetch-source leaves it"):
        reads.load(store, found["train"], DataReads)
    with pytest.raises(UsageError, match=r"what the stage reads"):
        reads.load(store, store.put_bytes(b"\xff"), TrainReads)
