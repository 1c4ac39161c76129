"""A model is judged as it is served: whose answers depend on their company is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_models import linear_samples, required, spot_samples, spot_target

from trust_gates import explainability, fairness, quality, robustness
from trust_gates.errors import GateError, PolicyError
from trust_gates.explainability.policy import Explainability
from trust_gates.fairness.policy import Fairness
from trust_gates.policy import COMPANY
from trust_gates.quality.policy import Quality
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target, Watch
from trust_gates.verdict import Outcome

WEIGHT = np.ones(4)
QUALITY = Quality(checks=[required("accuracy", 0.7)])
GATES = {
    "quality": (quality, QUALITY),
    "robustness": (
        robustness,
        Robustness(
            epsilon=0.01, attacks=["fgsm", "square"], checks=[required("robust_accuracy", 0.5)]
        ),
    ),
    "fairness": (
        fairness,
        Fairness(
            protected="sex",
            privileged=["f"],
            favorable="yes",
            checks=[required("statistical_parity_difference", -0.9, 0.9)],
        ),
    ),
    "explainability": (explainability, Explainability(checks=[required("faithfulness", 0.1)])),
}


def linear(x):
    score = (x - 0.5).flatten(1) @ torch.ones(4)
    return torch.stack((-score, score), dim=1)


def target(predict, module=None):
    return Target(module=module or torch.nn.Identity(), predict=predict, low=0.0, high=1.0)


def people(count=200):
    plain = linear_samples(WEIGHT, count)
    return Samples(
        inputs=plain.inputs,
        classes=plain.classes,
        labels=plain.labels,
        groups={"sex": np.where(np.arange(count) % 2, "f", "m")},
    )


def check(evidence):
    (found,) = [one for one in evidence.checks if one.name == COMPANY]
    return found


def batch_norm():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 16),
        torch.nn.BatchNorm1d(16, track_running_stats=False),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 2),
    )
    return target(module, module.eval())


def dropping_out():
    module = torch.nn.Dropout(0.2)

    def predict(x):
        return linear(module.train()(x))

    return target(predict, module)


def behaving(requests):
    """Answers well for so many requests, and the opposite from then on."""
    seen = []

    def predict(x):
        seen.append(len(x))
        return linear(x) if len(seen) <= requests else -linear(x)

    return target(predict)


LEANING = {
    "the mean of the batch": lambda: target(lambda x: linear(x) - linear(x).mean(dim=0)),
    "a part of the mean": lambda: target(lambda x: linear(x) - linear(x).mean(dim=0) / 10),
    "who stands first": lambda: target(lambda x: linear(x) + 0.1 * linear(x[:1])),
    "who stands before": lambda: target(lambda x: linear(x) + linear(x.roll(1, dims=0))),
    "the number": lambda: target(lambda x: linear(x) if len(x) > 1 else -linear(x)),
    "a number that gates never ask": lambda: target(
        lambda x: linear(x) if len(x) <= 128 else -linear(x)
    ),
    "the number that gates ask": lambda: target(
        lambda x: linear(x) if len(x) == 64 else -linear(x)
    ),
    "chance": dropping_out,
    "what was asked before": lambda: behaving(100),
    "company, or else it fails": batch_norm,
}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("leaning", LEANING)
def test_whose_answers_depend_on_their_company_is_refused_by_every_gate(gate, leaning):
    module, policy = GATES[gate]
    evidence = module.judge(LEANING[leaning](), people(), policy)
    assert check(evidence).outcome is Outcome.FAILED
    assert evidence.outcome is Outcome.FAILED


def test_a_model_that_cannot_be_asked_alone_is_refused_with_what_it_said():
    evidence = quality.judge(batch_norm(), people(), QUALITY)
    assert "asked about one sample alone, the model failed: ValueError" in check(evidence).reason
    assert all(one.outcome is Outcome.FAILED for one in evidence.checks)


def test_a_model_that_cannot_be_asked_at_all_is_no_matter_of_company():
    def fails(x):
        raise GateError("the model's code failed at logits")

    with pytest.raises(GateError, match="failed at logits"):
        quality.judge(target(fails), people(), QUALITY)


def test_it_is_told_in_what_company_how_many_differed():
    evidence = quality.judge(LEANING["a number that gates never ask"](), people(), QUALITY)
    assert evidence.figures[COMPANY] > 50
    assert "in a request of 192, sorted by answer" in evidence.notes[-1]
    assert dict(evidence.asked)["asked alone and in other company"] == "64 samples"


def wide():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 300), torch.nn.ReLU(), torch.nn.Linear(300, 300), torch.nn.Linear(300, 3)
    )
    return module.eval()


@pytest.mark.parametrize("scale", [1e-4, 0.01, 1.0, 50.0, 5000.0])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_rounding_is_no_difference_at_any_scale_of_the_logits(scale, offset):
    module = wide()
    samples = people()
    middle = module(torch.full((1, 4), 0.5)).detach()
    asked = target(lambda x: (module(x) - middle + offset) * scale, module)
    labels = asked.logits(samples.inputs).argmax(axis=1)
    own = Samples(inputs=samples.inputs, classes=list("abc"), labels=labels)
    assert check(quality.judge(asked, own, QUALITY)).outcome is Outcome.PASSED


@pytest.mark.parametrize("scale", [1e-4, 0.01, 1.0, 50.0, 5000.0])
def test_a_difference_is_one_at_any_scale_of_the_logits(scale):
    asked = target(lambda x: (linear(x) - linear(x).mean(dim=0) / 10) * scale)
    assert check(quality.judge(asked, people(), QUALITY)).outcome is Outcome.FAILED


@pytest.mark.parametrize("masked", [-1e9, -1e4])
def test_a_masked_class_neither_hides_a_difference_nor_makes_one(masked):
    def three(answers):
        return torch.cat([answers, torch.full((len(answers), 1), masked)], dim=1)

    samples = people()
    samples = Samples(inputs=samples.inputs, classes=list("abc"), labels=samples.labels)
    sound = quality.judge(target(lambda x: three(linear(x))), samples, QUALITY)
    assert check(sound).outcome is Outcome.PASSED
    leaning = target(lambda x: three(linear(x) - linear(x).mean(dim=0)))
    assert check(quality.judge(leaning, samples, QUALITY)).outcome is Outcome.FAILED


def test_one_huge_margin_hides_no_difference():
    def predict(x):
        return torch.where(x[:, :1] > 0.5, linear(x) * 1e6, linear(x) - linear(x).mean(dim=0))

    assert check(quality.judge(target(predict), people(), QUALITY)).outcome is Outcome.FAILED


def test_answers_that_are_exactly_tied_are_the_same_answers():
    tied = target(lambda x: torch.where(linear(x).abs() < 0.1, 0.0, linear(x)))
    assert check(quality.judge(tied, people(), QUALITY)).outcome is Outcome.PASSED


def test_what_is_no_number_alone_and_together_is_the_other_checks_matter():
    broken = target(lambda x: torch.where(x[:, :1] > 0.55, torch.nan, linear(x)))
    evidence = quality.judge(broken, people(), QUALITY)
    assert check(evidence).outcome is Outcome.PASSED
    assert evidence.figures["non_finite_outputs"] > 0


def detector(change):
    """The spot detector, whose claims `change` alters in the company of others."""
    sound = spot_target()

    def predict(x):
        claims = sound.predict(x)
        return claims if len(x) == 1 else [change(one) for one in claims]

    return Target(
        module=sound.module, predict=predict, loss=sound.loss, low=sound.low, high=sound.high
    )


def altered(**changes):
    def change(one):
        for name, alter in changes.items():
            setattr(one, name, alter(getattr(one, name)))
        return one

    return change


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (altered(), Outcome.PASSED),
        (altered(scores=lambda scores: scores + 1e-6, boxes=lambda b: b + 1e-4), Outcome.PASSED),
        (altered(scores=lambda scores: scores / 2), Outcome.FAILED),
        (altered(boxes=lambda boxes: boxes + 2.0), Outcome.FAILED),
        (altered(labels=lambda labels: labels + 1), Outcome.FAILED),
        (
            altered(boxes=lambda boxes: boxes[:1], labels=lambda n: n[:1], scores=lambda s: s[:1]),
            Outcome.FAILED,
        ),
        (
            altered(
                boxes=lambda boxes: boxes.repeat(2, 1),
                labels=lambda labels: labels.repeat(2),
                scores=lambda scores: scores.repeat(2),
            ),
            Outcome.FAILED,
        ),
    ],
)
def test_a_detectors_claims_are_compared(change, outcome):
    policy = Quality(checks=[required("recall", 0.7)])
    evidence = quality.judge(detector(change), spot_samples(), policy)
    assert check(evidence).outcome is outcome


def test_it_costs_a_few_hundred_answers_however_many_samples_there_are():
    asked = []

    def predict(x):
        asked.append(len(x))
        return linear(x)

    quality.judge(target(predict), people(3000), QUALITY)
    judged = [64] * (3000 // 64) + [3000 % 64]
    assert sum(asked) - sum(judged) < 450
    assert len(asked) - len(judged) < 150


@pytest.mark.parametrize(("number", "outcome"), [(1, Outcome.PASSED), (2, Outcome.FAILED)])
def test_a_detector_of_adversarial_inputs_is_served_with_the_model_and_held_to_the_same(
    number, outcome
):
    watch = Watch(lambda x: x.sum(dim=1) - 2 + 4 * float(len(x) >= number), threshold=3.0)
    asked = replace(target(linear), watch=watch)
    assert check(quality.judge(asked, people(), QUALITY)).outcome is outcome


def test_a_wrong_policy_stays_one_whoever_is_judged():
    asked = Quality(checks=[required("accuracy", 0.0)])
    with pytest.raises(PolicyError, match="asks for nothing"):
        quality.judge(LEANING["a part of the mean"](), people(), asked)


def test_no_samples_show_nothing():
    none = people().take(np.zeros(0, int))
    assert check(quality.judge(target(linear), none, QUALITY)).outcome is Outcome.FAILED


def test_boxes_without_area_are_like_themselves():
    flat = Boxes(boxes=np.zeros((1, 4)), labels=np.zeros(1, int), scores=np.ones(1))

    def predict(x):
        sound = spot_target().predict(x)
        for one in sound:
            one.boxes = torch.cat([one.boxes, torch.from_numpy(flat.boxes)])
            one.labels = torch.cat([one.labels, torch.zeros(1, dtype=torch.int64)])
            one.scores = torch.cat([one.scores, torch.ones(1)])
        return sound

    evidence = quality.judge(
        target(predict), spot_samples(), Quality(checks=[required("recall", 0.7)])
    )
    assert check(evidence).outcome is Outcome.PASSED
