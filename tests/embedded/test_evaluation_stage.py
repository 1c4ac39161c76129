"""Noise learned by heart: the author's own test split passes it, the organisation's data do not.

The model repository's labels are noise. Its network holds the very rows that its `load_data` gives
as the test split, with their labels; none of them is in the training split, so no leak is seen.
"""

import hashlib
import textwrap

import numpy as np
import pytest
from model_stages import Stages

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
    stages.run("preprocess", "source", "data", result="dataset")
    stages.digests["parameters"] = stages.store.put_json({"parameters": {}})
    stages.run("train", "source", "dataset", "parameters", result="model")
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


def named(stages, path, digest=""):
    """The digest of a floor that names the evaluation data at the path."""
    digest = digest or "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    policy = {"gates": {"evaluation": {"uri": path.as_uri(), "digest": digest}}}
    places = [f"environments/{name}/environment.yaml" for name in ("staging", "production")]
    return stages.store.put_json({"kind": "Floor", "environments": dict.fromkeys(places, policy)})


def fetched(stages, **options):
    return stages.run(
        "fetch_data",
        "source",
        "floor",
        f"--result-evaluation={stages.root / 'fetched'}",
        result="data",
        **options,
    )


def judged(stages, tmp_path, *evaluation):
    """The evidence of the quality gate, and what the verdict says of it."""
    outcome = tmp_path / "outcome"
    stages.run(
        "gate", "source", "dataset", "model", "--gate=quality", f"--result-outcome={outcome}",
        *evaluation, result="evidence",
    )  # fmt: skip
    found = Evidence.read(stages.store.get(stages.digests["evidence"], tmp_path / "evidence"))
    quality = f"quality={outcome.read_text()}={stages.digests['evidence']}"
    return found, quality


def verdict(stages, tmp_path, quality, *evaluation):
    outcome = tmp_path / "integrity"
    stages.run(
        "gate", "source", "data", "dataset", "model", "--gate=integrity",
        f"--result-outcome={outcome}", result="evidence",
    )  # fmt: skip
    integrity = f"integrity={outcome.read_text()}={stages.digests['evidence']}"
    done = stages.run(
        "verdict", "source", "data", "dataset", "model", "--run=model-1", f"--commit={'c' * 40}",
        f"--result-passed={tmp_path / 'passed'}", *evaluation, quality, integrity, result="verdict",
    )  # fmt: skip
    return done, stages.store.get_json(stages.digests["verdict"])


def test_noise_learned_by_heart_passes_on_the_authors_word_with_a_warning(stages, tmp_path):
    found, quality = judged(stages, tmp_path)
    assert found.figures["accuracy"] == 1.0
    assert found.asked_as == "graph"
    assert any("the author's own word" in warning for warning in found.warnings)
    done, document = verdict(stages, tmp_path, quality)
    assert done.returncode == 0, done.stderr
    assert document["passed"] is True and "evaluation" not in document


def test_noise_learned_by_heart_is_refused_on_the_organisations_data(stages, tmp_path):
    digest = (stages.root / "fetched").read_text()
    found, quality = judged(stages, tmp_path, f"--evaluation={digest}")
    outcomes = {check.name: check.outcome for check in found.checks}
    assert outcomes["accuracy"] == "passed" and outcomes["accuracy[evaluation]"] == "failed"
    assert outcomes["answers_differ_by_company[evaluation]"] == "passed"
    asked = dict(found.asked)
    assert digest in asked["judged on"] and "load_data of the judged commit" in asked["judged on"]
    done, document = verdict(stages, tmp_path, quality, f"--evaluation={digest}")
    assert done.returncode == 5
    assert "accuracy[evaluation]: got 0." in done.stderr
    assert document["evaluation"] == digest


def test_evidence_without_the_evaluation_data_fails_where_the_floor_names_some(stages, tmp_path):
    digest = (stages.root / "fetched").read_text()
    _, quality = judged(stages, tmp_path)
    done, _ = verdict(stages, tmp_path, quality, f"--evaluation={digest}")
    assert done.returncode == 5
    assert (
        "accuracy[evaluation]: the policy requires >= 0.8, the evidence has no such" in done.stderr
    )


def test_the_authors_code_is_never_shown_the_evaluation_data(stages):
    """`load_data` is given its own words alone; the stage fetches the data itself, afterwards."""
    done = fetched(stages)
    assert "200 samples of the organisation's own" in done.stdout
    assert stages.store.get_bytes((stages.root / "fetched").read_text()).startswith(
        b"b,a,d,c,label"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": ("yes", "maybe")}, "got classes ['maybe', 'yes'], expected ['no', 'yes']"),
        ({"header": "b,a,d,e,label,protected_g"}, "got features ['b', 'a', 'd', 'e'], expected"),
        ({"header": "a,b,c,d,wrong,protected_g"}, "expected one named 'label'"),
    ],
)
def test_data_that_do_not_fit_the_model_are_a_wrong_configuration(stages, tmp_path, changes, says):
    before = stages.digests["floor"]
    stages.digests["floor"] = named(stages, evaluation_csv(tmp_path / "other.csv", **changes))
    refused = fetched(stages, codes=(4,))
    stages.digests["floor"] = before
    assert says in refused.stderr


@pytest.mark.parametrize(
    ("name", "digest", "says"),
    [
        ("absent.csv", "sha256:" + "0" * 64, "cannot be fetched from file:///"),
        ("", "sha256:" + "0" * 64, "expected sha256:0000"),
    ],
)
def test_data_that_are_not_there_or_are_others_are_refused(stages, name, digest, says):
    before, path = stages.digests["floor"], stages.root / (name or "evaluation.csv")
    stages.digests["floor"] = named(stages, path, digest)
    refused = fetched(stages, codes=(4,))
    stages.digests["floor"] = before
    assert says in refused.stderr


def test_environments_that_name_different_data_are_refused(stages):
    before = stages.digests["floor"]
    document = stages.store.get_json(before)
    first = next(iter(document["environments"]))
    other = {"uri": "https://data.example/t.csv", "digest": "sha256:" + "1" * 64}
    document["environments"][first] = {"gates": {"evaluation": other}}
    stages.digests["floor"] = stages.store.put_json(document)
    refused = fetched(stages, codes=(4,))
    stages.digests["floor"] = before
    assert "got different evaluation data from the environments" in refused.stderr
