"""A model trained behind defences, with an evasion detector: judged and served as one."""

import json
from pathlib import Path
from types import SimpleNamespace

import defended
import numpy as np
import pytest
from model_servers import a_server

from touchstone.driver import local
from touchstone.training import dataset as datasets
from touchstone.training import launch
from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.target import open_described
from touchstone.training.trainer import TrainConfig

CODE = """

class Images(Net):
    def __init__(self):
        super().__init__(images_net()._build)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("defended")
    (root / "source").mkdir()
    (root / "source" / "model.py").write_text(Path(defended.__file__).read_text() + CODE)
    datasets.write(root / "dataset", defended.dataset(defended.images_arrays))
    job = launch.Job(
        source=root / "source",
        entrypoint="model.py:Images",
        dataset=root / "dataset",
        output=root / "model",
        config=TrainConfig(
            epochs=4,
            batch_size=64,
            parameters={"learning_rate": 0.02},
            defences=(
                Defence(method="spatial_smoothing", options={"window": 3}),
                Defence(method="thermometer_encoding", options={"levels": 8}),
                Defence(method="fast_adversarial_training", options={"epsilon": 0.05}),
            ),
            evasion=Evasion(epsilon=0.15, epochs=10),
        ),
    )
    assert local.train(job, root, workers=1) == (0, "")
    data = datasets.read(root / "dataset")
    inputs = SimpleNamespace(
        samples=data.samples,
        target=lambda: open_described(root / "model", data.description),
        model_folder=root / "model",
    )
    with a_server(root / "model", "images") as server:
        yield inputs, server


def test_training_says_what_it_defended_against_and_what_the_detector_finds(world):
    folder = world[0].model_folder
    assert len(json.loads((folder / "model.json").read_text())["defences"]) == 3
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["val_accuracy"] > 0.9
    assert figures["val_evasion_false"] <= 0.05
    assert figures["val_evasion_found"] > 0.5


def test_the_server_answers_what_the_gate_judged_with_the_detectors_word(world):
    inputs, server = world
    samples, target = inputs.samples(), inputs.target()
    clean = samples.inputs[:40]
    noisy = (clean + 0.4 * np.sign(np.random.default_rng(0).normal(size=clean.shape))).clip(0, 1)
    values = np.concatenate([clean, noisy]).astype(np.float32)
    logits = target.logits(values)
    suspicion = target.watch.suspicion(target.tensor(values)).detach().numpy()
    flags = target.watch.flags(suspicion.astype(np.float64))
    assert flags.any() and not flags.all()
    tensor = {"name": "input", "datatype": "FP32", "shape": list(values.shape)}
    body = {"inputs": [{**tensor, "data": values.ravel().tolist()}]}
    answer = server.post("/v2/models/images/infer", json=body)
    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: one for one in answer.json()["outputs"]}
    assert outputs["label"]["data"] == logits.argmax(axis=1).tolist()
    assert outputs["adversarial"]["datatype"] == "BOOL"
    assert outputs["adversarial"]["data"] == flags.tolist()
    scores = outputs["adversarial_score"]["data"]
    assert np.allclose(scores, 1 / (1 + np.exp(-suspicion)), atol=1e-5)
    answer = server.post("/v1/models/images:predict", json={"instances": values.tolist()})
    assert [one["adversarial"] for one in answer.json()["predictions"]] == flags.tolist()
    names = {
        one["name"]: one["datatype"] for one in server.get("/v2/models/images").json()["outputs"]
    }
    assert names["adversarial"] == "BOOL" and names["adversarial_score"] == "FP32"
