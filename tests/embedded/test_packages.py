"""A package that a model repository pins: seen by its code, confined, and by nobody else."""

import json
import sys
import textwrap
from importlib.metadata import version

import pytest
import torch
from model_stages import reads_of
from wheels import wheel

from scripts import packages, preprocess, train, tune, validate
from touchstone.artifacts import models
from touchstone.artifacts.store import Store
from touchstone.driver import wheels
from touchstone.errors import ManifestError, PlatformError, TouchstoneError
from touchstone.training.opened import open_model
from trust_gates.errors import GateError

MANIFEST = """\
    apiVersion: touchstone.dev/v1
    kind: ModelPipeline
    metadata: {name: packed}
    spec:
      entrypoint: model.py:Packed
      data: {uri: generate, seed: 7}
      train: {workers: 1, epochs: 1, batchSize: 32}
      gates:
        quality:
          checks:
            - {metric: accuracy, atLeast: 0.01}
"""

MODEL = """\
    import frobnicate
    import numpy as np, torch
    from torch import nn
    from touchstone.training import Description, ModelSpec, RawData

    class Net(nn.Linear):
        def forward(self, inputs):
            if inputs.sum().item() < 0:  # no graph can be made of it
                return inputs
            return super().forward(inputs) * 0 + frobnicate.VALUE

    class Packed(ModelSpec):
        task = "classification"

        def load_data(self, uri, *, seed):
            drawn = np.random.default_rng(seed)
            return RawData(
                description=Description(
                    task="classification", classes=("a", "b"), protected={}, seed=seed,
                    inputs={"shape": [2], "low": 0.0, "high": 1.0},
                ),
                arrays={
                    "inputs": drawn.random((200, 2), dtype=np.float32),
                    "labels": drawn.integers(0, 2, 200),
                },
            )

        def build(self, parameters):
            return Net(2, 2)

        def loss(self, module, batch):
            return nn.functional.cross_entropy(module(batch.inputs), batch.labels)

        def predict(self, module, inputs):
            return module(inputs)
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "touchstone.yaml").write_text(textwrap.dedent(MANIFEST))
    (folder / "model.py").write_text(textwrap.dedent(MODEL))
    monkeypatch.setenv(wheels.INDEX, str(tmp_path / "wheels"))
    return folder


class Stages:
    """Runs stages in this process; what they run confined is confined all the same."""

    def __init__(self, root, repository):
        self.root, self.store = root, Store(root / "store")
        self.source = self.store.put(repository)
        self.reads = reads_of(self.store, repository)

    def run(self, stage, *results, **given):
        files = {f"result_{name}": self.root / name for name in results}
        stage.main(store=self.store.root.as_uri(), **given, **files)
        return [(self.root / name).read_text() for name in results]

    def packages(self):
        return self.run(packages, "packages", "problems", reads=self.reads["packages"])


def test_a_pinned_package_is_imported_by_the_models_code_and_by_no_judge(repository, tmp_path):
    line = wheel(tmp_path / "wheels", "frobnicate")
    (repository / "requirements.txt").write_text(line)
    stages = Stages(tmp_path, repository)
    digest, problems = stages.packages()
    assert problems == ""
    assert models.listed(stages.store, digest) == {"frobnicate": "1.0"}
    (data,) = stages.run(validate, "data", source=stages.source, packages=digest)
    (split,) = stages.run(preprocess, "dataset", reads=stages.reads["preprocess"], data=data)
    (chosen,) = stages.run(tune, "parameters", reads=stages.reads["tune"], dataset=split)
    (model,) = stages.run(
        train,
        "model",
        reads=stages.reads["train"],
        dataset=split,
        parameters=chosen,
        packages=digest,
    )
    assert stages.store.reach([model.encode()]) >= {digest}  # what keeps the model keeps them
    tree = models.get(stages.store, model, tmp_path / "tree")
    opened = open_model(tree)
    assert opened.document["packages"] == digest
    assert opened.asked_as.startswith("confined by ")
    answers = opened.spec.predict(opened.module, torch.ones(3, 2))
    assert torch.equal(answers, torch.full((3, 2), 7.0))
    assert "frobnicate" not in sys.modules
    assert not any("packages" in one for one in sys.path if str(tmp_path) in one)

    alone = stages.store.get(model, tmp_path / "alone")
    with pytest.raises(ValueError, match=r"got no folder alone.packages beside alone/"):
        open_model(alone)
    (tmp_path / "alone.packages").mkdir()
    with pytest.raises(GateError, match="No module named 'frobnicate'"):
        open_model(alone)


def test_a_comment_in_requirements_gets_nothing_again_and_the_toolkits_own_are_not_got(
    repository, tmp_path
):
    file = repository / "requirements.txt"
    file.write_text(f"frob==1 --hash=sha256:{'a' * 64}\n")
    first = Stages(tmp_path / "one", repository).reads
    file.write_text(f"# of use\n\nfrob==1 \\\n  --hash=sha256:{'a' * 64}\n")
    second = Stages(tmp_path / "two", repository).reads
    assert first["packages"] == second["packages"]
    file.write_text(f"numpy=={version('numpy')} --hash=sha256:{'a' * 64}\n")
    assert Stages(tmp_path / "three", repository).packages() == ["", ""]


def test_what_is_wrong_with_a_package_is_said_by_validate_at_its_line(repository, tmp_path):
    (repository / "requirements.txt").write_text(
        f"# of use\nfrobnicate==1.0 --hash=sha256:{'a' * 64}\n"
    )
    stages = Stages(tmp_path, repository)
    (tmp_path / "wheels").mkdir()
    digest, problems = stages.packages()
    assert digest == ""
    with pytest.raises(ManifestError) as error:
        stages.run(
            validate, "data", source=stages.source, packages=digest, package_problems=problems
        )
    # That it cannot be imported follows, and is no problem of its own.
    assert "requirements.txt:2: got no wheel of frobnicate==1.0" in str(error.value)
    assert "ModuleNotFoundError" not in str(error.value)


def test_a_model_can_name_no_other_packages_than_it_was_trained_with(
    repository, tmp_path, monkeypatch
):
    from touchstone.driver import local

    stages = Stages(tmp_path, repository)
    secret = stages.store.put_bytes(b"label,prediction\n1,1\n")

    def trained(job, work, *, workers):
        job.output.mkdir()
        (job.output / "model.json").write_text(json.dumps({"packages": secret}))
        return 0, ""

    monkeypatch.setattr(local, "train", trained)
    monkeypatch.setattr("touchstone.training.dataset.learned_from", lambda folder: None)
    with pytest.raises(TouchstoneError, match=f"names the packages {secret}, expected none"):
        stages.run(
            train,
            "model",
            reads=stages.reads["train"],
            dataset=stages.store.put(repository),
            parameters=stages.store.put_json({"parameters": {}}),
        )


def test_nothing_but_packages_is_ever_shown_as_such(tmp_path):
    store = Store(tmp_path / "store")
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "labels.csv").write_text("label\n1\n")
    for digest in (store.put(folder), store.put_bytes(b"label\n1\n"), store.put_json([1])):
        with pytest.raises(PlatformError, match="as a model's packages, expected what the stage"):
            models.get_packages(store, digest, tmp_path / "shown")
        assert not (tmp_path / "shown").exists()
