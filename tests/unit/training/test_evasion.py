"""An evasion detector finds attacks, errs as rarely as declared, and is served as it was judged."""

import json
import threading

import numpy as np
import pytest
import torch
from defended import batch, dataset, images_arrays, images_net, rows_arrays, rows_net

from touchstone.training.defences import Defence, wrap
from touchstone.training.defences.ball import Ball
from touchstone.training.evasion import DETECTORS, Evasion
from touchstone.training.evasion.fit import fit
from touchstone.training.evasion.guard import FILE, WEIGHTS, Guard
from touchstone.training.evasion.network import Activations
from touchstone.training.trainer import TrainConfig, train

RATE, EPSILON = 0.1, 0.15
COUNTS = (400, 200, 1000)


def guarded(spec, data, **changes):
    torch.set_num_threads(1)
    module, _ = train(
        spec, data, TrainConfig(epochs=5, batch_size=64, parameters={"learning_rate": 0.02})
    )
    config = Evasion(epsilon=EPSILON, false_positive_rate=RATE, **changes)
    return fit(spec, module.eval(), data, config, seed=3)


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def case(request):
    data = dataset(images_arrays, COUNTS)
    guard, figures = guarded(images_net(), data, on=DETECTORS[request.param].stage)
    return guard, figures, data


def attacked(guard, data):
    given = batch(data.splits["test"])
    ball = Ball.of("linf", EPSILON, data.description.inputs)
    return ball.climb(
        lambda x: torch.nn.functional.cross_entropy(guard.module(x), given.labels),
        given.inputs,
        start=ball.random(given.inputs, torch.Generator().manual_seed(8)),
        steps=10,
    ).numpy()


def test_planted_attacks_are_flagged_and_clean_inputs_at_most_at_the_declared_rate(case):
    guard, figures, data = case
    assert guard.answer(attacked(guard, data))[1].mean() > 0.9
    # One calibration's rate spreads around the declared one by Beta(n + 1 - k, k), n = 200.
    assert guard.answer(data.splits["test"]["inputs"])[1].mean() < RATE + 3 * 0.025
    assert figures["val_evasion_found"] > 0.9
    assert figures["val_evasion_false"] <= RATE


def test_a_detector_of_rows_works_too():
    data = dataset(rows_arrays, COUNTS)
    guard, _ = guarded(rows_net(), data, on="activations")
    assert guard.answer(attacked(guard, data))[1].mean() > 0.8
    assert guard.answer(data.splits["test"]["inputs"])[1].mean() < RATE + 3 * 0.025


def test_what_is_written_answers_the_same_when_it_is_read(case, tmp_path):
    guard, _, data = case
    guard.write(tmp_path)
    again = Guard.read(tmp_path, guard.spec, guard.module)
    for left, right in zip(
        guard.answer(data.splits["test"]["inputs"]),
        again.answer(data.splits["test"]["inputs"]),
        strict=True,
    ):
        assert np.array_equal(left, right)
    assert again.false_positive_rate == RATE


def test_a_tree_without_a_detector_has_none(tmp_path):
    assert Guard.read(tmp_path, rows_net(), torch.nn.Identity()) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / FILE).write_text("{"),
        lambda folder: (folder / FILE).write_text("[]"),
        lambda folder: (folder / FILE).write_text("{}"),
        lambda folder: (folder / WEIGHTS).unlink(),
        lambda folder: (folder / WEIGHTS).write_bytes(b"no tensors"),
        lambda folder: edit(folder, on="thoughts"),
        lambda folder: edit(folder, shape=[3]),
        lambda folder: edit(folder, shape=[]),
        lambda folder: edit(folder, threshold=None),
        lambda folder: edit(folder, threshold=float("nan")),
    ],
)
def test_a_malformed_detector_is_refused(case, tmp_path, change):
    guard = case[0]
    guard.write(tmp_path)
    change(tmp_path)
    with pytest.raises(ValueError, match="train the model again"):
        Guard.read(tmp_path, guard.spec, guard.module)


def edit(folder, **changes):
    document = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(document | changes))


