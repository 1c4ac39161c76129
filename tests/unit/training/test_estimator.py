"""An estimator is fitted as asked, comes back as it was, and runs in the model host alone."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from touchstone.home import SHIPPED
from touchstone.training import Description, EstimatorSpec, dataset
from touchstone.training.defences import Defence
from touchstone.training.estimator import files
from touchstone.training.estimator.fits import misfits
from touchstone.training.estimator.fitted import Fitted, fit, indices
from touchstone.training.evasion import Evasion
from touchstone.training.export import export, with_code
from touchstone.training.load import faults, load_class
from touchstone.training.look import look
from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.apply import train_mitigated
from touchstone.training.raised import CodeError
from touchstone.training.spec import RawData
from touchstone.training.target import open_described
from touchstone.training.trainer import Ranks, TrainConfig

EXAMPLE = SHIPPED / "training" / "examples" / "scikit-learn"


def data(count=120):
    generator = np.random.default_rng(0)
    inputs = generator.random((count, 3)).astype(np.float32)
    described = Description(
        task="classification",
        classes=("1", "0"),  # names that look like the indices of others
        inputs={"shape": [3], "low": 0.0, "high": 1.0, "kind": "tabular"},
        protected={"group": ("a", "b")},
        seed=0,
    )
    arrays = {
        "inputs": inputs,
        "labels": (inputs[:, 0] > inputs[:, 1]).astype(np.int64),
        "protected_group": generator.integers(0, 2, count),
    }
    return RawData(description=described, arrays=arrays)


DATA = data()
SPLITS = dataset.split(DATA)


class Mine(EstimatorSpec):
    task = "classification"

    def __init__(self, make=lambda: RandomForestClassifier(5)):
        self.make = make

    def load_data(self, uri, *, seed):
        return DATA

    def build(self, parameters):
        return self.make()


def fitted(make=lambda: RandomForestClassifier(5), **config):
    return fit(Mine(make), SPLITS, TrainConfig(epochs=1, **config))


def tree(folder, module):
    source = folder / "source"
    source.mkdir(parents=True)
    (source / "model.py").write_text("raise SystemExit('this code is not run')\n")
    export(
        folder / "model",
        module=module,
        spec=Mine(),
        sample=torch.zeros(1, 3),
        source=source,
        entrypoint="model.py:Mine",
        parameters={},
        description=DATA.description,
        metrics={"val_accuracy": 1.0},
        seed=0,
    )
    return folder / "model"


def test_a_fitted_estimator_is_measured_and_answers_with_logits():
    module, figures = fitted()
    inputs = SPLITS.splits["test"]["inputs"]
    logits = module(torch.from_numpy(inputs))
    assert logits.dtype == torch.float64
    assert logits.softmax(dim=1).numpy() == pytest.approx(
        module.estimator.predict_proba(inputs), abs=1e-9
    )
    assert figures["val_accuracy"] > 0.8
    assert set(figures) == {"val_accuracy", "val_balanced_accuracy"}


def test_a_tree_of_an_estimator_answers_the_same_in_a_host_and_runs_none_of_the_repositorys_code(
    tmp_path,
):
    module, _ = fitted(lambda: make_pipeline(StandardScaler(), RandomForestClassifier(5)))
    target = open_described(tree(tmp_path, module), DATA.description, np.ones(3))
    assert target.asked_as.startswith("confined by ")
    assert target.averaged is not None
    inputs = SPLITS.splits["test"]["inputs"]
    assert target.logits(inputs) == pytest.approx(module(torch.from_numpy(inputs)).numpy())
    document = json.loads((tmp_path / "model" / "model.json").read_text())["estimator"]
    assert document["type"] == "sklearn.pipeline.Pipeline"
    assert "sklearn.tree._tree.Tree" in document["types"]


def test_a_tree_of_an_estimator_with_a_pickle_or_without_its_file_is_refused(tmp_path):
    folder = tree(tmp_path, fitted()[0])
    (folder / "more.pkl").write_bytes(pickle.dumps([]))
    with pytest.raises(ValueError, match="may be pickles"):
        open_described(folder, DATA.description)
    (folder / "more.pkl").unlink()
    (folder / "model.skops").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="model.skops: .*expected a scikit-learn model"):
        with_code(folder)


def test_the_same_training_gives_the_same_bytes(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        files.write(tmp_path / name, fitted(seed=3)[0].estimator)
    first, second = ((tmp_path / name / "model.skops").read_bytes() for name in "ab")
    assert first == second
    files.write(tmp_path / "b", fitted(seed=4)[0].estimator)
    assert first != (tmp_path / "b" / "model.skops").read_bytes()


def test_a_function_of_the_repositorys_own_cannot_be_exported(tmp_path):
    own = FunctionTransformer(lambda rows: rows)
    with pytest.raises(ValueError, match="cannot be written in skops' format .*expected one of"):
        files.write(tmp_path, own)


def test_a_mitigation_weighs_rows_where_the_last_step_takes_weights():
    seen = {}

    class Remembering(LogisticRegression):
        def fit(self, X, y, sample_weight=None):  # noqa: N803 (scikit-learn's name)
            seen["weights"] = sample_weight
            return super().fit(X, y, sample_weight)

    asked = {"protected": "group", "privileged": ["a"], "favorable": "0"}
    config = TrainConfig(epochs=1, mitigation=Mitigation(method="reweighing", **asked))
    spec = Mine(lambda: make_pipeline(StandardScaler(), Remembering()))
    done = train_mitigated(spec, SPLITS, config, fit=fit)
    assert len(np.unique(seen["weights"])) == 4
    assert isinstance(done.module, Fitted)
    with pytest.raises(ValueError, match="KNeighborsClassifier, whose fit takes no sample_weight"):
        train_mitigated(Mine(KNeighborsClassifier), SPLITS, config, fit=fit)
    rule = Mitigation(method="equalized_odds", **asked)
    config = config.model_copy(update={"mitigation": rule})
    assert train_mitigated(Mine(), SPLITS, config, fit=fit).served.steps is not None


def test_what_cannot_be_done_to_an_estimator_is_named_with_its_field():
    found = dict(
        misfits(
            mitigation=Mitigation(method="prejudice_remover"),
            defences=[Defence(method="feature_squeezing"), Defence(method="trades")],
            evasion=Evasion(),
            workers=2,
            gpus=1,
        )
    )
    assert set(found) == {
        ("mitigation", "method"),
        ("defences", 1, "method"),
        ("evasionDetector",),
        ("workers",),
        ("gpusPerWorker",),
    }
    assert all("expected" in words for words in found.values())
    with pytest.raises(ValueError, match="got 2 processes, expected 1 for an estimator"):
        fit(Mine(), SPLITS, TrainConfig(epochs=1), ranks=Ranks(world=2))


@pytest.mark.parametrize("made", [None, StandardScaler(), torch.nn.Linear(2, 2)])
def test_what_is_no_estimator_is_refused_where_build_stands(made):
    with pytest.raises(CodeError, match="expected an estimator with fit and predict_proba or"):
        fitted(lambda: made)


def test_a_class_without_a_sample_is_named():
    arrays = SPLITS.splits["train"]
    some = {name: array[arrays["labels"] == 1] for name, array in arrays.items()}
    one = dataset.Dataset(DATA.description, {**SPLITS.splits, "train": some})
    with pytest.raises(ValueError, match="got no sample of 1 to fit on"):
        fit(Mine(), one, TrainConfig(epochs=1))


def test_the_example_is_looked_at_as_an_estimator():
    said = []
    look(EXAMPLE, "model.py:Diagnosis", "sklearn:breast_cancer", 7, [], [], "", said.append)
    assert not [one for one in said if "problem" in one]
    seen = {name: one for line in said for name, one in line.get("seen", {}).items()}
    assert seen["estimator"] is True
    assert seen["parameters"] == ["features", "leaf", "trees"]
    assert not list(faults(load_class(EXAMPLE, "model.py:Diagnosis")))


def test_a_lightgbm_model_is_fitted_and_comes_back(tmp_path):
    from lightgbm import LGBMClassifier

    module, figures = fitted(lambda: LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1))
    assert figures["val_accuracy"] > 0.7
    document = files.write(tmp_path, module.estimator)
    assert "lightgbm.basic.Booster" in document["types"]
    again = files.read(tmp_path, {"classes": ["1", "0"], "estimator": document})
    inputs = torch.from_numpy(SPLITS.splits["test"]["inputs"])
    assert torch.equal(again(inputs), module(inputs))


def test_somebody_elses_file_is_opened_with_the_classes_by_name(tmp_path):
    import skops.io

    names = np.array(["no", "yes"])[DATA.arrays["labels"]]
    model = RandomForestClassifier(5).fit(DATA.arrays["inputs"], names)
    skops.io.dump(model, tmp_path / "m.skops")
    with files.foreign_tree(tmp_path / "m.skops", "classification", ["yes", "no"], []) as folder:
        _, module, _ = with_code(folder)
    rows = DATA.arrays["inputs"][:5]
    expected = model.predict_proba(rows)[:, ::-1]
    assert module(torch.from_numpy(rows)).softmax(dim=1).numpy() == pytest.approx(expected)
    assert indices(["yes", "no"]) == ["0", "1"]
    assert zipfile.is_zipfile(tmp_path / "m.skops")
