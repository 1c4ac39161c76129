"""What the gate judged is what KServe answers, also where a fairness rule changes answers."""

import json
from pathlib import Path
from types import SimpleNamespace

import mitigated
import numpy as np
import pytest
from model_servers import a_server

from touchstone.artifacts.store import digest_bytes
from touchstone.delivery.sample import Sample
from touchstone.driver import local
from touchstone.training import dataset as datasets
from touchstone.training import launch
from touchstone.training.checkpoint import Checkpoint
from touchstone.training.target import open_described
from touchstone.training.trainer import TrainConfig
from trust_gates import fairness
from trust_gates.fairness.policy import Fairness
from trust_gates.verdict import Outcome


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model trained by the real worker with equalized odds, its gate's target and its server.

    Sex is no feature of the inputs, so requests have to name it.
    """
    root = tmp_path_factory.mktemp("mitigated")
    (root / "source").mkdir()
    code = Path(mitigated.__file__).read_text()
    (root / "source" / "model.py").write_text(code)
    datasets.write(root / "dataset", mitigated.hiring(feature=False))
    job = launch.Job(
        source=root / "source",
        entrypoint="model.py:Hiring",
        dataset=root / "dataset",
        output=root / "model",
        checkpoint=Checkpoint(path=root / "training", training=digest_bytes(b"this one")),
        config=TrainConfig(
            epochs=6,
            batch_size=64,
            parameters={"learning_rate": 0.02},
            mitigation=mitigated.against("equalized_odds"),
        ),
    )
    assert local.train(job, root, workers=1) == (0, "")
    data = datasets.read(root / "dataset")
    inputs = SimpleNamespace(
        samples=data.samples,
        target=lambda: open_described(root / "model", data.description),
        model_folder=root / "model",
    )
    with a_server(root / "model", "hiring") as server:
        yield inputs, server


def infer(server, *tensors):
    return server.post("/v2/models/hiring/infer", json={"inputs": list(tensors)})


def tensors(samples, rows):
    values = samples.inputs[rows]
    who = samples.groups["sex"][rows].tolist()
    return (
        {"name": "input", "datatype": "FP32", "shape": list(values.shape),
         "data": values.ravel().tolist()},
        {"name": "sex", "datatype": "BYTES", "shape": [len(who)], "data": who},
    )  # fmt: skip


def test_the_server_answers_what_the_gate_judged(world):
    inputs, server = world
    samples, target = inputs.samples(), inputs.target()
    judged = np.exp(target.answers(samples))
    network = np.exp(target.logits(samples.inputs))
    network /= network.sum(axis=1, keepdims=True)
    assert (judged.argmax(axis=1) != network.argmax(axis=1)).any()  # the rule changes answers
    rows = np.arange(200)
    answer = infer(server, *tensors(samples, rows))
    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: np.array(one["data"]) for one in answer.json()["outputs"]}
    assert outputs["label"].tolist() == judged[rows].argmax(axis=1).tolist()
    assert np.allclose(outputs["probabilities"].reshape(-1, 2), judged[rows], atol=1e-5)

    body = {
        "instances": samples.inputs[:20].tolist(),
        "sex": samples.groups["sex"][:20].tolist(),
    }
    answer = server.post("/v1/models/hiring:predict", json=body)
    words = [one["label"] for one in answer.json()["predictions"]]
    assert words == [samples.classes[index] for index in judged[:20].argmax(axis=1)]


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_request_that_does_not_say_the_group_is_refused(world, protocol):
    inputs, server = world
    samples = inputs.samples()
    if protocol == "v2":
        answer = infer(server, tensors(samples, np.arange(2))[0])
    else:
        body = {"instances": samples.inputs[:2].tolist()}
        answer = server.post("/v1/models/hiring:predict", json=body)
    assert answer.status_code == 400
    assert "send a second input named 'sex'" in answer.json()["error"]


def test_a_request_with_an_unknown_group_is_refused(world):
    inputs, server = world
    values, who = tensors(inputs.samples(), np.arange(2))
    answer = infer(server, values, {**who, "data": ["woman", "other"]})
    assert answer.status_code == 400
    assert "['other']" in answer.json()["error"]


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"datatype": "FP32", "shape": [2], "data": [1.0, 2.0]}, "expected BYTES"),
        ({"datatype": "BYTES", "shape": [1], "data": ["man"]}, "got 1 values of sex for 2 inputs"),
    ],
)
def test_groups_in_another_form_are_refused(world, who, said):
    inputs, server = world
    answer = infer(server, tensors(inputs.samples(), np.arange(2))[0], {"name": "sex", **who})
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    body = {"instances": inputs.samples().inputs[:2].tolist(), "sex": "man"}
    answer = server.post("/v1/models/hiring:predict", json=body)
    assert answer.status_code == 400
    assert "expected a list with a value for each instance" in answer.json()["error"]


def test_the_sample_that_predict_sends_names_its_group(world):
    inputs, server = world
    samples = inputs.samples()
    sample = Sample(
        inputs=samples.inputs[3].tolist(),
        shape=samples.inputs.shape[1:],
        truth="",
        classes=tuple(samples.classes),
        group=("sex", str(samples.groups["sex"][3])),
    )
    assert infer(server, *sample.request()["inputs"]).status_code == 200


def test_metadata_say_that_the_group_is_asked_for(world):
    metadata = world[1].get("/v2/models/hiring").json()
    assert [one["name"] for one in metadata["inputs"]] == ["input", "sex"]


def test_the_gate_sees_the_rule_and_training_told_before_and_after(world):
    inputs, _ = world
    policy = Fairness(
        checks=[{"metric": "average_odds_difference", "within": [-0.15, 0.15]}],
        protected="sex",
        privileged=["man"],
        favorable="hired",
    )
    figures = json.loads((inputs.model_folder / "metrics.json").read_text())
    assert abs(figures["before_average_odds_difference"]) > 0.18
    assert abs(figures["val_average_odds_difference"]) < 0.1
    evidence = fairness.judge(inputs.target(), inputs.samples(), policy)
    assert evidence.outcome is Outcome.PASSED