def test_the_threshold_keeps_the_declared_rate_over_many_calibrations():
    """Split conformal: on average over calibrations the rate of false alarms is at most RATE."""
    generator = np.random.default_rng(0)
    guard = Guard(
        spec=rows_net(),
        module=torch.nn.Identity(),
        on="inputs",
        shape=(1,),
        false_positive_rate=RATE,
        network=torch.nn.Linear(1, 1, bias=False),
    )
    rates = []
    for _ in range(400):
        guard.calibrate(generator.normal(size=(39, 1)).astype(np.float32))
        rates.append(guard.answer(generator.normal(size=(200, 1)).astype(np.float32))[1].mean())
    # k = ceil(40 x 0.9) = 36 of 39: the expected rate is 1 - 36/40.
    assert np.mean(rates) == pytest.approx(0.1, abs=0.01)


def test_too_few_validation_samples_promise_no_rate():
    data = dataset(rows_arrays, (100, 8, 10))
    with pytest.raises(ValueError, match="got 8 validation samples, expected at least 9"):
        guarded(rows_net(), data)


def test_a_network_without_layers_has_no_activations():
    with pytest.raises(ValueError, match="a detector on inputs works with any"):
        Activations(torch.nn.ReLU())


def test_threads_do_not_see_each_others_activations():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    activations = Activations(module)
    first = activations.of(lambda: module(torch.ones(1, 2)))

    def ask():
        thread = threading.Thread(target=module, args=(torch.zeros(1, 2),))
        thread.start()
        thread.join()
        return module(torch.ones(1, 2))

    assert torch.equal(activations.of(ask), first)


def test_the_detector_looks_at_what_the_network_sees_behind_its_defences():
    data = dataset(images_arrays, (200, 50, 50))
    spec = wrap.inputs(
        images_net(),
        [Defence(method="feature_squeezing", options={"bits": 1})],
        data.description.inputs,
    )
    guard, _ = guarded(spec, data)
    inputs = torch.from_numpy(data.splits["test"]["inputs"][:9])
    assert torch.equal(guard.features(inputs), guard.features(inputs.round()))
    inputs.requires_grad_()
    guard.logits(inputs).sum().backward()
    assert inputs.grad.abs().sum() > 0  # an attacker can follow it, and so can the gate


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"on": "labels"}, "on\n.*be 'inputs' or 'activations'"),
        ({"norm": "l1"}, "norm\n.*be 'linf' or 'l2'"),
        ({"epsilon": 0.0}, "epsilon\n.*greater than 0"),
        ({"steps": 0}, "steps\n.*greater than or equal to 1"),
        ({"false_positive_rate": 1.0}, "false_positive_rate\n.*less than 1"),
        ({"falsePositiveRate": 0.0}, "falsePositiveRate\n.*greater than 0"),
    ],
)
def test_a_detector_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        Evasion(**changes)


def test_the_predictor_answers_with_score_and_flag(case):
    from touchstone.delivery.predictor import Predictor

    guard, _, data = case
    document = {
        "task": "classification",
        "classes": list(data.description.classes),
        "inputs": data.description.inputs,
    }
    inputs = data.splits["test"]["inputs"][:6]
    plain = Predictor(guard.spec, guard.module, document)
    served = Predictor(guard.spec, guard.module, document, None, guard)
    scores, flags = guard.answer(inputs)
    named = served.as_json(served.answer(inputs))
    assert [one["adversarial_score"] for one in named] == scores.tolist()
    assert [one["adversarial"] for one in named] == flags.tolist()
    without = [{k: v for k, v in one.items() if "adversarial" not in k} for one in named]
    assert without == plain.as_json(plain.answer(inputs))
    tensors = served.as_tensors(served.answer(inputs))
    assert tensors["adversarial"].tolist() == flags.tolist()
    types = {one["name"]: (one["datatype"], one["shape"]) for one in served.described()["outputs"]}
    assert types["adversarial"] == ("BOOL", [-1])
    assert types["adversarial_score"] == ("FP32", [-1])
    assert set(tensors) == set(types)
    assert set(plain.as_tensors(plain.answer(inputs))) == {"label", "probabilities"}
