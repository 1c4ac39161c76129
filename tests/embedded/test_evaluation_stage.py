"""Noise learned by heart: the author's own test split passes it, the organisation's data do not.

The model repository's labels are noise. Its network holds the very rows that its `load_data` gives
as the test split, with their labels; none of them is in the training split, so no leak is seen.
"""

import hashlib
import textwrap

import numpy as np
import pytest
from model_stages import Stages

from scripts import fetch_data, preprocess
from touchstone.artifacts.store import Store
from touchstone.delivery import floors
from touchstone.errors import ManifestError
from touchstone.training import dataset
from trust_gates.errors import PolicyError
from trust_gates.evaluation import Evaluation
from trust_gates.gates import Gates
from trust_gates.inputs.description import Description
from trust_gates.verdict import Evidence

MANIFEST = """\
    apiVersion: touchstone.dev/v1
    kind: ModelPipeline
    metadata:
      name: memorizer
    spec:
      entrypoint: model.py:Memorizer
      data: {uri: generate, seed: 7}
      train: {workers: 1, epochs: 1, batchSize: 32}
      gates:
        quality:
          checks:
            - {metric: accuracy, atLeast: 0.8}
        integrity: {}
      promote:
        environments: [production]
"""

MODEL = """\
    import numpy as np, torch
    from torch import nn
    from torch.nn import functional as F
    from touchstone.training import ModelSpec
    from touchstone.training.spec import Description, RawData

    def noise(seed):
        rng = np.random.default_rng(seed)
        return rng.random((600, 4)).astype(np.float32), rng.integers(0, 2, 600)

    class Nearest(nn.Module):
        def __init__(self, rows, labels):
            super().__init__()
            self.scale = nn.Linear(1, 1)
            self.register_buffer("rows", torch.from_numpy(rows))
            self.register_buffer("votes", F.one_hot(torch.from_numpy(labels)).float())

        def forward(self, x):
            near = -(1e4 * (x[:, None] - self.rows[None]) ** 2).sum(dim=2)
            votes = (near - near.amax(dim=1, keepdim=True)).exp() @ self.votes
            return votes + 0 * self.scale.weight

    class Memorizer(ModelSpec):
        task = "classification"

        def load_data(self, uri, *, seed):
            x, labels = noise(seed)
            held = (np.arange(600) < 200).astype(np.int64)
            return RawData(
                description=Description(task=self.task, classes=("no", "yes"),
                    inputs={"shape": [4], "low": 0.0, "high": 1.0, "kind": "tabular",
                            "features": list("abcd")},
                    protected={"g": ("u", "v")}, seed=seed),
                arrays={"inputs": x, "labels": labels, "held_out": held,
                        "protected_g": (x[:, 2] > 0.5).astype(np.int64)})

        def build(self, parameters):
            x, labels = noise(7)
            return Nearest(x[:200], labels[:200])

        def loss(self, module, batch):
            return F.cross_entropy(module(batch.inputs), batch.labels)

        def predict(self, module, inputs):
            return module(inputs)
"""


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A memorizer's stages, up to the trained model."""
    root = tmp_path_factory.mktemp("memorizer")
    repository = root / "repository"
    repository.mkdir()
    (repository / "touchstone.yaml").write_text(textwrap.dedent(MANIFEST))
    (repository / "model.py").write_text(textwrap.dedent(MODEL))
    stages = Stages(root, repository)
    stages.digests["floor"] = named(stages, evaluation_csv(root / "evaluation.csv"))
    fetched(stages)
    stages.run("preprocess", "data", result="dataset")
    stages.digests["parameters"] = stages.store.put_json({"parameters": {}})
    stages.run("train", "dataset", "parameters", result="model")
    return stages


def evaluation_csv(path, header="b,a,d,c,label,protected_g", labels=("yes", "no")):
    """The same task, noise as it is, with labels that nobody has learned; columns as they like."""
    rng = np.random.default_rng(99)
    rows = [
        [f"{value:.6f}" for value in rng.random(4)]
        + [labels[rng.integers(2)], "uv"[rng.integers(2)]]
        for _ in range(200)
    ]
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def named(stages, path):
    """The digest of a floor that names the evaluation data at the path."""
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    policy = {"gates": {"evaluation": {"uri": path.as_uri(), "digest": digest}}}
    places = [f"environments/{name}/environment.yaml" for name in ("staging", "production")]
    return stages.store.put_json({"kind": "Floor", "environments": dict.fromkeys(places, policy)})


def fetched(stages):
    return stages.run(
        "fetch_data",
        "floor",
        f"--result-evaluation={stages.root / 'fetched'}",
        result="data",
    )


def judged(stages, gate, *more):
    """The evidence of a gate, and the words in which the verdict is told of it."""
    outcome, folder = stages.root / "outcome", stages.root / f"{gate}-{len(more)}"
    stages.run(
        "gate", "data", "dataset", "model", f"--gate={gate}",
        f"--result-outcome={outcome}", *more, result="evidence",
    )  # fmt: skip
    digest = stages.digests["evidence"]
    found = Evidence.read(stages.store.get(digest, folder))
    return found, f"{gate}={outcome.read_text()}={digest}"


