"""What a model repository's author does wrong is told by file and line, without a traceback."""

import pytest

from touchstone.home import SHIPPED
from touchstone.training.look import look

MODEL = (SHIPPED / "training" / "examples" / "tabular" / "model.py").read_text()


def seen(folder, text, *, entrypoint="model.py:Progression", tried=(), defended=()):
    (folder / "model.py").write_text(text)
    said = []
    look(folder, entrypoint, "sklearn:diabetes", 7, tried, defended, "", said.append)
    return said


def problems(folder, text, **how):
    return [one["problem"] for one in seen(folder, text, **how) if "problem" in one]


def line_of(text, part):
    """The number of the line that holds it."""
    return text[: text.index(part)].count("\n") + 1


def test_of_a_repository_without_fault_the_data_and_the_hyperparameters_are_told(tmp_path):
    said = seen(tmp_path, MODEL, tried=[{"width": 8, "dropout": 0.0}])
    assert not [one for one in said if "problem" in one]
    told = {key: value for one in said for key, value in one.get("seen", {}).items()}
    assert told["task"] == "classification"
    assert told["parameters"] == ["dropout", "width"]
    assert told["sizes"]["test"] == sum(map(sum, told["groups"]["sex"])) == 111
    assert told["description"]["classes"] == ["slower", "faster"]


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        (
            "import torch\n",
            "import torch\nimport nosuchpackage\n",
            "nosuch",
            "packages lock nosuch",
        ),
        ("import torch\n", "import torch\n1 / 0\n", "1 / 0", "ZeroDivisionError: division by zero"),
        ("import torch\n", "import torch\nraise SystemExit(0)\n", "raise S", "ends no process"),
        ("def build(self,", "def build(self", "def build(self ", "SyntaxError: "),
        ("def build(", "def bild(", "class Progression", "got no build, expected a torch.nn.Mod"),
        ('task = "classification"', 'task = "ranking"', "class Prog", "expected task = 'class"),
        ("(self, uri: str, *, seed: int)", "(self, uri)", "def load_data", "unexpected keyword"),
        ("module: nn.Module, batch: Batch", "batch", "def loss", "too many positional"),
        ("nn.Linear(10, width)", "nn.Linear(9, width)", "cross_entropy(mod", "8x10 and 9x16"),
        ("nn.Linear(width, 2)", "nn.Linear(width, 3)", "def predict", "here (8, 2)"),
        ("return module(inputs)", "return module(inputs)[0]", "def predict", "shape (2,), exp"),
        ("return module(inputs)", "return [1]", "def predict", "got a list of 1, expected logits"),
        ("batch.labels)", "batch.labels).item()", "def loss", "got a float, expected a scalar"),
        ("batch.labels)", "batch.labels).detach()", "def loss", "does not depend on the module"),
        ("batch.labels)", "batch.labels) / 0", "def loss", "got the loss inf"),
        ("batch.labels)", "batch.labels[:1])", "cross_entropy(mod", "a scalar tensor from loss"),
        (
            "width = int",
            "return 7\n        width = int",
            "def build",
            "got a int, expected a torch",
        ),
        ("return RawData(", "return (", "def load_data", "SyntaxError"),
        ("features - low", "features.astype(float) - low", "def load_data", "inputs float64"),
        ("high - low)).clip(0, 1)", "1)).clip(0)", "def load_data", "expected [0.0, 1.0]"),
        (
            'astype(np.int64),\n                "prot',
            'astype(bool),\n                "prot',
            "def load_data",
            "labels: got bool",
        ),
        ('"high": 1.0', '"high": np.float32(1)', "def load_data", "float(x) and x.tolist()"),
        ('"protected_sex"', '"sex"', "def load_data", "'protected_sex' is missing"),
        (
            'protected={"sex": SEX}',
            'protected={"sex": SEX, "age": ("a", "b")}',
            "def load_data",
            "'protected_age' is missing",
        ),
        ('("slower", "faster")', '("slower",)', "def load_data", "labels: got values from 0 to 1"),
        ("from sklearn", "open('data.csv')\n        from sklearn", "open('data", "No such file"),
        (
            "arrays={",
            'arrays={"held_out": np.ones(len(features), np.int64),',
            "def load_data",
            "split is empty",
        ),
    ],
)
def test_what_is_wrong_with_the_code_is_told_where_it_stands(tmp_path, old, new, at, words):
    assert MODEL.count(old) >= 1
    text = MODEL.replace(old, new, 1)
    found = problems(tmp_path, text)
    assert found and words in found[0], found
    if "SyntaxError" not in words:
        assert found[0].startswith(f"model.py:{line_of(text, at)}: "), found
    assert "site-packages" not in found[0] and "touchstone/" not in found[0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "return RawData(",
            "import pandas\n        return pandas.DataFrame(table.data)\n        RawData(",
            ["got a DataFrame, expected a RawData", "spec.data.label, without a load_data; or Raw"],
        ),
        (
            "return RawData(",
            "return table.data, table.target\n        RawData(",
            ["got a tuple of 2, expected a RawData", ": RawData(description=Description(task=…"],
        ),
        (
            '"labels": (table.target > np.median(table.target)).astype(np.int64)',
            '"labels": list(table.target)',
            ["got labels as a list of 442, expected numpy arrays: np.asarray(labels)"],
        ),
        (
            '"labels": (table.target > np.median(table.target)).astype(np.int64)',
            '"labels": np.where(table.target > 100, "slower", "faster")',
            [
                "labels: got <U6 (442,), expected int64",
                "np.array([classes.index(one) for one in la",
            ],
        ),
        (
            "(sex == sex.max()).astype(np.int64)",
            "np.where(sex == 1, *SEX)",
            ["protected_sex: got <U7", "np.array([protected['sex'].index(one) for one in prot"],
        ),
        (
            '"labels": (table',
            '"targets": (table',
            ["array 'labels' is missing", "write 'labels' in the place of 'targets'"],
        ),
        (
            "features = table.data.astype(np.float32)",
            "features = table.data",
            ["got inputs float64", "write inputs.astype(np.float32)"],
        ),
        (
            '"inputs": ((features - low) / (high - low)).clip(0, 1)',
            '"inputs": np.full(features.shape, "x", dtype=object)',
            [
                "got inputs object (442, 10), expected float32",
                "inputs hold a str: write numbers, a",
            ],
        ),
        (
            "features = table.data.astype(np.float32)",
            "features = table.data.astype(np.float32)\n        features[5, 2] = np.nan",
            [
                "got NaN or infinity in 442 of the inputs, first in sample 0 at feature 'bmi'",
                "gaps",
            ],
        ),
        (
            "arrays={",
            "arrays=[table.data] or {",
            ["got a list of 1 as arrays, expected a mapping"],
        ),
    ],
)
def test_data_in_the_form_that_others_take_are_told_in_which_ours_are(tmp_path, old, new, words):
    assert old in MODEL
    found = problems(tmp_path, MODEL.replace(old, new, 1))
    assert found and all(one in found[0] for one in words), found
    assert found[0].startswith(f"model.py:{line_of(MODEL, 'def load_data')}: load_data: ")


