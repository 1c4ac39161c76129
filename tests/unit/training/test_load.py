"""A model repository's own modules are the ones that are imported; ours have one name."""

import sys
from pathlib import Path

import pytest
import torch

from touchstone.home import SHIPPED
from touchstone.training.export import export, with_code
from touchstone.training.load import load_spec
from touchstone.training.spec import Description

MODEL = """\
import torch

from scripts.rates import RATE
from touchstone.training import ModelSpec
from training.augment import VALUE


class Mine(ModelSpec):
    task = "classification"
    value, rate = VALUE, RATE

    def load_data(self, uri, *, seed):
        raise ValueError("none")

    def build(self, parameters):
        return torch.nn.Linear(2, 2)

    def loss(self, module, batch):
        return module(batch.inputs).sum()

    def predict(self, module, inputs):
        return module(inputs)
"""


@pytest.fixture(autouse=True)
def _as_in_a_stage(monkeypatch):
    """Nothing of the checkout was imported, and it is not on the path."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if Path(p).resolve() != SHIPPED])
    for name in list(sys.modules):
        if name.partition(".")[0] in ("scripts", "training"):
            monkeypatch.delitem(sys.modules, name)


def repository(folder, value=1, *, package=True, text=MODEL):
    for name, line in (("training/augment", f"VALUE = {value}"), ("scripts/rates", "RATE = 0.5")):
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True)
        file.write_text(line + "\n")
        if package:
            (file.parent / "__init__.py").touch()
    (folder / "model.py").write_text(text)
    return folder


@pytest.mark.parametrize("packages", [(True, True), (False, False), (False, True), (True, False)])
def test_packages_called_as_ours_are_the_repositorys_own_and_each_its_own(tmp_path, packages):
    for value, package in enumerate(packages):
        folder = repository(tmp_path / str(value), value, package=package)
        spec = load_spec(folder, "model.py:Mine")
        assert (spec.value, spec.rate) == (value, 0.5)
    assert not {"training", "training.augment", "scripts"} & set(sys.modules)


def test_a_loaded_model_tree_brings_its_own_packages(tmp_path):
    source = repository(tmp_path / "source", 7)
    spec = load_spec(source, "model.py:Mine")
    described = {"shape": [2], "low": 0.0, "high": 1.0}
    export(
        tmp_path / "tree",
        module=spec.build({}),
        spec=spec,
        sample=torch.zeros(4, 2),
        source=source,
        entrypoint="model.py:Mine",
        parameters={},
        description=Description(
            task="classification", classes=("a", "b"), inputs=described, protected={}, seed=1
        ),
        metrics={},
        seed=1,
    )
    assert with_code(tmp_path / "tree")[0].value == 7


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from training import ModelSpec", "from touchstone.training import ModelSpec"),
        ("from training.spec import Batch", "from touchstone.training.spec import Batch"),
        ("import training.spec as spec", "import touchstone.training.spec as spec"),
    ],
)
def test_the_old_name_of_our_package_is_an_error_that_says_the_new_one(tmp_path, line, expected):
    (tmp_path / "model.py").write_text(f"import torch\n\n{line}\n")
    with pytest.raises(ValueError) as refusal:
        load_spec(tmp_path, "model.py:Mine")
    assert str(refusal.value) == (
        f"model.py:3: got `{line}`, expected `{expected}`: the package moved"
    )


def test_the_old_name_is_told_where_the_checkout_is_on_the_path_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SHIPPED)
    (tmp_path / "model.py").write_text("from training import ModelSpec\n")
    with pytest.raises(ValueError, match="the package moved"):
        load_spec(tmp_path, "model.py:Mine")


def test_the_old_name_is_told_of_a_neighbours_file_and_beside_an_own_package(tmp_path):
    repository(tmp_path, text="import neighbour\n")
    (tmp_path / "neighbour.py").write_text("from training.spec import ModelSpec\n")
    with pytest.raises(ValueError, match=r"^neighbour\.py:1: got `from training\.spec import"):
        load_spec(tmp_path, "model.py:Mine")


@pytest.mark.parametrize("line", ["import training.augmnet", "from training import augmnet"])
def test_a_typo_in_the_name_of_an_own_module_is_no_move(tmp_path, line):
    repository(tmp_path, text=f"{line}\n")
    with pytest.raises(ImportError, match="augmnet"):
        load_spec(tmp_path, "model.py:Mine")
