"""Defences in training keep their papers' promises, and those of inputs stay with the model."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from defended import batch, dataset, images_arrays, images_net, rows_arrays, rows_net

import touchstone
from touchstone.artifacts.store import digest_bytes
from touchstone.home import SHIPPED
from touchstone.training.checkpoint import Checkpoint
from touchstone.training.defences import METHODS, Defence, from_json, wrap
from touchstone.training.defences.ball import Ball
from touchstone.training.evasion import Evasion
from touchstone.training.export import export, with_code
from touchstone.training.opened import open_model
from touchstone.training.spec import Description
from touchstone.training.trainer import TrainConfig, train

EXAMPLES = SHIPPED / "training" / "examples"
EPSILON = 0.1
ROWS, IMAGES = dataset(rows_arrays, (1000, 200, 400)), dataset(images_arrays, (400, 50, 150))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def trained(spec, data, *defences, epochs=10, **changes):
    chosen = [Defence(method=name, options=options) for name, options in defences]
    inputs = data.description.inputs
    answers = wrap.inputs(spec, chosen, inputs)
    config = TrainConfig(
        epochs=epochs, batch_size=64, parameters={"learning_rate": 0.02}, **changes
    )
    module, _ = train(wrap.training(answers, chosen, inputs), data, config)
    return answers, module.eval()


def attacked(spec, module, data, epsilon=EPSILON, norm="linf", steps=20):
    given = batch(data.splits["test"])
    ball = Ball.of(norm, epsilon, data.description.inputs)
    return ball.climb(
        lambda x: spec.loss(module, replace(given, inputs=x)),
        given.inputs,
        start=ball.random(given.inputs, torch.Generator().manual_seed(0)),
        steps=steps,
    )


def accuracy(spec, module, inputs, data):
    with torch.no_grad():
        answers = spec.predict(module, inputs).argmax(dim=1).numpy()
    return (answers == data.splits["test"]["labels"]).mean()


def robust_accuracy(spec, module, data, **budget):
    return accuracy(spec, module, attacked(spec, module, data, **budget), data)


@pytest.mark.parametrize("method", ["adversarial_training", "fast_adversarial_training", "trades"])
def test_adversarial_training_is_more_robust_than_plain_training_of_the_same_seed(method):
    plain = robust_accuracy(*trained(rows_net(), ROWS), ROWS)
    spec, module = trained(rows_net(), ROWS, (method, {"epsilon": EPSILON}))
    clean = accuracy(spec, module, torch.from_numpy(ROWS.splits["test"]["inputs"]), ROWS)
    assert plain < 0.6
    assert robust_accuracy(spec, module, ROWS) > 0.8
    assert clean > 0.8


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_attack_in_training_stays_in_its_ball_and_range_and_hurts(norm):
    spec, module = trained(rows_net(), ROWS, epochs=2)
    ball = replace(Ball.of(norm, 0.3, ROWS.description.inputs), fixed=(0, 3))
    given = batch(ROWS.splits["test"])
    start = ball.random(given.inputs, torch.Generator().manual_seed(0))

    def loss(inputs):
        return spec.loss(module, replace(given, inputs=inputs))

    found = ball.climb(loss, given.inputs, start=start, steps=5)
    order = {"linf": torch.inf, "l2": 2}[norm]
    for change in (start, found - given.inputs):
        assert change.norm(order, dim=1).max() <= 0.3 + 1e-5
        assert (change[:, [0, 3]] == 0).all()
        assert ((given.inputs + change) >= -1e-6).all() and ((given.inputs + change) <= 1).all()
    assert loss(found) > loss(given.inputs + start) > 0


def test_features_that_nobody_can_change_are_read_from_the_description():
    names = [f"f{index}" for index in range(20)]
    described = {"immutable": ["f2"], "categorical": ["f5"], "features": names}
    assert Ball.of("linf", 0.1, ROWS.description.inputs | described).fixed == (2, 5)


def test_adversarial_training_serves_detectors(tmp_path):
    from touchstone.training.load import load_spec

    spec = load_spec(EXAMPLES / "object-detection", "model.py:ObjectDetector")
    data = spec.load_data("generate?scenes=8&held_out=4", seed=0)
    inputs = data.description.inputs
    torch.manual_seed(0)
    module = spec.build({"width": 8})
    from touchstone.training.dataset import batch_of

    given = batch_of(data.arrays, slice(0, 4))
    hard = wrap.training(spec, [Defence(method="adversarial_training")], inputs)
    assert hard.loss(module, given) > spec.loss(module, given)
    for method in ("trades", "virtual_adversarial_training", "label_smoothing"):
        with pytest.raises(ValueError, match="class probabilities, got the task detection"):
            wrap.training(spec, [Defence(method=method)], inputs)


def test_virtual_adversarial_training_smooths_the_answers_around_the_data():
    def slope(spec, module):
        """How far answers move towards the worst of all near inputs: a local Lipschitz constant."""
        inputs = torch.from_numpy(ROWS.splits["test"]["inputs"]).requires_grad_()
        answers = spec.predict(module, inputs).softmax(dim=1)[:, 0]
        return torch.autograd.grad(answers.sum(), inputs)[0].norm(dim=1).mean()

    options = {"epsilon": 0.3, "alpha": 4.0}
    smooth = trained(rows_net(), ROWS, ("virtual_adversarial_training", options))
    assert slope(*smooth) < 0.7 * slope(*trained(rows_net(), ROWS))


def test_smoothed_labels_are_those_of_pytorch():
    given = batch(IMAGES.splits["train"], 50)
    module = images_net().build({}).eval()
    spec = wrap.training(
        images_net(), [Defence(method="label_smoothing", options={"smoothing": 0.3})], {}
    )
    expected = torch.nn.functional.cross_entropy(
        module(given.inputs), given.labels, label_smoothing=0.3
    )
    assert torch.allclose(spec.loss(module, given), expected)


def test_gaussian_noise_reaches_its_share_with_its_width_within_the_range():
    options = {"sigma": 0.2, "share": 0.25}
    noisy = wrap.training(
        rows_net(),
        [Defence(method="gaussian_augmentation", options=options)],
        {"shape": [20], "low": -9, "high": 9},
    )
    given = batch(rows_arrays(4000, 0))
    change = noisy.augment(given, torch.Generator().manual_seed(0)).inputs - given.inputs
    moved = (change != 0).any(dim=1)
    assert moved.float().mean() == pytest.approx(0.25, abs=0.03)
    assert change[moved].std() == pytest.approx(0.2, abs=0.01)
    narrow = wrap.training(
        rows_net(),
        [Defence(method="gaussian_augmentation")],
        {"shape": [20], "low": 0.4, "high": 1},
    )
    assert narrow.augment(given, torch.Generator().manual_seed(0)).inputs[moved].min() >= 0


@pytest.mark.parametrize("method", sorted(n for n, m in METHODS.items() if m.stage == "training"))
def test_a_resumed_training_draws_what_an_undisturbed_one_does(method, tmp_path):
    data = dataset(rows_arrays, (128, 20, 20))
    spec = wrap.training(rows_net(), [Defence(method=method)], data.description.inputs)
    config = TrainConfig(epochs=3, batch_size=64)
    whole, _ = train(spec, data, config)

    class Stop(Exception):  # noqa: N818
        pass

    def stop(line):
        if line.startswith("epoch 2"):
            raise Stop

    kept = Checkpoint(path=tmp_path / "c", training=digest_bytes(b"this one"))
    with pytest.raises(Stop):
        train(spec, data, config, checkpoint=kept, report=stop)
    again, _ = train(spec, data, config, checkpoint=kept)
    for left, right in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("method", ["adversarial_training", "virtual_adversarial_training"])
def test_the_network_trains_on_after_it_was_attacked(method):
    spec = wrap.training(rows_net(), [Defence(method=method)], ROWS.description.inputs)
    module = rows_net().build({}).train()
    spec.loss(module, batch(ROWS.splits["train"], 8)).backward()
    assert module.training
    assert all(value.grad is not None for value in module.parameters())


@pytest.mark.parametrize("method", ["trades", "virtual_adversarial_training"])
def test_half_precision_finds_the_same_direction(method):
    module, given = rows_net().build({}), batch(ROWS.splits["train"], 64)
    module[0].weight.data *= 3

    def loss(enabled):
        chosen = [Defence(method=method, options={"epsilon": 0.5})]
        spec = wrap.training(rows_net(), chosen, ROWS.description.inputs)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return (spec.loss(module, given) - rows_net().loss(module, given)).item()

    assert loss(True) == pytest.approx(loss(False), rel=0.1)


DEFENDED = [
    ("feature_squeezing", {"bits": 3}),
    ("spatial_smoothing", {"window": 3}),
    ("jpeg_compression", {"quality": 60}),
    ("total_variance_minimisation", {"weight": 0.1}),
    ("thermometer_encoding", {"levels": 6}),
]


@pytest.mark.parametrize("defence", DEFENDED, ids=lambda defence: defence[0])
def test_an_attack_goes_through_the_defence(defence):
    spec, module = trained(images_net(), IMAGES, defence)
    clean = torch.from_numpy(IMAGES.splits["test"]["inputs"])
    noise = 0.3 * torch.randint(0, 2, clean.shape, generator=torch.Generator().manual_seed(0)) * 2
    assert accuracy(spec, module, clean, IMAGES) > 0.9
    assert accuracy(spec, module, (clean + noise - 0.3).clamp(0, 1), IMAGES) > 0.5
    assert robust_accuracy(spec, module, IMAGES, epsilon=0.3, steps=10) < 0.2


def test_thermometer_widens_the_first_layer_and_nothing_else():
    defences = [Defence(method="thermometer_encoding", options={"levels": 6})]
    for data, net, layer in ((IMAGES, images_net(), "in_channels"), (ROWS, rows_net(), "")):
        module = wrap.inputs(net, defences, data.description.inputs).build({})
        plain = net.build({})
        size = layer or "in_features"
        assert getattr(module[0], size) == 6 * getattr(plain[0], size)
        assert str(module[1:]) == str(plain[1:])


def test_thermometer_refuses_a_network_that_it_cannot_widen():
    defences = [Defence(method="thermometer_encoding")]
    for build in (torch.nn.ReLU, lambda: torch.nn.Sequential(torch.nn.Linear(5, 2))):
        spec = wrap.inputs(type(rows_net())(build), defences, ROWS.description.inputs)
        with pytest.raises(ValueError, match=r"takes inputs \(20,\), got"):
            spec.build({})


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("spatial_smoothing", "works on images"),
        ("jpeg_compression", "works on images"),
        ("total_variance_minimisation", "works on images"),
    ],
)
def test_a_defence_of_images_refuses_rows(method, said):
    with pytest.raises(ValueError, match=said):
        wrap.inputs(rows_net(), [Defence(method=method)], ROWS.description.inputs)


def test_nothing_follows_a_thermometer():
    chosen = [Defence(method=name) for name in ("thermometer_encoding", "feature_squeezing")]
    with pytest.raises(ValueError, match="expected it to be the last one"):
        wrap.inputs(rows_net(), chosen, ROWS.description.inputs)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("magic", {}, "expected one of feature_squeezing"),
        ("trades", {"gamma": 1}, "expected some of"),
        ("trades", {"norm": "l1"}, "expected one of linf, l2"),
        ("feature_squeezing", {"bits": 0}, "a whole number from 1 to 16"),
        ("feature_squeezing", {"bits": 2.5}, "a whole number from 1 to 16"),
        ("feature_squeezing", {"bits": True}, "a whole number"),
        ("label_smoothing", {"smoothing": float("nan")}, "a number from 0 to 1"),
        ("label_smoothing", {"smoothing": "much"}, "a number from 0 to 1"),
    ],
)
def test_what_does_not_fit_a_method_is_refused(method, options, said):
    with pytest.raises(ValueError, match=said):
        Defence(method=method, options=options)


@pytest.mark.parametrize("documents", [3, [3], [{}], [{"method": "trades", "more": 1}]])
def test_malformed_defences_are_refused(documents):
    with pytest.raises(ValueError, match="got the defences"):
        from_json(documents)


def exported(folder, *defences):
    from touchstone.training.load import load_spec

    spec = load_spec(EXAMPLES / "tabular", "model.py:Progression")
    described = {"shape": [10], "low": 0.0, "high": 1.0}
    chosen = [Defence(method=name, options=options) for name, options in defences]
    answers = wrap.inputs(spec, chosen, described)
    module = answers.build({}).eval()
    export(
        folder,
        module=module,
        spec=spec,
        sample=wrap.seen(answers, torch.rand(8, 10)),
        source=EXAMPLES / "tabular",
        entrypoint="model.py:Progression",
        parameters={},
        description=Description(
            task="classification", classes=("a", "b"), inputs=described, protected={}, seed=1
        ),
        metrics={},
        seed=1,
        defences=chosen,
    )
    return answers, module


def test_the_loaded_and_the_served_model_answer_behind_the_same_defences(tmp_path):
    from touchstone.delivery.predictor import Predictor

    spec, module = exported(
        tmp_path,
        ("label_smoothing", {}),
        ("feature_squeezing", {"bits": 2}),
        ("thermometer_encoding", {"levels": 5}),
    )
    inputs = torch.rand(50, 10)
    expected = spec.predict(module, inputs).softmax(dim=1)
    loaded = open_model(tmp_path)
    assert torch.equal(loaded.spec.predict(loaded.module, inputs).softmax(dim=1), expected)
    served = Predictor(loaded.spec, loaded.module, loaded.document).answer(inputs.numpy())
    assert np.array_equal([one["probabilities"] for one in served], expected.detach().numpy())
    # The defence is in the answer: what squeezes to the same levels is answered the same.
    squeezed = torch.round(inputs * 3) / 3
    assert torch.equal(spec.predict(module, squeezed), spec.predict(module, inputs))


def test_a_model_tree_whose_defences_were_removed_is_refused(tmp_path):
    exported(tmp_path, ("thermometer_encoding", {}))
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"defences": []}))
    with pytest.raises(ValueError, match="do not fit the code"):
        with_code(tmp_path)


DOCS = (Path(touchstone.__file__).parents[1] / "docs" / "explanation" / "defences.md").read_text()


@pytest.mark.parametrize("name", METHODS)
def test_the_docs_have_a_row_of_every_method_with_its_options_and_their_defaults(name):
    (row,) = [line for line in DOCS.splitlines() if re.match(rf"\| `{name}` \|.*20\d\d \|", line)]
    shown = row.split("|")[3].strip().split(", ")
    against_the_gates = {"norm", "epsilon"} if "norm" in METHODS[name].options else set()
    assert sorted(shown) == sorted(
        option if option in against_the_gates else f"{option} {default:g}"
        for option, default in METHODS[name].options.items()
    )


def test_the_docs_name_the_defences_of_inputs_first_and_every_key_of_a_detector():
    named = re.findall(r"^\| `(\w+)` \|.*20\d\d \|$", DOCS, flags=re.MULTILINE)
    stages = [METHODS[name].stage for name in named]
    assert stages == ["input"] * 5 + ["training"] * (len(METHODS) - 5)
    keys = ", ".join(f"`{field.alias or name}`" for name, field in Evasion.model_fields.items())
    assert f"Options: {keys}." in DOCS.replace("\n", " ")


def test_the_schema_offers_every_method():
    schema = Defence.model_json_schema()["properties"]["method"]
    assert schema["enum"] == list(METHODS)
