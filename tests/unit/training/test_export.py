"""A model tree loads back to the same model; what could run code while loading is refused."""

import json
import pickle
import sys
from pathlib import Path

import pytest
import torch

from touchstone.home import SHIPPED
from touchstone.training.export import export, load_model
from touchstone.training.load import load_spec
from touchstone.training.spec import Description

TABULAR = SHIPPED / "training" / "examples" / "tabular"


@pytest.fixture
def tree(tmp_path):
    spec = load_spec(TABULAR, "model.py:Progression")
    torch.manual_seed(0)
    module = spec.build({"width": 4})
    export(
        tmp_path,
        module=module,
        source=TABULAR,
        entrypoint="model.py:Progression",
        parameters={"width": 4},
        description=Description(
            task="classification", classes=("a", "b"), inputs={"shape": [10]}, protected={}, seed=1
        ),
        metrics={"val_accuracy": 0.5},
        seed=1,
    )
    return tmp_path


def test_an_exported_model_answers_the_same_after_loading(tree):
    spec, module, document = load_model(tree)
    torch.manual_seed(0)
    original = spec.build({"width": 4}).eval()
    inputs = torch.rand(5, 10)
    assert torch.equal(spec.predict(module, inputs), spec.predict(original, inputs))
    assert document["task"] == "classification"
    assert not module.training


@pytest.mark.parametrize("name", ["extra.pkl", "model.pt", "code/weights.joblib"])
def test_a_tree_with_a_pickle_is_refused(tree, name):
    (tree / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="may be pickles"):
        load_model(tree)


def test_a_pickle_under_the_name_of_the_weights_is_not_loaded(tree):
    torch.save({"0.weight": torch.zeros(1)}, tree / "model.safetensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        load_model(tree)


def test_weights_that_do_not_fit_the_code_are_refused(tree):
    document = json.loads((tree / "model.json").read_text())
    document["parameters"]["width"] = 5
    (tree / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="do not fit"):
        load_model(tree)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "code/model.py"])
def test_an_absent_file_is_named(tree, name):
    (tree / name).unlink()
    with pytest.raises(ValueError, match=Path(name).name):
        load_model(tree)


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        ("model.py", "expected file.py:ClassName"),
        ("../model.py:Progression", "expected file.py:ClassName"),
        ("absent.py:Progression", "no file absent.py"),
        ("model.py:SEX", "expected a subclass"),
        ("model.py:Absent", "expected a subclass"),
    ],
)
def test_a_wrong_entrypoint_is_refused_with_what_was_expected(entrypoint, said):
    with pytest.raises(ValueError, match=said):
        load_spec(TABULAR, entrypoint)


@pytest.fixture
def no_checkout(monkeypatch):
    """Modules are looked for as in a stage: the checkout is not on the path."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if Path(p).resolve() != SHIPPED])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("training", "scripts")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_import_from_before_the_rooms_says_what_to_write(tmp_path, no_checkout):
    (tmp_path / "model.py").write_text("import os\nfrom training import ModelSpec\n")
    with pytest.raises(
        ValueError, match=r"^model.py:2: got 'from training import ModelSpec'"
    ) as got:
        load_spec(tmp_path, "model.py:Tiny")
    assert "expected `from touchstone.training import …`" in str(got.value)
    (tmp_path / "model.py").write_text("from helper import *\n")
    (tmp_path / "helper.py").write_text("\nimport training.spec\n")
    with pytest.raises(ValueError, match=r"^helper.py:2: .*`from touchstone.training"):
        load_spec(tmp_path, "model.py:Tiny")


def test_a_repository_may_have_packages_called_as_folders_of_ours(tmp_path, no_checkout):
    for name in ("training", "scripts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.py").write_text(f"NAME = '{name}'\n")
    code = "from scripts.part import NAME as one\nfrom training.part import NAME as two\n"
    own = (TABULAR / "model.py").read_text()
    (tmp_path / "model.py").write_text(own.replace("import numpy", f"{code}import numpy", 1))
    assert load_spec(tmp_path, "model.py:Progression").task == "classification"
    (tmp_path / "model.py").write_text("import training.absent\n")
    with pytest.raises(ModuleNotFoundError, match="training.absent"):
        load_spec(tmp_path, "model.py:Progression")
