"""What a stage says last where code of the model repository fails: its own frames, no traceback."""

import shutil

import pytest
from model_stages import reads_of

from tests.embedded.test_training_stages import EXAMPLES, Stages

TEXT = (EXAMPLES / "tabular" / "model.py").read_text()
QUICK = (
    (EXAMPLES / "tabular" / "touchstone.yaml")
    .read_text()
    .replace("maxTrials: 4", "maxTrials: 2")
    .replace("    epochs: 30\n", "    epochs: 2\n")
)


@pytest.fixture
def stages(tmp_path):
    """The stages of a repository whose model.py has changed."""

    def of(old, new):
        folder = tmp_path / "repository"
        shutil.copytree(EXAMPLES / "tabular", folder, ignore=shutil.ignore_patterns("__pycache__"))
        assert old in TEXT
        (folder / "model.py").write_text(TEXT.replace(old, new))
        (folder / "touchstone.yaml").write_text(QUICK)
        return Stages(tmp_path, folder)

    return of


def error(finished):
    """The error's lines: the last that the stage says."""
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr and "site-packages" not in finished.stderr
    return finished.stderr[finished.stderr.rindex("error: ") :].splitlines()


def test_data_that_are_not_there(stages):
    made = stages("from sklearn", 'open("data.csv")\n        from sklearn')
    first, frame, *_ = error(made.run("fetch_data", "data"))
    assert first == (
        "error: model.py:31: FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'"
    )
    assert frame == '  model.py:31 in load_data: open("data.csv")'


def test_a_loss_that_is_no_number_in_every_trial_and_a_wrong_shape_in_each_rank(stages):
    made = stages("batch.labels)", "batch.labels) * float('nan')")
    for stage in (("fetch_data", "data"), ("preprocess", "dataset", "data")):
        assert made.run(*stage).returncode == 0
    finished = made.run("tune", "parameters", "dataset")
    (line,) = error(finished)
    assert "none of 2 trials gave val_accuracy: exit code 1: the loss of epoch 1 is nan" in line
    assert "is spec.tune.objective.metric one of them" not in finished.stderr

    made.digests["parameters"] = made.store.put_json({"parameters": {}})
    wide = made.store.get(made.source, made.folder / "wide")
    (wide / "model.py").write_text(TEXT.replace("nn.Linear(10, width)", "nn.Linear(9, width)"))
    made.reads = reads_of(made.store, wide)
    first, frame, expected = error(made.run("train", "model", "dataset", "parameters"))
    assert first == (
        "error: model.py:71: RuntimeError: mat1 and mat2 shapes cannot be multiplied"
        " (16x10 and 9x16)"
    )
    assert frame.startswith("  model.py:71 in loss: return F.cross_entropy(module(batch.inputs)")
    assert expected.startswith("  expected a scalar tensor from loss(module, batch)")
