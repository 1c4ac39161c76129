"""Each mitigation keeps the promise of its paper, on a task whose bias is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mitigated import Hiring, against, hiring

from touchstone.training.dataset import Dataset
from touchstone.training.mitigation import METHODS
from touchstone.training.mitigation.apply import favorable_of, predictor, source_of, train_mitigated
from touchstone.training.mitigation.inprocessing.prejudice_remover import prejudice
from touchstone.training.mitigation.method import Cases
from touchstone.training.mitigation.postprocessing import (
    calibrated_equalized_odds,
    equalized_odds,
    reject_option,
)
from touchstone.training.mitigation.preprocessing import (
    disparate_impact_remover,
    learning_fair_representations,
    optimized_preprocessing,
    reweighing,
)
from touchstone.training.mitigation.weighted import Weighted
from touchstone.training.spec import Batch
from touchstone.training.trainer import TrainConfig

GAP = "statistical_parity_difference"
ALL = frozenset(METHODS)


def cases(count=1000, **changes):
    arrays = hiring(count=count).splits["train"]
    given = {
        "inputs": arrays["inputs"],
        "labels": arrays["labels"],
        "group": arrays["protected_sex"],
        "privileged": arrays["protected_sex"] == 1,
        "favorable": 1,
        "low": 0.0,
        "high": 1.0,
        "feature": 3,
    }
    return Cases(**given | changes)


def trained(method, data=None, epochs=10, **options):
    torch.set_num_threads(1)
    config = TrainConfig(
        epochs=epochs,
        batch_size=64,
        parameters={"learning_rate": 0.02},
        mitigation=against(method, **options),
    )
    return train_mitigated(Hiring(), data or hiring(), config)


@pytest.fixture(scope="module")
def plain():
    """Scores, truth and group of an unmitigated model on the validation split."""
    done = trained("reject_option", bound=1.0)
    arrays = hiring().splits["validation"]
    scores = predictor(Hiring(), done.module)(arrays["inputs"])[:, 1]
    return scores, arrays["labels"] == 1, arrays["protected_sex"] == 1


def test_the_task_is_unfair_until_something_is_done(plain):
    scores, _, man = plain
    assert (scores[~man] > 0.5).mean() - (scores[man] > 0.5).mean() < -0.4


@pytest.mark.parametrize("method", sorted(ALL - {"calibrated_equalized_odds"}))
def test_every_method_narrows_the_gap_it_is_for_and_reports_before_and_after(method):
    options = {"reject_option": {"bound": 0.1}}.get(method, {})
    figures = trained(method, **options).figures
    odds = method in ("equalized_odds", "reweighing")
    figure = "average_odds_difference" if odds else GAP
    assert abs(figures[f"val_{figure}"]) < abs(figures[f"before_{figure}"]) / 2
    assert figures["val_accuracy"] > 0.65


def test_reweighing_makes_group_and_label_independent():
    given = cases()
    weights = reweighing.prepare(given, against("reweighing"), 0).weights
    rates = [
        np.average(given.truth[side], weights=weights[side])
        for side in (given.privileged, ~given.privileged)
    ]
    assert rates[0] == pytest.approx(rates[1], abs=1e-6)
    assert weights.mean() == pytest.approx(1, abs=1e-6)


def test_the_weighted_loss_is_the_weighted_mean_of_single_losses():
    spec, generator = Hiring(), torch.Generator().manual_seed(0)
    module = spec.build({})
    batch = Batch(
        inputs=torch.rand(20, 4, generator=generator),
        labels=torch.randint(2, (20,), generator=generator),
        weights=torch.tensor([0.5, 1.0, 2.0, 1.5] * 5),
    )
    single = torch.nn.functional.cross_entropy(module(batch.inputs), batch.labels, reduction="none")
    expected = (single * batch.weights).mean()
    assert torch.allclose(Weighted(spec).loss(module, batch), expected)


def test_full_repair_leaves_equal_quantiles_and_keeps_ranks_within_groups():
    given = cases(feature=None)
    prepared = disparate_impact_remover.prepare(given, against("disparate_impact_remover"), 0)
    ranks = np.linspace(0.02, 0.98, 25)
    for feature in range(3):
        sides = [
            np.quantile(prepared.inputs[side, feature], ranks)
            for side in (given.privileged, ~given.privileged)
        ]
        assert np.abs(sides[0] - sides[1]).max() < 0.01
        order = np.argsort(given.inputs[given.privileged, feature])
        assert (np.diff(prepared.inputs[given.privileged, feature][order]) >= -1e-6).all()
    spread = np.unique(prepared.inputs[:, 3])
    assert len(spread) == 1  # sex itself is the same for everybody


def test_no_repair_leaves_the_inputs_alone():
    given = cases()
    none = against("disparate_impact_remover", repair_level=0)
    prepared = disparate_impact_remover.prepare(given, none, 0)
    assert np.array_equal(prepared.inputs, given.inputs)


def test_fair_representations_use_prototypes_alike_and_keep_what_predicts():
    given = cases(count=1000)
    method = against("learning_fair_representations")
    repair = learning_fair_representations.prepare(given, method, 0).repair
    moved = repair.apply(given.inputs, given.group)
    man = given.privileged
    apart = np.abs(given.inputs[man].mean(axis=0) - given.inputs[~man].mean(axis=0))
    after = np.abs(moved[man].mean(axis=0) - moved[~man].mean(axis=0))
    assert after.max() < apart.max() / 10
    skill = moved[:, 0]
    assert np.corrcoef(skill, given.truth)[0, 1] > 0.3


@pytest.mark.parametrize("epsilon", [0.02, 0.2])
def test_the_optimized_map_bounds_discrimination_and_distortion(epsilon):
    generator = np.random.default_rng(0)
    states = np.array([[x, y] for x in range(3) for y in range(2)])
    joint = generator.dirichlet(np.ones(12)).reshape(2, 6)
    solved = optimized_preprocessing.solve(states, joint, epsilon=epsilon, distortion=0.6)
    assert abs(solved.gap()) <= epsilon + 1e-6
    moved = (solved.chance * solved.distortion).sum(axis=2)
    assert moved.max() <= 0.6 + 1e-6
    assert np.allclose(solved.chance.sum(axis=2), 1)


def test_without_need_the_optimized_map_changes_nothing():
    states = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    joint = np.tile([0.1, 0.2, 0.1, 0.1], (2, 1))
    solved = optimized_preprocessing.solve(states, joint, epsilon=0.05, distortion=0.5)
    after = np.einsum("ds,dst->t", joint, solved.chance)
    assert np.allclose(after, joint.sum(axis=0), atol=1e-9)


def test_bounds_that_no_map_satisfies_are_an_error():
    states, joint = np.array([[0, 0], [0, 1]]), np.array([[0.5, 0.0], [0.0, 0.5]])
    with pytest.raises(ValueError, match=r"no map keeps .* within 0.01 and distortion within 0.1"):
        optimized_preprocessing.solve(states, joint, epsilon=0.01, distortion=0.1)


def test_the_prejudice_index_is_the_mutual_information():
    privileged = torch.tensor([True] * 50 + [False] * 50)
    assert prejudice(torch.full((100,), 0.3), privileged) == pytest.approx(0, abs=1e-6)
    told = prejudice(privileged.float(), privileged)
    assert told == pytest.approx(np.log(2), abs=1e-4)  # the prediction is the group


def test_after_adversarial_debiasing_a_fresh_adversary_guesses_no_better_than_chance():
    def guessed(module):
        arrays = hiring().splits["test"]
        shares = predictor(Hiring(), module)(arrays["inputs"])[:, 1]
        odds = torch.tensor(np.log(shares / (1 - shares)), dtype=torch.float32)[:, None]
        man = torch.tensor(arrays["protected_sex"], dtype=torch.float32)
        torch.manual_seed(0)
        adversary = torch.nn.Sequential(
            torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
        )
        optimizer = torch.optim.Adam(adversary.parameters(), lr=0.02)
        for _ in range(200):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(adversary(odds)[:, 0], man)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(((adversary(odds)[:, 0] > 0) == (man > 0.5)).float().mean())

    assert guessed(trained("reject_option", bound=1.0).module) > 0.68
    assert guessed(trained("adversarial_debiasing", epochs=20, compare=False).module) < 0.62


@pytest.mark.parametrize("method", ["adversarial_debiasing", "exponentiated_gradient"])
def test_equalized_odds_can_be_asked_of_training(method):
    figures = trained(method, constraint="equalized_odds").figures
    assert abs(figures["val_average_odds_difference"]) < 0.12
    assert abs(figures["before_average_odds_difference"]) > 0.18


def rates(steps, plain, count=8000):
    """True and false positive rate of each group, unprivileged first, with fresh luck."""
    scores, truth, man = plain
    repeat = count * 4 // len(scores)
    scores, truth, man = (np.tile(values, repeat) for values in (scores, truth, man))
    luck = np.random.default_rng(5).random((len(scores), 2))
    favored = steps.apply(scores.astype(float), man, luck) > 0.5
    return [(favored[side & truth].mean(), favored[side & ~truth].mean()) for side in (~man, man)]


def test_equalized_odds_equalizes_both_error_rates_on_what_it_was_fitted_on(plain):
    (tpr, fpr), (other_tpr, other_fpr) = rates(
        equalized_odds.fit(*plain, against("equalized_odds")), plain
    )
    assert tpr == pytest.approx(other_tpr, abs=0.03)
    assert fpr == pytest.approx(other_fpr, abs=0.03)


def test_equalized_odds_costs_no_more_accuracy_than_aif360s(plain):
    import pandas as pd
    from aif360.algorithms.postprocessing import EqOddsPostprocessing
    from aif360.datasets import BinaryLabelDataset

    scores, truth, man = plain
    data = BinaryLabelDataset(
        df=pd.DataFrame({"man": man.astype(float), "label": truth.astype(float)}),
        label_names=["label"],
        protected_attribute_names=["man"],
    )
    said = data.copy(deepcopy=True)
    said.labels = (scores >= 0.5).astype(float).reshape(-1, 1)
    theirs = EqOddsPostprocessing([{"man": 0.0}], [{"man": 1.0}], seed=0).fit_predict(data, said)
    ours = equalized_odds.fit(*plain, against("equalized_odds"))
    luck = np.random.default_rng(1).random((len(scores), 2))
    right = (ours.apply(scores.astype(float), man, luck) > 0.5) == truth
    assert right.mean() >= (theirs.labels[:, 0] == truth).mean() - 0.03


@pytest.mark.parametrize("cost", ["fnr", "fpr", "weighted"])
def test_calibrated_equalized_odds_equalizes_the_cost_and_stays_calibrated(cost):
    generator = np.random.default_rng(0)
    man = generator.random(40_000) < 0.5
    sharp = np.where(man, 0.2, 0.8)  # scores are calibrated, and surer of men
    scores = generator.beta(sharp, sharp)
    truth = generator.random(40_000) < scores
    steps = calibrated_equalized_odds.fit(
        scores, truth, man, against("calibrated_equalized_odds", cost=cost)
    )
    assert steps.unprivileged.mixed == 0 < steps.privileged.mixed < 1  # the better served pay
    after = np.where(
        man & (generator.random(40_000) < steps.privileged.mixed), steps.privileged.base, scores
    )

    def costs(side):
        missed, alarmed = 1 - after[side & truth].mean(), after[side & ~truth].mean()
        return {"fnr": missed, "fpr": alarmed, "weighted": (missed + alarmed) / 2}[cost]

    assert costs(man) == pytest.approx(costs(~man), abs=0.02)
    sure = man & (np.abs(after - 0.8) < 0.1)
    assert truth[sure].mean() == pytest.approx(after[sure].mean(), abs=0.03)


def test_calibrated_equalized_odds_says_when_forgetting_everything_is_not_enough(plain):
    with pytest.raises(ValueError, match="no rule equalizes them; choose another cost"):
        calibrated_equalized_odds.fit(*plain, against("calibrated_equalized_odds", cost="fnr"))


@pytest.mark.parametrize("figure", ["statistical_parity_difference", "average_odds_difference"])
def test_reject_option_meets_its_bound_and_favors_the_unprivileged_where_unsure(plain, figure):
    steps = reject_option.fit(*plain, against("reject_option", figure=figure, bound=0.03))
    assert steps.unprivileged.threshold < steps.privileged.threshold
    (tpr, fpr), (other_tpr, other_fpr) = rates(steps, plain)
    if figure == "average_odds_difference":
        assert abs(tpr - other_tpr + fpr - other_fpr) / 2 <= 0.03 + 1e-9


def test_reject_option_says_when_no_rule_meets_the_bound(plain):
    scores, truth, man = plain
    apart = np.where(man, 0.99999, 0.00001)
    with pytest.raises(ValueError, match="no threshold and margin"):
        reject_option.fit(apart, truth, man, against("reject_option", bound=0.05))


@pytest.mark.parametrize("module", [equalized_odds, calibrated_equalized_odds, reject_option])
def test_a_rule_is_not_fitted_on_a_group_without_favorable_rows(module, plain):
    scores, _, man = plain
    name = module.__name__.rpartition(".")[2]
    with pytest.raises(ValueError, match="no favorable or no unfavorable validation rows"):
        module.fit(scores, man, man, against(name))


@pytest.mark.parametrize(
    "module",
    [disparate_impact_remover, learning_fair_representations, optimized_preprocessing],
)
def test_a_repair_of_images_is_refused(module):
    images = cases(inputs=np.zeros((1000, 1, 4, 4), np.float32), feature=None)
    with pytest.raises(ValueError, match="repairs feature rows"):
        module.prepare(images, against(module.__name__.rpartition(".")[2]), 0)


def described(**changes):
    data = hiring(count=50)
    return Dataset(replace(data.description, **changes), data.splits)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protected": "age"}, "got the protected attribute 'age'"),
        ({"protected": None}, "got the protected attribute ''"),
        ({"privileged": ("boss",)}, "got the privileged value of sex 'boss'"),
        ({"privileged": ()}, "got no privileged values"),
        ({"favorable": "promoted"}, "got the favorable class 'promoted'"),
        ({"favorable": "1"}, "got the favorable class '1'"),
        ({"favorable": None}, "got no favorable class"),
    ],
)
def test_what_the_data_do_not_have_is_refused(changes, said):
    wrong = against("reweighing").model_copy(update=changes)
    data = hiring(count=50)
    with pytest.raises(ValueError, match=said):
        source_of(wrong, data)
        favorable_of(wrong, data.description)


def test_a_detector_is_not_mitigated():
    with pytest.raises(ValueError, match="mitigates classifiers"):
        favorable_of(against("reweighing"), described(task="detection").description)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("rewaying", {}, "got the method 'rewaying', expected one of reweighing"),
        ("reweighing", {"eta": 1}, "got the option 'eta' of reweighing, expected some of none"),
        ("prejudice_remover", {"eta": "much"}, "expected a number"),
        ("adversarial_debiasing", {"constraint": "luck"}, "expected one of demographic_parity"),
    ],
)
def test_unknown_methods_and_options_are_refused(method, options, said):
    with pytest.raises(ValueError, match=said):
        against(method, **options)
