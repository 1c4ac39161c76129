"""What a model makes of raw values is asked of its own code, confined, and held to its inputs."""

import textwrap

import pytest
import torch

from touchstone.training.export import describe, export
from touchstone.training.hosted import Encoder
from touchstone.training.load import load_spec
from touchstone.training.look import look
from touchstone.training.opened import open_model
from trust_gates.errors import GateError
from trust_gates.host.client import MOST_CHARACTERS

CODE = """\
    import numpy as np


    import numpy as np
    import torch
    from torch import nn
    from touchstone.training import Description, ModelSpec, RawData

    WORDS = ["", "good", "bad", "film"]
    TEXTS = ["good film", "bad film", "bad", "good"] * 12

    class Mine(ModelSpec):
        task = "classification"

        def load_data(self, uri, *, seed):
            return RawData(
                description=Description(
                    task="classification",
                    classes=("worse", "better"),
                    inputs={"kind": "tokens", "dtype": "int64", "shape": [3], "low": 0, "high": 3},
                    protected={},
                    seed=seed,
                ),
                arrays={
                    "inputs": self.encode(TEXTS),
                    "labels": np.array(["good" in text for text in TEXTS]).astype(np.int64),
                    "raw": np.array(TEXTS),
                },
            )

        def build(self, parameters):
            return nn.Embedding(4, 2)

        def loss(self, module, batch):
            return nn.functional.cross_entropy(module(batch.inputs).mean(1), batch.labels)

        def predict(self, module, inputs):
            return module(inputs).mean(1)

        def encode(self, values):
            rows = np.zeros((len(values), 3), dtype=np.int64)
            for row, value in zip(rows, values):
                for place, word in enumerate(value.split()[:3]):
                    if word not in WORDS:
                        raise ValueError(f"got the word {word!r}, expected one of {WORDS[1:]}")
                    row[place] = WORDS.index(word)
            return rows
"""


WRONG = """\
if values[:1] == ["few"]:
            return np.zeros((1, 3), dtype=np.int64)
        if values[:1] == ["floats"]:
            return np.zeros((len(values), 3), dtype=np.float32)
        if values[:1] == ["high"]:
            return np.full((len(values), 3), 4)
        if values[:1] == ["objects"]:
            return [{}]
        if values[:1] == ["uneven"]:
            return np.zeros((len(values), len(values)), dtype=np.int64)
        if values[:1] == ["end"]:
            raise SystemExit
        rows = np"""


def encoder(folder):
    """A tree whose code, once trained, gives something else for some values."""
    code = textwrap.dedent(CODE)
    (folder / "source").mkdir()
    (folder / "source" / "model.py").write_text(code)
    spec = load_spec(folder / "source", "model.py:Mine")
    data = spec.load_data("", seed=1)
    export(
        folder / "tree",
        module=spec.build({}),
        spec=spec,
        sample=torch.from_numpy(data.arrays["inputs"][:4]),
        source=folder / "source",
        entrypoint="model.py:Mine",
        parameters={},
        description=data.description,
        metrics={},
        seed=1,
    )
    (folder / "tree" / "code" / "model.py").write_text(code.replace("rows = np", WRONG))
    opened = open_model(folder / "tree")
    return Encoder(folder / "tree", describe(folder / "tree"), opened.spec)


def test_raw_values_are_encoded_by_the_models_own_code_and_held_to_the_description(tmp_path):
    encode = encoder(tmp_path)
    assert encode(["bad film", "good"]).tolist() == [[2, 3, 0], [1, 0, 0]]
    assert encode([]).shape == (0, 3)
    assert encode(["good"] * 100).shape == (100, 3)
    with pytest.raises(ValueError, match=r"got the word 'awful', expected one of \['good'"):
        encode(["good", "awful film"])
    with pytest.raises(ValueError, match="expected at most"):
        encode(["x" * MOST_CHARACTERS])
    for values, said in (
        ([5], r"model\.py:\d+: AttributeError"),
        (["few", "good"], r"got int64 \(1, 3\), expected int64 \(2, 3\)"),
        (["floats", "good"], "got float32"),
        (["high", "good"], r"got values from 4 to 4, expected \[0, 3\]"),
        (["objects"], "TypeError"),
        (["uneven", *["good"] * 40], "uneven arrays"),
        (["end"], "gave no answer"),
    ):
        with pytest.raises(GateError, match=said):
            encode(values)


def problems(folder, old, new):
    code = textwrap.dedent(CODE)
    assert old in code
    (folder / "model.py").write_text(code.replace(old, new))
    said = []
    look(folder, "model.py:Mine", "", 7, (), (), "", said.append)
    return [one["problem"] for one in said if "problem" in one]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import torch", "import torch", None),
        ("return rows", "return rows if values is TEXTS else [1]", "got a list, expected a numpy"),
        ('"raw": np.array(TEXTS),', "", "array 'raw' is missing, which `encode` is held to"),
        ("np.array(TEXTS)", "np.array(TEXTS, dtype=object)", "raw: got object (48,), expected"),
        ("np.array(TEXTS)", "np.array(TEXTS[::-1])", "other inputs of the raw value of row 0"),
        ('"low"', '"raw": "json", "low"', "raw: got a value that is no JSON"),
        ('"low"', '"raw": "html", "low"', "got raw 'html' of the inputs, expected 'text' or"),
        ("def encode(self, values)", "def encode(self)", "got encode(self)"),
    ],
)
def test_validate_names_an_encode_that_is_another_than_the_datas(tmp_path, old, new, said):
    found = problems(tmp_path, old, new)
    assert len(found) == (said is not None)
    for one in found:
        assert one.startswith("model.py:")
        assert said in one


def test_a_look_says_whether_tokens_can_be_judged_and_what_does_not_go_with_them(tmp_path):
    (tmp_path / "model.py").write_text(textwrap.dedent(CODE))
    trained = ("adversarial_training", "trades", "virtual_adversarial_training", "label_smoothing")
    changing = ("gaussian_augmentation", "feature_squeezing")
    defences = [[{"method": name}] for name in (*trained, *changing)]
    said = []
    defended = [(("train", str(number)), one) for number, one in enumerate(defences)]
    look(tmp_path, "model.py:Mine", "", 7, (), defended, "", said.append)
    assert {"seen": {"embedding": ""}} in said
    problems = {one["at"][1]: one["problem"] for one in said if "problem" in one}
    assert set(problems) == {"4", "5"}
    for name, problem in zip(changing, problems.values(), strict=True):
        assert f"got {name} for inputs that are tokens, expected" in problem


def test_a_model_without_encode_takes_inputs_only(tmp_path):
    encode = Encoder(tmp_path, {"encodes": False}, None)
    with pytest.raises(GateError, match="no `encode` of raw values"):
        encode(["good"])
