"""An explanation must be the model's, faithful, steady, and free of what must not decide."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gate_models import linear_samples, linear_target, required

from trust_gates import explainability
from trust_gates.errors import GateError, PolicyError
from trust_gates.explainability import methods, sanity
from trust_gates.explainability.association import Attribute, proxies
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.policy import Explainability
from trust_gates.explainability.subject import of_samples
from trust_gates.inputs import opaque
from trust_gates.policy import Setting
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target
from trust_gates.verdict import Outcome

WEIGHT = np.array([3.0, -2.0, 1.5, 1.0, -0.7, 0.5])


def policy(*metrics, low=0.05, high=1.0, **more):
    names = metrics or ("faithfulness",)
    return Explainability(checks=[required(name, low, high) for name in names], **more)


def grouped(weight=WEIGHT, count=200):
    """Samples whose feature `sex` is the group, `height` goes with it, and the rest do not."""
    plain = linear_samples(weight, count, spread=0.4)
    sex = np.arange(count) % 2
    inputs = plain.inputs.copy()
    inputs[:, 0] = 0.2 + 0.6 * sex
    inputs[:, 1] = 0.3 + 0.3 * sex + 0.2 * inputs[:, 1]
    return Samples(
        inputs=inputs,
        classes=plain.classes,
        labels=plain.labels,
        groups={"sex": np.where(sex, "a", "b")},
    )


NAMES = ("sex", "height", "c", "d", "e", "f")
NAMED = Setting(features=NAMES)


def marked(monkeypatch, name, attribute):
    planted = methods.Method(name=name, source="", attribute=attribute)
    monkeypatch.setitem(methods.METHODS, name, planted)


def blank(score, inputs, baselines, which, parts):
    return torch.zeros_like(inputs)


def drawn(score, inputs, baselines, which, parts):
    return torch.rand_like(inputs)


def input_itself(score, inputs, baselines, which, parts):
    return (inputs - baselines).abs()


class Spots(torch.nn.Module):
    """Sees a bright square in each quarter of a 16 x 16 image; its weights can be randomised."""

    boxes = torch.tensor([[x, y, x + 8.0, y + 8.0] for y in (0, 8) for x in (0, 8)])

    def __init__(self):
        super().__init__()
        self.look = torch.nn.Conv2d(3, 1, 8, stride=8)
        with torch.no_grad():
            self.look.weight.fill_(20 / 192)
            self.look.bias.fill_(-8.0)

    def forward(self, x):
        return self.look(x).flatten(1)


class Elsewhere(Spots):
    """Tells that there is a square from the brightness of the quarter opposite to it."""

    def forward(self, x):
        return super().forward(x).flip(1)


def detector(module, *, differentiable=True, claims=0.05):
    def predict(x):
        scores = module(x).sigmoid()
        scores = scores if differentiable else scores.detach()
        return [
            SimpleNamespace(
                boxes=module.boxes[kept],
                labels=torch.zeros(int(kept.sum()), dtype=torch.int64),
                scores=image[kept],
            )
            for image, kept in zip(scores, scores > claims, strict=True)
        ]

    return Target(module=module, predict=predict, low=0.0, high=1.0)


def spots(count=40, seed=0, across=False):
    """Each image has one bright quarter, which is the object; or it lies opposite (`across`)."""
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(0.0, 0.1, size=(count, 3, 16, 16)).astype(np.float32)
    objects = []
    for image, quarter in zip(inputs, generator.integers(4, size=count), strict=True):
        y, x = quarter // 2 * 8, quarter % 2 * 8
        image[:, y : y + 8, x : x + 8] += np.float32(0.7)
        boxes = Spots.boxes.numpy()[[3 - quarter if across else quarter]]
        objects.append(Boxes(boxes=boxes, labels=np.zeros(1, dtype=np.int64)))
    return Samples(inputs=inputs, classes=["spot", "other"], objects=objects)


def test_touchstone_yaml_offers_every_method_and_no_other():
    offered = Explainability.model_json_schema()["properties"]["method"]["enum"]
    assert offered == list(methods.METHODS)


@pytest.mark.parametrize("name", ["integrated_gradients", "occlusion", "kernel_shap"])
def test_a_linear_models_attributions_are_its_weights_times_the_change(name):
    target, samples = linear_target(WEIGHT), linear_samples(WEIGHT, 40, spread=0.4)
    subject = of_samples(target, samples, most=5, seed=0)
    found = methods.attribute(name, subject, Parts.of((6,)), seed=0)
    sign = np.where(subject.labels == 1, 2, -2)[:, None]
    expected = sign * WEIGHT * (subject.inputs - subject.baseline)
    assert found == pytest.approx(expected, abs=2e-3)


def test_saliency_is_the_size_of_the_gradient_and_gradient_shap_close_to_the_exact_one():
    target, samples = linear_target(WEIGHT), linear_samples(WEIGHT, 40, spread=0.4)
    subject = of_samples(target, samples, most=5, seed=0)
    parts = Parts.of((6,))
    saliency = methods.attribute("saliency", subject, parts, seed=0)
    assert saliency == pytest.approx(np.broadcast_to(2 * np.abs(WEIGHT), (5, 6)), abs=1e-5)
    exact = methods.attribute("integrated_gradients", subject, parts, seed=0)
    assert methods.attribute("gradient_shap", subject, parts, seed=0) == pytest.approx(
        exact, abs=0.05
    )


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_every_method_is_faithful_to_a_linear_model(name):
    evidence = explainability.judge(
        linear_target(WEIGHT), linear_samples(WEIGHT, 40, spread=0.4), policy(method=name, low=0.02)
    )
    assert evidence.outcome is Outcome.PASSED, evidence.checks[0].reason
    assert {"explainability-features", "explainability-samples"} <= set(evidence.pictures)
    assert all(picture.startswith(b"\x89PNG") for picture in evidence.pictures.values())


def test_a_random_saliency_fails_faithfulness_and_stability(monkeypatch):
    marked(monkeypatch, "random", drawn)
    evidence = explainability.judge(
        linear_target(WEIGHT),
        linear_samples(WEIGHT, spread=0.4),
        policy("faithfulness", "stability", low=0.1, method="random"),
    )
    for check in evidence.checks[:2]:
        assert check.outcome is Outcome.FAILED
        assert check.interval.high < 0.1


def test_an_attribution_that_random_weights_do_not_change_is_an_error_of_the_gate(monkeypatch):
    marked(monkeypatch, "input itself", input_itself)
    with pytest.raises(GateError, match="input itself stay the same .* weights are random"):
        explainability.judge(
            linear_target(WEIGHT), linear_samples(WEIGHT), policy(method="input itself")
        )


def test_the_weights_are_as_learned_after_the_gate():
    target = linear_target(WEIGHT)
    explainability.judge(target, linear_samples(WEIGHT), policy())
    assert target.module.weight.detach().numpy() == pytest.approx(WEIGHT)


def only_answering(weight=WEIGHT):
    """A linear model that shows no weights."""
    module = linear_target(weight).module
    return Target(module=torch.nn.Identity(), predict=lambda x: module(x), low=0.0, high=1.0)


@pytest.mark.parametrize("weight", [WEIGHT, np.ones(6)])
def test_of_a_model_without_weights_attributions_are_shown_to_depend_on_it(weight):
    samples = linear_samples(weight, 60, spread=0.4)
    evidence = explainability.judge(only_answering(weight), samples, policy())
    assert evidence.outcome is Outcome.PASSED
    assert abs(evidence.figures["random_weights_similarity"]) < 0.5


def test_an_attribution_that_no_model_changes_is_an_error_for_one_without_weights_too(monkeypatch):
    marked(monkeypatch, "input itself", lambda score, inputs, *more: inputs)
    with pytest.raises(GateError, match="input itself stay the same .* values exchanged"):
        explainability.judge(
            only_answering(), linear_samples(WEIGHT), policy(method="input itself")
        )


def test_a_model_made_of_steps_is_explained_by_its_answers_and_warned_of_without():
    def steps(inputs):
        score = ((inputs > 0.5) * np.float32(WEIGHT)).sum(axis=1)
        return np.stack([-score, score], axis=1)

    target = opaque.target(steps, low=0, high=1)
    samples = linear_samples(WEIGHT, 60, spread=0.4)
    asked = explainability.judge(target, samples, policy(method="occlusion"))
    assert asked.outcome is Outcome.PASSED
    assert not any("made of steps" in warning for warning in asked.warnings)
    (warning,) = explainability.judge(target, samples, policy(method="saliency")).warnings
    assert "attributed to nothing: a model made of steps" in warning


@pytest.mark.parametrize(
    "nothing",
    [
        required("faithfulness", low=-1),
        required("stability", low=-1),
        required("protected_share", high=1),
    ],
)
def test_a_policy_that_bad_attributions_pass_asks_for_nothing(nothing):
    asked = Explainability(checks=[nothing])
    with pytest.raises(PolicyError, match="explainability asks for nothing"):
        explainability.judge(linear_target(WEIGHT), grouped(), asked, NAMED)


def test_the_evidence_says_what_was_asked():
    asked = Explainability(checks=[required("faithfulness", low=0)], samples=40)
    evidence = explainability.judge(linear_target(WEIGHT), grouped(), asked, NAMED)
    assert dict(evidence.asked) == {
        "method": "integrated_gradients",
        "decisions explained": "40 of 200",
        "confidence": "0.95 for all checks of this gate together",
        "protected attributes": "sex",
        "proxy from": "0.5",
        "asked alone and in other company": "64 samples",
    }
    assert evidence.warnings == ["at most 40 decisions are explained, the standard is 64"]
    assert any("turned around was refused" in note for note in evidence.notes)


def test_a_model_that_uses_the_protected_feature_is_refused_by_that_check_alone():
    samples = grouped()
    asked_for = [
        required("faithfulness", low=0.02),
        required("protected_share", high=0.2),
    ]
    asked = Explainability(checks=asked_for)
    leaning = explainability.judge(linear_target(WEIGHT), samples, asked, NAMED)
    outcomes = {check.name: check.outcome for check in leaning.checks}
    assert [name for name, one in outcomes.items() if one is not Outcome.PASSED] == [
        "protected_share"
    ]
    assert leaning.checks[1].measured > 0.5
    blind = explainability.judge(linear_target(WEIGHT * [0, 0, 1, 1, 1, 1]), samples, asked, NAMED)
    assert blind.outcome is Outcome.PASSED
    assert blind.checks[1].measured == 0


def test_proxies_are_found_and_named():
    evidence = explainability.judge(
        linear_target(WEIGHT), grouped(), policy("protected_share", low=0.0, high=0.99), NAMED
    )
    (note,) = [note for note in evidence.notes if "proxies" in note]
    assert "sex (tells sex: 1.00), height (tells sex: 1.00)" in note
    assert "c (" not in note
    table, by_group = evidence.tables
    assert {row[0] for row in table.rows} == set(NAMES)
    assert {row[:2] for row in by_group.rows} == {("sex", "a"), ("sex", "b")}


def test_an_attribute_is_protected_by_its_name_too_and_a_proxy_by_the_policys_bound():
    samples = grouped()
    shuffled = Samples(
        inputs=samples.inputs,
        classes=samples.classes,
        labels=samples.labels,
        groups={"c": np.random.default_rng(0).permutation(samples.groups["sex"])},
    )
    evidence = explainability.judge(
        linear_target(WEIGHT), shuffled, policy("protected_share", low=0.0, high=0.99), NAMED
    )
    assert "proxies: c (tells c" in evidence.notes[-1]
    assert "height" not in evidence.notes[-1]


def test_association_sees_what_is_not_monotone_and_nothing_where_there_is_nothing():
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, size=(400, 2)).astype(np.float32)
    groups = np.where(np.abs(values[:, 0]) > 0.5, "edge", "middle")
    told = [one.youden.max() for one in Attribute(values, groups, seed=0).alone()]
    assert told[0] > 0.9
    assert told[1] < 0.2
    alone = Attribute(values, np.full(400, "one"), seed=0)
    assert all((one.youden == 0).all() for one in alone.alone())
    assert alone.sets([0, 1], 0.5, alone.alone()) == {}


def test_an_attribution_of_nothing_counts_with_the_worst_value(monkeypatch):
    marked(monkeypatch, "blank", blank)
    found = explainability.judge(
        linear_target(WEIGHT), grouped(), policy("protected_share", high=0.99, method="blank")
    )
    assert found.checks[0].measured == 1
    assert found.figures["stability"] == 0


def test_a_detector_that_looks_at_its_objects_passes():
    evidence = explainability.judge(
        detector(Spots()),
        spots(),
        policy("attribution_inside", "pointing_game", "faithfulness", low=0.2),
    )
    assert evidence.outcome is Outcome.PASSED, evidence.checks
    assert evidence.figures["object_area"] == pytest.approx(0.25)
    assert evidence.figures["attribution_inside"] > 0.9
    assert evidence.pictures["explainability-maps"].startswith(b"\x89PNG")


def test_a_detector_that_looks_elsewhere_is_refused_by_the_checks_meant_for_it():
    evidence = explainability.judge(
        detector(Elsewhere()),
        spots(across=True),
        policy("attribution_inside", "pointing_game", "faithfulness"),
    )
    inside, pointing, faithful = (check.outcome for check in evidence.checks[:3])
    assert Outcome.PASSED not in (inside, pointing)
    assert faithful is Outcome.PASSED


def test_a_detector_that_finds_nothing_leaves_nothing_to_explain():
    evidence = explainability.judge(detector(Spots(), claims=2.0), spots(), policy())
    assert evidence.outcome is Outcome.FAILED
    assert "it found no object" in evidence.checks[0].reason


def test_a_detector_without_gradients_can_be_explained_by_occlusion_alone():
    target = detector(Spots(), differentiable=False)
    with pytest.raises(GateError, match="choose the method occlusion"):
        explainability.judge(target, spots(), policy())
    evidence = explainability.judge(target, spots(), policy("pointing_game", method="occlusion"))
    assert evidence.outcome is Outcome.PASSED


def test_an_image_classifier_is_explained_by_maps():
    images = spots()
    labels = np.array([int(image.boxes[0, 0] > 0) for image in images.objects])
    module = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d((1, 2)), torch.nn.Flatten(), torch.nn.Linear(6, 2)
    )
    with torch.no_grad():
        weight = torch.tensor([[1.0, -1.0] * 3, [-1.0, 1.0] * 3])
        module[2].weight.copy_(weight * 5)
    samples = Samples(inputs=images.inputs, classes=["left", "right"], labels=labels)
    target = Target(module=module, predict=module, low=0.0, high=1.0)
    evidence = explainability.judge(
        target, samples, policy(), Setting(features=("red", "green", "blue"))
    )
    assert evidence.outcome is Outcome.PASSED, evidence.checks[0].reason
    assert "explainability-maps" in evidence.pictures
    assert {row[0] for row in evidence.tables[0].rows} == {"red", "green", "blue"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"features": ("a",)}, r"got 1 names of features \['a'\], expected 6"),
        ({"protected": ["age"]}, "got the protected attribute 'age', expected one of 'sex'"),
        ({"method": "lime"}, r"one of \['saliency'.*'lime'"),
        ({"metrics": ["pointing_game"]}, "got the metric 'pointing_game' .* expected one of"),
    ],
)
def test_what_does_not_fit_is_named(more, message):
    metrics, setting = more.pop("metrics", ()), Setting(features=more.pop("features", ()))
    with pytest.raises(ValueError, match=message):
        explainability.judge(linear_target(WEIGHT), grouped(), policy(*metrics, **more), setting)


def test_kernel_shap_does_not_know_images():
    with pytest.raises(ValueError, match="only explains rows of features"):
        explainability.judge(detector(Spots()), spots(), policy(method="kernel_shap"))


def test_attributions_that_are_no_numbers_count_with_the_worst_value(monkeypatch):
    marked(monkeypatch, "broken", lambda score, inputs, *rest: inputs * float("nan"))
    evidence = explainability.judge(
        linear_target(WEIGHT), grouped(), policy("stability", "protected_share", method="broken")
    )
    assert [check.measured for check in evidence.checks[:2]] == [0, 1]


@pytest.mark.parametrize("weight", [WEIGHT * 0, WEIGHT * np.nan])
def test_a_model_that_decides_nothing_is_refused_and_breaks_nothing(weight):
    evidence = explainability.judge(linear_target(weight), grouped(), policy("faithfulness"))
    assert evidence.outcome is not Outcome.PASSED


def test_samples_that_are_answered_with_no_number_are_left_out():
    samples = grouped()
    module = linear_target(WEIGHT).module
    target = Target(
        module=module,
        predict=lambda x: module(torch.where(x[:, 5:] > 0.8, torch.nan, x)),
        low=0.0,
        high=1.0,
    )
    evidence = explainability.judge(target, samples, policy(samples=200))
    kept = int((samples.inputs[:, 5] <= 0.8).sum())
    assert evidence.notes[0].startswith(f"explained {kept} decisions")


def test_rank_correlation_is_spearmans_and_nothing_without_an_order():
    from scipy.stats import spearmanr

    left, right = np.random.default_rng(0).normal(size=(2, 3, 9))
    expected = [spearmanr(a, b).statistic for a, b in zip(left, right, strict=True)]
    assert sanity.rank_correlation(left, right) == pytest.approx(expected)
    assert (sanity.rank_correlation(left, np.zeros((3, 9))) == 0).all()


RACES = np.array(["black", "white", "latin", "other", "asian", "native"])


def told(values, groups, weight, names, *, low=0.0, high=0.1, count=48):
    """The check of `protected_share` for a linear model, and the evidence."""
    samples = Samples(
        inputs=values.astype(np.float32),
        classes=["no", "yes"],
        labels=(values @ weight > np.median(values @ weight)).astype(np.int64),
        groups=groups,
    )
    evidence = explainability.judge(
        linear_target(np.array(weight, float)),
        samples,
        policy("protected_share", low=low, high=high, samples=count),
        Setting(features=tuple(names)),
    )
    return evidence.checks[0], evidence


def test_one_column_of_a_many_valued_attribute_tells_everything_about_its_value():
    """A column that is 1 for one race of six is that race: as with two, it must not decide."""
    generator = np.random.default_rng(0)
    race = generator.choice(6, size=600, p=[0.5, 0.3, 0.1, 0.06, 0.02, 0.02])
    values = np.column_stack([generator.random((600, 2)), np.eye(6)[race]])
    names = ["age", "priors", *(f"race_{one}" for one in RACES)]
    weight = np.array([0.05, 0.05, 4, 0, 0, 0, 0, 0])
    check, evidence = told(values, {"race": RACES[race]}, weight, names)
    assert check.outcome is Outcome.FAILED
    assert check.measured > 0.8
    assert any("race_black (tells race=black: 1.00)" in note for note in evidence.notes)
    blind = np.array([1.0, 0.8, 0, 0, 0, 0, 0, 0])
    check, _ = told(values, {"race": RACES[race]}, blind, names)
    assert check.outcome is Outcome.PASSED
    assert check.measured == 0


def agreeing(share, features, count=800, seed=0):
    """Features that each agree with the sex of so large a share."""
    generator = np.random.default_rng(seed)
    sex = generator.integers(2, size=count)
    agree = generator.random((count, features)) < share
    return np.where(agree, sex[:, None], 1 - sex[:, None]), np.where(sex, "m", "f"), generator


def test_features_that_only_together_tell_an_attribute_count_and_what_tells_nothing_does_not():
    nine, sex, generator = agreeing(0.72, 9)
    values = np.column_stack([nine, generator.random(len(sex))])
    names = [*(f"q{index}" for index in range(9)), "noise"]
    check, evidence = told(values, {"sex": sex}, np.ones(10), names)
    assert check.outcome is Outcome.FAILED
    counted = {row[0]: row[-1] for row in evidence.tables[0].rows}
    assert all(counted[name] > 0.7 for name in names[:9])
    assert counted["noise"] is None
    assert any("alone, 0." in note and "with others)" in note for note in evidence.notes)


def test_features_that_tell_only_by_their_combination_count():
    generator = np.random.default_rng(1)
    sex, key = generator.integers(2, size=(2, 800))
    values = np.column_stack([key, key ^ sex, generator.random((800, 2))])
    check, _ = told(values, {"sex": np.where(sex, "m", "f")}, np.ones(4), "abcd")
    assert check.outcome is Outcome.FAILED


def test_features_that_go_weakly_with_an_attribute_are_no_proxies():
    weak, sex, generator = agreeing(0.55, 6)
    values = np.column_stack([weak, generator.random((len(sex), 2))])
    check, _ = told(values, {"sex": sex}, np.ones(8), "abcdefgh")
    assert check.outcome is Outcome.PASSED


def test_independent_features_are_hardly_ever_taken_for_proxies():
    """Of 40 data sets with groups of 2 in 100 and of 4 in 10, features that tell nothing."""
    wrong = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        values = generator.random((250, 5)).astype(np.float32)
        groups = generator.choice(["a", "b", "c", "d"], size=250, p=[0.5, 0.4, 0.08, 0.02])
        attribute = Attribute(values, groups, seed)
        wrong += bool(proxies(attribute.alone(), 0.5))
    assert wrong <= 2


def test_a_share_that_hides_in_the_mean_of_a_small_group_decides():
    """A model that goes by `sex` for one in fifteen alone, those of the north."""
    generator = np.random.default_rng(3)
    sex = generator.integers(2, size=900)
    north = np.arange(900) % 15 == 0
    values = np.column_stack([sex, north, generator.random((900, 2))]).astype(np.float32)

    class Split(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rest = torch.nn.Linear(2, 1, bias=False)
            self.north = torch.nn.Linear(1, 1, bias=False)
            torch.nn.init.constant_(self.rest.weight, 4.0)
            torch.nn.init.constant_(self.north.weight, 4.0)

        def forward(self, x):
            here = (x[:, 1:2] > 0.5).float()
            score = here * self.north(x[:, :1] - 0.5) + (1 - here) * self.rest(x[:, 2:] - 0.5)
            return torch.cat([-score, score], dim=1)

    samples = Samples(
        inputs=values,
        classes=["no", "yes"],
        labels=sex,
        groups={"sex": np.where(sex, "m", "f"), "region": np.where(north, "north", "south")},
    )
    module = Split()
    evidence = explainability.judge(
        Target(module=module, predict=module, low=0.0, high=1.0),
        samples,
        policy("protected_share", low=0.0, high=0.3, samples=64),
        Setting(features=("sex", "north", "c", "d")),
    )
    check, _ = evidence.checks
    assert check.outcome is Outcome.FAILED
    assert "(region=north, 32 decisions)" in check.reason
    (table,) = [one for one in evidence.tables if "by group" in one.title]
    shares = {row[:2]: row[3] for row in table.rows}
    assert shares["region", "north"] > 0.5
    assert shares["region", "south"] < 0.3


def test_an_attribute_whose_every_value_is_too_rare_has_no_proxies():
    few = Attribute(np.zeros((2, 3), dtype=np.float32), np.array(["a", "b"]), 0)
    assert list(few.few) == ["a", "b"]
    assert proxies(few.alone(), 0.5) == []
