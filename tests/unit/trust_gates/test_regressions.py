"""Numbers are judged by what is known of them: others' figures and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_models import required
from regressions import slope_samples, slope_target
from sklearn import metrics

from trust_gates import evaluation, explainability, fairness, integrity, quality, robustness
from trust_gates.errors import GateError, PolicyError
from trust_gates.explainability.policy import Explainability
from trust_gates.fairness import regression as even
from trust_gates.fairness.policy import Fairness
from trust_gates.inputs.description import Description
from trust_gates.integrity.policy import Integrity
from trust_gates.named import Known
from trust_gates.policy import COMPANY, Setting
from trust_gates.quality import Champion, regression
from trust_gates.quality.policy import Quality
from trust_gates.robustness import attacks, band
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.target import numbers as answered
from trust_gates.verdict import Outcome

WEIGHT = np.array([3.0, -2.0, 1.0, 0.5, -0.25, 2.0])


@pytest.fixture(scope="module")
def samples():
    groups = np.where(np.arange(200) % 3 == 0, "f", "m")
    return slope_samples(WEIGHT, sex=groups)


def good(*checks, **more):
    return Quality(checks=[required(*check) for check in checks or [("r2", 0.5, 1.0)]], **more)


def robust(epsilon=0.02, tolerance=0.6, checks=(("robust_within_tolerance", 0.5),), **more):
    asked = [required(*check) for check in checks]
    return Robustness(checks=asked, epsilon=epsilon, tolerance=tolerance, samples=200, **more)


def outcomes(evidence):
    return {check.name: check.outcome for check in evidence.checks}


def test_a_regressions_figures_are_scikit_learns(samples):
    truth = samples.targets.astype(np.float64)
    said = truth + np.random.default_rng(1).normal(size=len(truth)) - 0.2
    answers = regression.Answers.of(said[:, None], samples)
    weights = np.random.default_rng(2).multinomial(200, np.full(200, 1 / 200), size=3).astype(float)
    for number, row in enumerate([np.ones(200), *weights]):
        found = answers.figures(row[None])
        repeated = np.repeat(np.arange(200), row.astype(int))
        a, b = truth[repeated], said[repeated]
        expected = {
            "r2": metrics.r2_score(a, b),
            "explained_variance": metrics.explained_variance_score(a, b),
            "mean_absolute_error": metrics.mean_absolute_error(a, b),
            "root_mean_squared_error": metrics.root_mean_squared_error(a, b),
            "median_absolute_error": metrics.median_absolute_error(a, b),
            "mean_absolute_percentage_error": metrics.mean_absolute_percentage_error(a, b),
        }
        assert {n: float(v[0]) for n, v in found.items()} == pytest.approx(expected), number


def test_the_slice_with_the_largest_error_is_named(samples):
    said = samples.targets.astype(np.float64)
    said[samples.groups["sex"] == "f"] += 2.0
    check = ("worst_slice_mean_absolute_error", None, 1.0)
    evidence = quality.judge_answers(said[:, None], samples, good(check))
    assert evidence.checks[0].measured == pytest.approx(2.0)
    assert "sex: f" in evidence.checks[0].reason
    assert evidence.outcome is Outcome.FAILED
    assert evidence.pictures["quality-predictions"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda said: np.full_like(said, said.mean()), "constant_prediction"),
        (lambda said: said.mean() + 1e-5 * said, "constant_prediction"),
        (lambda said: np.where(np.arange(len(said)) == 7, np.nan, said), "non_finite_outputs"),
    ],
)
def test_numbers_that_are_none_or_always_the_same_never_pass(samples, change, check):
    said = change(samples.targets.astype(np.float64))
    evidence = quality.judge_answers(said[:, None], samples, good())
    assert outcomes(evidence)[check] is Outcome.FAILED


def test_a_policy_that_passes_the_truths_of_other_samples_is_none(samples):
    with pytest.raises(PolicyError, match="asks for nothing"):
        quality.judge_answers(
            samples.targets[:, None].astype(float), samples, good(("mean_absolute_error", None, 99))
        )


def test_a_policy_that_passes_one_number_for_all_samples_is_none_whatever_varies_a_little(samples):
    truth = samples.targets.astype(np.float64)
    nearly = np.median(truth) + 1e-2 * (truth - np.median(truth))
    for metric, far in (
        ("mean_absolute_error", np.abs(truth - np.median(truth)).mean()),
        ("root_mean_squared_error", truth.std()),
    ):
        with pytest.raises(PolicyError, match="by its checks the me.* for all samples would pass"):
            quality.judge_answers(nearly[:, None], samples, good((metric, None, 1.2 * far)))
        strict = quality.judge_answers(nearly[:, None], samples, good((metric, None, 0.8 * far)))
        assert strict.outcome is Outcome.FAILED


def test_a_version_that_explains_less_than_the_served_one_is_refused(samples):
    truth = samples.targets.astype(np.float64)
    noise = np.random.default_rng(3).normal(size=len(truth))
    served = Champion(version="abc", answers=(truth + 0.1 * noise)[:, None])
    worse = (truth + 0.6 * noise)[:, None]
    asked = good(("r2", 0.2, 1.0), champion={"margin": 0.02})
    evidence = quality.judge_answers(worse, samples, asked, champion=served)
    assert outcomes(evidence)["gain_over_champion"] is Outcome.FAILED
    gap = metrics.r2_score(truth, worse[:, 0]) - metrics.r2_score(truth, served.answers[:, 0])
    assert evidence.figures["gain_over_champion"] == pytest.approx(gap)
    same = quality.judge_answers(served.answers, samples, asked, champion=served)
    assert same.outcome is Outcome.PASSED


def test_a_number_that_depends_on_its_company_is_refused(samples):
    leaning = slope_target(WEIGHT, lambda said: said + 0.01 * said.mean())
    assert outcomes(quality.judge(leaning, samples, good()))[COMPANY] is Outcome.FAILED
    alone = quality.judge(slope_target(WEIGHT), samples, good())
    assert alone.outcome is Outcome.PASSED and alone.figures[COMPANY] == 0


def test_several_numbers_for_a_sample_are_no_regressions(samples):
    target = slope_target(WEIGHT, lambda said: torch.stack([said, said], dim=1))
    with pytest.raises(GateError, match=r"shape \(200, 2\).*expected one number for each"):
        quality.ask(target, samples)


def test_the_errors_of_groups_are_compared_as_aif360_does(samples):
    import pandas as pd
    from aif360.datasets import RegressionDataset
    from aif360.metrics import RegressionDatasetMetric
    from aif360.sklearn.metrics import difference, ratio

    truth = samples.targets.astype(np.float64)
    top = samples.groups["sex"] == "m"
    said = truth + np.random.default_rng(4).normal(size=len(truth)) * np.where(top, 0.5, 1.0)
    found = even.measures(truth, said, top, seed=0)
    error = metrics.mean_absolute_error
    asked = {"y_true": truth, "y_pred": said, "prot_attr": top.astype(int), "priv_group": 1}
    assert found["mean_absolute_error_difference"].value == pytest.approx(
        difference(error, **asked)
    )
    assert found["mean_absolute_error_ratio"].value == pytest.approx(ratio(error, **asked))
    squared = ratio(metrics.mean_squared_error, **asked)
    assert found["mean_squared_error_ratio"].value == pytest.approx(squared)
    order = np.argsort(-said, kind="stable")
    ranked = RegressionDataset(
        pd.DataFrame({"group": top[order].astype(float), "score": said[order]}),
        dep_var_name="score",
        protected_attribute_names=["group"],
        privileged_classes=[[1.0]],
    )
    theirs, _ = RegressionDatasetMetric(
        ranked, unprivileged_groups=[{"group": 0.0}], privileged_groups=[{"group": 1.0}]
    ).infeasible_index(target_prop={0.0: 1 - top.mean(), 1.0: top.mean()})
    assert found["infeasible_index"].value == theirs


def test_the_fairness_gate_compares_numbers_and_asks_for_no_favorable_class(samples):
    policy = Fairness(
        protected="sex",
        privileged=["m"],
        checks=[required("mean_residual_difference", -0.5, 0.5)],
    )
    assert fairness.judge(slope_target(WEIGHT), samples, policy).outcome is Outcome.PASSED
    bent = slope_target(WEIGHT, lambda said: said + 3)
    shifted = replace(
        samples,
        targets=samples.targets + np.where(samples.groups["sex"] == "f", 0, 3).astype(np.float32),
    )
    evidence = fairness.judge(bent, shifted, policy)
    assert evidence.outcome is Outcome.FAILED
    assert evidence.checks[0].measured == pytest.approx(3, abs=0.2)
    with pytest.raises(PolicyError, match="numbers have none"):
        fairness.judge(bent, samples, policy.model_copy(update={"favorable": "yes"}))
    nothing = slope_target(WEIGHT, lambda said: said * torch.nan)
    assert fairness.judge(nothing, samples, policy).outcome is not Outcome.PASSED


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_a_linear_regression_stands_exactly_where_its_error_and_slope_leave_room(
    samples, norm, dual
):
    epsilon = {"linf": 0.04, "l2": 0.1}[norm]
    evidence = robustness.judge(
        slope_target(WEIGHT), samples, robust(epsilon, norm=norm, sequential=False)
    )
    error = np.abs(answered(slope_target(WEIGHT), samples) - samples.targets)
    worst = error + epsilon * np.linalg.norm(WEIGHT, ord=dual)
    assert evidence.figures["robust_within_tolerance"] == pytest.approx((worst <= 0.6).mean())
    assert evidence.figures["clean"] == pytest.approx((error <= 0.6).mean())
    assert evidence.figures["gradient_masking"] == 0
    told = dict(evidence.asked)["tolerance"]
    assert told.startswith("0.6; the best constant number is within it for")


def test_the_largest_error_within_the_budget_is_found_and_not_only_one_beyond_the_tolerance(
    samples,
):
    checks = (("robust_mean_absolute_error", None, 0.7),)
    evidence = robustness.judge(slope_target(WEIGHT), samples, robust(0.04, checks=checks))
    error = np.abs(answered(slope_target(WEIGHT), samples) - samples.targets)
    worst = error + 0.04 * np.abs(WEIGHT).sum()
    assert evidence.figures["robust_mean_absolute_error"] == pytest.approx(worst.mean(), rel=1e-3)


@pytest.mark.parametrize("name", [n for n, a in attacks.ATTACKS.items() if "regression" in a.tasks])
def test_each_attack_on_numbers_breaks_what_can_be_broken_of_rows_and_pictures(name):
    attack = attacks.ATTACKS[name]
    for shape in (None, (1, 2, 3)):
        given = slope_samples(WEIGHT, count=8, noise=0.3, shape=shape)
        target = slope_target(WEIGHT)
        norm = attack.norms[0]
        epsilon = 6 if norm == "l0" else 0.3
        asked, aimed = band.of(target, given, 0.8)
        attacked = attacks.run(
            name, Victim.of(asked, aimed), aimed, Budget(norm=norm, epsilon=epsilon)
        )
        assert (attacked[:, -1] == aimed.inputs[:, -1]).all()
        off = target.logits(band.plain(attacked))[:, 0] - given.targets
        assert (np.abs(off) > 0.8).mean() >= attack.breaks


@pytest.mark.parametrize(
    "change",
    [
        lambda said: (said * 4).round() / 4,
        lambda said: said + (said.detach() - said),  # a gradient of exactly zero
    ],
)
def test_numbers_whose_gradient_vanishes_do_not_pass_for_robust(samples, change):
    evidence = robustness.judge(slope_target(WEIGHT, change), samples, robust())
    assert outcomes(evidence)["gradient_masking"] is Outcome.FAILED


def test_a_tolerance_that_one_number_meets_asks_for_nothing(samples):
    with pytest.raises(PolicyError, match="one number for all samples would pass"):
        robustness.judge(slope_target(WEIGHT), samples, robust(tolerance=5.0))


def test_attacks_and_figures_of_classes_alone_are_refused_by_name(samples):
    with pytest.raises(ValueError, match=r"got attacks \['newtonfool'\] for regression"):
        robustness.judge(
            slope_target(WEIGHT), samples, robust(norm="l2", attacks=["newtonfool", "square"])
        )
    with pytest.raises(ValueError, match=r"got figures \['clever_untargeted'\] for regression"):
        robustness.judge(slope_target(WEIGHT), samples, robust(figures=["clever_untargeted"]))


def test_a_tolerance_is_asked_of_numbers_and_of_nothing_else():
    numbers, classes = Known(classes=(), task="regression"), Known(classes=("a", "b"))
    assert not list(robust().misnamed(numbers))
    ((path, told),) = robust().misnamed(classes)
    assert path == ("tolerance",) and "expected none" in told
    without = robust().model_copy(update={"tolerance": None})
    ((path, told),) = without.misnamed(numbers)
    assert path == ("tolerance",) and "in the units of the targets" in told
    searched = Integrity(poisoning={})
    assert [path for path, _ in searched.misnamed(numbers)] == [("poisoning",)]


def test_a_number_is_attributed_to_what_moves_it_from_the_average(samples):
    weight = np.array([3.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    plain = slope_samples(weight)
    policy = Explainability(checks=[required("faithfulness", 0.1)])
    evidence = explainability.judge(slope_target(weight), plain, policy)
    assert evidence.outcome is Outcome.PASSED
    (shares,) = [one for one in evidence.tables if "by feature" in one.title]
    assert shares.rows[0][:2] == ("feature 0", pytest.approx(1.0, abs=1e-3))
    told = explainability.of_samples(slope_target(weight), plain, 8, 0)
    numbers = answered(slope_target(weight), plain)[told.rows]
    assert told.told[:, 0] == pytest.approx(numbers)
    certain = told.certainty(told.inputs, told.numbers), told.certainty(told.baseline, told.numbers)
    assert certain[0] == pytest.approx(np.ones(8)) and certain[1] == pytest.approx(np.zeros(8))


def test_an_organisations_own_table_is_read_as_the_models_numbers(tmp_path):
    features = list("abcdef")
    own = slope_samples(WEIGHT, count=40)
    rows = [
        ",".join(map(str, [*row, one])) for row, one in zip(own.inputs, own.targets, strict=True)
    ]
    path = tmp_path / "own.csv"
    path.write_text("\n".join([",".join([*features, "label"]), *rows]))
    described = Description(
        task="regression",
        classes=(),
        inputs={"shape": [6], "low": 0.0, "high": 1.0, "features": features[::-1]},
        protected={},
        seed=0,
    )
    found = evaluation.read(path, described)
    assert found.task == "regression" and found.targets == pytest.approx(own.targets)
    assert found.inputs[:, ::-1] == pytest.approx(own.inputs)
    path.write_text(path.read_text().replace(str(own.targets[3]), "many"))
    with pytest.raises(PolicyError, match=r"own.csv:5: got 'many' as the label, expected a finite"):
        evaluation.read(path, described)


def test_a_feature_that_is_the_target_under_another_name_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.ones(2, np.float32)}, tmp_path / "model.safetensors")
    splits = {n: slope_samples(WEIGHT, seed=i) for i, n in enumerate(("train", "test"))}
    expected = {"model.safetensors": "sha256:" + "0" * 64}
    setting = Setting(features=tuple("abcdef"))

    def found(splits):
        subject = integrity.Subject(
            model=tmp_path,
            splits=splits,
            expected=expected,
            actual=expected,
            features=tuple("abcdef"),
        )
        return integrity.judge(subject, Integrity(), setting)

    sound = found(splits)
    assert sound.outcome is Outcome.PASSED, [c.reason for c in sound.checks]
    assert "label noise is estimated for classifiers only" in sound.notes

    def leaking(one: Samples) -> Samples:
        inputs = one.inputs.copy()
        inputs[:, 3] = (one.targets - 5) / 10
        return replace(one, inputs=inputs)

    leaked = found({name: leaking(one) for name, one in splits.items()})
    assert outcomes(leaked)["single_feature_r2"] is Outcome.FAILED
    (check,) = [one for one in leaked.checks if one.name == "single_feature_r2"]
    assert "feature d" in check.reason
    copied = {**splits, "test": splits["train"]}
    assert outcomes(found(copied))["leaked_test_samples"] is Outcome.FAILED
    wild = splits["train"].targets.copy()
    wild[3] = np.inf
    broken = found({**splits, "train": replace(splits["train"], targets=wild)})
    assert outcomes(broken)["schema_violations"] is Outcome.FAILED