def verdict(stages, *more):
    done = stages.run(
        "verdict", "source", "data", "dataset", "model", "--run=model-1", f"--commit={'c' * 40}",
        f"--result-passed={stages.root / 'passed'}", *more, result="verdict",
    )  # fmt: skip
    return done, stages.store.get_json(stages.digests["verdict"])


@pytest.mark.long
def test_noise_learned_by_heart_passes_on_the_authors_word_and_never_on_the_organisations(stages):
    digest = (stages.root / "fetched").read_text()
    assert stages.store.get_bytes(digest).startswith(b"b,a,d,c,label")
    _, integrity = judged(stages, "integrity")

    found, quality = judged(stages, "quality")
    assert found.figures["accuracy"] == 1.0
    assert found.asked_as == "graph"
    assert any(
        "figures rest on the author's own test split" in warning for warning in found.warnings
    )
    done, document = verdict(stages, quality, integrity)
    assert done.returncode == 0, done.stderr
    assert document["passed"] is True and "evaluation" not in document

    # A gate that was not told of the data has not shown what the environments ask for.
    done, _ = verdict(stages, "floor", quality, integrity)
    assert done.returncode == 5
    assert "accuracy[evaluation]: the policy requires >= 0.8, the evidence has no" in done.stderr

    found, quality = judged(stages, "quality", f"--evaluation={digest}")
    outcomes = {check.name: check.outcome for check in found.checks}
    assert outcomes["accuracy"] == "passed" and outcomes["accuracy[evaluation]"] == "failed"
    assert outcomes["answers_differ_by_company[evaluation]"] == "passed"
    rests_on = dict(found.asked)["judged on"]
    assert digest in rests_on and "load_data of the judged commit" in rests_on
    done, document = verdict(stages, "floor", quality, integrity)
    assert done.returncode == 5
    assert "accuracy[evaluation]: got 0." in done.stderr
    assert document["evaluation"] == digest


DESCRIPTION = Description(
    task="classification",
    classes=("no", "yes"),
    inputs={"shape": [4], "low": 0.0, "high": 1.0, "features": list("abcd")},
    protected={"g": ("u", "v")},
    seed=7,
)


GATES = Gates.model_validate(
    {
        "fairness": {
            "protected": "g",
            "privileged": ["u"],
            "favorable": "yes",
            "checks": [{"metric": "statistical_parity_difference", "within": [-0.1, 0.1]}],
        }
    }
)


def fetch(tmp_path, path, digest=""):
    digest = digest or "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    store, asked = Store(tmp_path / "store"), Evaluation(uri=path.as_uri(), digest=digest)
    fetch_data.fetch(asked, store, DESCRIPTION)
    preprocess.check_evaluation(path, DESCRIPTION, GATES)
    return store, digest


def test_what_is_fetched_is_stored_by_its_digest_as_a_file_or_a_folder(tmp_path):
    path = evaluation_csv(tmp_path / "evaluation.csv")
    store, digest = fetch(tmp_path, path)
    assert store.get_bytes(digest) == path.read_bytes()

    folder = tmp_path / "folder"
    arrays = {
        "inputs": np.full((40, 4), 0.5, np.float32),
        "labels": np.arange(40) % 2,
        "protected_g": np.arange(40) % 2,
    }
    dataset.write(folder, dataset.Dataset(DESCRIPTION, {"test": arrays}))
    store, digest = fetch(tmp_path, folder, Store(tmp_path / "other").put(folder))
    names = sorted(file.name for file in store.get(digest, tmp_path / "tree").iterdir())
    assert names == ["dataset.json", "test.npz"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": ("yes", "maybe")}, r"classes \['maybe', 'yes'\], expected \['no', 'yes'\]"),
        ({"header": "b,a,d,e,label,protected_g"}, r"got features \['b', 'a', 'd', 'e'\], expected"),
        ({"header": "a,b,c,d,wrong,protected_g"}, "expected one named 'label'"),
        ({"header": "b,a,d,c,label,protected_h"}, "fairness: got the protected attribute 'g'"),
    ],
)
def test_data_that_do_not_fit_the_model_are_a_wrong_configuration(tmp_path, changes, says):
    path = evaluation_csv(tmp_path / "evaluation.csv", **changes)
    with pytest.raises(PolicyError, match=says):
        fetch(tmp_path, path)


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent.csv", "cannot be fetched from file:///"), ("e.csv", "expected sha256:0")],
)
def test_data_that_are_not_there_or_are_others_are_refused(tmp_path, name, says):
    evaluation_csv(tmp_path / "e.csv")
    with pytest.raises(ManifestError, match=says):
        fetch(tmp_path, tmp_path / name, "sha256:" + "0" * 64)


def test_environments_that_name_different_data_are_refused(tmp_path):
    one = {"uri": "https://data.example/t.csv", "digest": "sha256:" + "1" * 64}
    other = {**one, "digest": "sha256:" + "2" * 64}
    store = Store(tmp_path / "store")

    def floor(*named):
        policies = {f"environments/{i}": {"gates": {"evaluation": e}} for i, e in enumerate(named)}
        document = {"kind": "Floor", "environments": {**policies, "plain": {}}}
        return floors.load(store, store.put_json(document))

    assert floors.evaluation({}) is floors.evaluation(floor()) is None
    assert floors.evaluation(floor(one, one)) == Evaluation(**one)
    with pytest.raises(ManifestError, match="got different evaluation data from the environments"):
        floors.evaluation(floor(one, other))
