"""An estimator's file holds types that are known, or is counted as one that runs code."""

import io
import json
import zipfile

import pytest

from trust_gates.integrity import estimators, executables, pinning


def saved(*named, members=("schema.json",)):
    """A skops file that has these loaded: (module, name, loader)."""
    content = [
        {"__module__": module, "__class__": name, "__loader__": loader}
        for module, name, loader in named
    ]
    outer = {"__module__": "sklearn.pipeline", "__class__": "Pipeline", "__loader__": "ObjectNode"}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member in members:
            archive.writestr(member, json.dumps({**outer, "content": {"deep": [content]}}))
    return stream.getvalue()


@pytest.mark.parametrize(
    "named",
    [
        ("sklearn.tree._tree", "Tree", "TreeNode"),
        ("numpy", "ndarray", "NdArrayNode"),
        ("builtins", "dict", "DictNode"),
        ("collections", "OrderedDict", "DictNode"),
        ("numpy", "log1p", "FunctionNode"),
        ("scipy.special", "expit", "FunctionNode"),
    ],
)
def test_what_scikit_learn_is_made_of_is_accepted(named):
    assert estimators.reason(saved(named)) == ""


@pytest.mark.parametrize(
    "named",
    [
        ("os", "system", "FunctionNode"),
        ("builtins", "eval", "FunctionNode"),
        ("builtins", "eval", "TypeNode"),
        ("builtins", "getattr", "ConstructorFromReduceNode"),
        ("numpy", "load", "FunctionNode"),
        ("numpy.f2py", "main", "FunctionNode"),
        ("sklearn.datasets", "load_files", "FunctionNode"),
        ("operator", "methodcaller", "OperatorFuncNode"),
        ("functools", "partial", "PartialNode"),
        ("touchstone_model_model", "Scale", "ObjectNode"),
        ("lightgbm.sklearn", "LGBMClassifier", "ObjectNode"),
        ("", "", ""),
    ],
)
def test_anything_else_is_named(named):
    assert f"it holds {named[0]}.{named[1]}, expected types of" in estimators.reason(saved(named))


def test_a_package_that_the_repository_pins_may_give_types_and_no_module_of_python_may(tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "lightgbm==4.7.0 \\\n    --hash=sha256:00\nImbalanced_Learn==0.14\nxgboost>=2\nos==1.0\n"
    )
    pinned = pinning.packages(tmp_path)
    assert pinned == {"lightgbm", "Imbalanced_Learn", "os"}
    booster = ("lightgbm.basic", "Booster", "ObjectNode")
    assert estimators.reason(saved(booster), pinned) == ""
    assert estimators.reason(saved(("imblearn.pipeline", "Pipeline", "ObjectNode")), pinned) == ""
    assert "xgboost" in estimators.reason(saved(("xgboost", "X", "ObjectNode")), pinned)
    assert "os.system" in estimators.reason(saved(("os", "system", "FunctionNode")), pinned)


def test_a_file_that_could_be_read_in_two_ways_is_refused(tmp_path):
    twice = saved(members=("schema.json",) * 2)
    for data in (b"nothing", saved(members=("other.json",)), twice):
        path = tmp_path / "model.skops"
        path.write_bytes(data)
        assert executables.reason(path)
        with pytest.raises(ValueError, match="no skops file"):
            estimators.types(data)
