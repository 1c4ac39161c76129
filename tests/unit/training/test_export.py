"""A model tree loads back to the same model; what could run code while loading is refused."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from touchstone.home import SHIPPED
from touchstone.training.export import export, with_code
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
        spec=spec,
        sample=torch.rand(8, 10),
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
    spec, module, document = with_code(tree)
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
        with_code(tree)


def test_a_pickle_under_the_name_of_the_weights_is_not_loaded(tree):
    torch.save({"0.weight": torch.zeros(1)}, tree / "model.safetensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        with_code(tree)


def test_weights_that_do_not_fit_the_code_are_refused(tree):
    document = json.loads((tree / "model.json").read_text())
    document["parameters"]["width"] = 5
    (tree / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="do not fit"):
        with_code(tree)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "code/model.py"])
def test_an_absent_file_is_named(tree, name):
    (tree / name).unlink()
    with pytest.raises(ValueError, match=Path(name).name):
        with_code(tree)


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


def test_who_only_reads_what_a_tree_says_of_itself_loads_no_torch():
    """The verdict's stage is one: PyTorch takes longer to import than all that it does."""
    code = "import sys, touchstone.training.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
