"""The gate attacks through the defences of inputs: masking is not taken for robustness."""

import pytest
import torch
from defended import dataset, images_arrays, images_net
from gate_models import required

from touchstone.training.defences import Defence, wrap
from touchstone.training.trainer import TrainConfig, train
from trust_gates.robustness import judge
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Samples
from trust_gates.target import Target
from trust_gates.verdict import Outcome

DATA = dataset(images_arrays, (400, 40, 60))
SAMPLES = Samples(
    inputs=DATA.splits["test"]["inputs"], classes=["a", "b", "c", "d"],
    labels=DATA.splits["test"]["labels"],
)  # fmt: skip


def evidence(spec):
    torch.set_num_threads(1)
    config = TrainConfig(epochs=8, batch_size=64, parameters={"learning_rate": 0.02})
    module, _ = train(spec, DATA, config)
    target = Target(
        module=module.eval(), predict=lambda x: spec.predict(module, x), low=0.0, high=1.0
    )
    asked = Robustness(
        checks=[required("robust_accuracy", low=0.01)], epsilon=0.25, sequential=False
    )
    return judge(target, SAMPLES, asked)


def masking(found):
    return next(check for check in found.checks if check.name == "gradient_masking")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("feature_squeezing", {"bits": 2}),
        ("jpeg_compression", {"quality": 50}),
        ("thermometer_encoding", {"levels": 8}),
    ],
)
def test_a_defence_that_only_hides_the_gradient_does_not_pass_for_robust(method, options):
    defence = Defence(method=method, options=options)
    found = evidence(wrap.inputs(images_net(), [defence], DATA.description.inputs))
    assert found.figures["clean"] > 0.9
    assert found.figures["robust_accuracy"] < 0.2
    assert masking(found).outcome is Outcome.PASSED, found.notes


def test_the_same_defence_without_its_stand_in_is_blocked_as_masking():
    class Rounded(type(images_net())):
        def predict(self, module, inputs):
            return module((inputs * 3).round() / 3)  # its gradient is 0 everywhere

    found = evidence(Rounded(images_net()._build))
    assert masking(found).outcome is Outcome.FAILED