def test_every_missing_method_and_every_wrong_array_is_told_at_once(tmp_path):
    text = MODEL.replace("def build(", "def bild(").replace("def predict(", "def foretell(")
    (found,) = problems(tmp_path, text)
    assert "got no build" in found and "got no predict" in found
    text = MODEL.replace('.astype(np.int64),\n                "prot', ',\n                "prot')
    text = text.replace("sex.max()).astype(np.int64)", "sex.max())")
    (found,) = problems(tmp_path, text)
    assert "protected_sex: got bool" in found and "labels: got bool" in found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def predict(self, module", "@staticmethod\n    def predict(module"),
        ("def predict(self", "@torch.no_grad()\n    def predict(self"),
        (
            "def loss(self, module: nn.Module, batch: Batch)",
            "def loss(self, module, batch, **more)",
        ),
        ("*, seed: int)", "seed=0, cache=None)"),
        ("parameters.get(", "dict(parameters).get("),
    ],
)
def test_other_ways_to_write_a_method_are_no_faults(tmp_path, old, new):
    assert old in MODEL
    assert problems(tmp_path, MODEL.replace(old, new), tried=[{"width": 8}]) == []


def test_an_entrypoint_with_a_typo_is_told_what_is_there(tmp_path):
    (found,) = problems(tmp_path, MODEL, entrypoint="model.py:Progresion")
    assert "model.py has no Progresion" in found and "did you mean 'Progression'?" in found
    (found,) = problems(tmp_path, MODEL, entrypoint="modle.py:Progression")
    assert "has no file modle.py; did you mean 'model.py'?" in found


def test_the_frames_of_a_neighbour_are_told_the_innermost_first(tmp_path):
    (tmp_path / "layers.py").write_text("def wide(n):\n    return {}[n]\n")
    text = MODEL.replace("import torch\n", "import layers\nimport torch\n", 1)
    text = text.replace("width = int(", "width = layers.wide(")
    (found,) = problems(tmp_path, text)
    first, second, third, fourth = found.splitlines()
    assert first == "layers.py:2: KeyError: 16"
    assert second == "  layers.py:2 in wide: return {}[n]"
    assert third.startswith(f"  model.py:{line_of(text, 'layers.wide')} in build: width = layers.")
    assert fourth == (
        "  expected a torch.nn.Module from build(parameters), for inputs as load_data describes"
        " them"
    )


def test_hostile_words_are_made_visible_and_cut(tmp_path):
    text = MODEL.replace("import torch\n", 'raise ValueError("\\x1b[2J" + "x" * 100_000)\n', 1)
    (found,) = problems(tmp_path, text)
    assert "\\u001b[2J" in found and "\x1b" not in found and len(found) < 4001


def test_hyperparameters_that_the_network_cannot_be_built_with_are_told(tmp_path):
    text = MODEL.replace("width = int(", "width = 16 // int(")
    (found,) = problems(tmp_path, text, tried=[{"width": 0}])
    assert "ZeroDivisionError" in found and "with the parameters {'width': 0}" in found


def test_a_defence_that_does_not_serve_such_inputs_is_told_where_it_is_declared(tmp_path):
    at = ["spec", "train", "defences"]
    defended = [(at, [{"method": "jpeg_compression", "options": {}}])]
    found = [one for one in seen(tmp_path, MODEL, defended=defended) if "problem" in one]
    assert [one["at"] for one in found] == [at]
    assert "jpeg_compression works on images" in found[0]["problem"]


def test_a_description_that_names_no_feature_of_its_own_is_told(tmp_path):
    (found,) = problems(tmp_path, MODEL.replace('["age"]', '["agee"]'))
    assert "load_data: got the features ['agee'], expected some of" in found
