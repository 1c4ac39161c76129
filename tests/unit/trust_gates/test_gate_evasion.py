"""The gate tells a detector that works from one that guesses, and attacks it knowingly."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_models import linear_samples, linear_target, required

from trust_gates.robustness import evasion, judge
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import Attacked
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.target import Watch
from trust_gates.verdict import Outcome

WEIGHT = np.ones(8) * 4
SAMPLES = linear_samples(WEIGHT, count=120)
EPSILON = 0.08


def off_grid(inputs):
    """Suspicious where a feature is far from the middle, as attacked ones are."""
    return (inputs - 0.5).abs().amax(dim=1) - 0.1


def attacked():
    """Every sample moved across the line by epsilon in each feature, as the best attack does."""
    sign = np.where(SAMPLES.labels[:, None] == 1, -1, 1)
    inputs = (SAMPLES.inputs + sign * EPSILON).astype(np.float32)
    clean = np.ones(len(SAMPLES), dtype=np.int64)
    broken = (((inputs - 0.5) @ WEIGHT > 0) != SAMPLES.labels).astype(np.int64)
    return Attacked(inputs=inputs, total=clean, clean=clean, after={"pgd": 1 - broken})


def look(suspicion, threshold=0.0, worst=None):
    target = replace(linear_target(WEIGHT), watch=Watch(suspicion, threshold))
    return evasion.look(
        Victim.of(target, SAMPLES),
        SAMPLES,
        worst or attacked(),
        Budget(norm="linf", epsilon=EPSILON),
        0.95,
    )


def test_a_model_without_a_detector_has_nothing_to_show():
    victim = Victim.of(linear_target(WEIGHT), SAMPLES)
    assert evasion.look(victim, SAMPLES, attacked(), Budget(norm="linf", epsilon=1.0), 0.95) is None


def test_a_detector_that_works_is_measured_as_such():
    seen = look(off_grid)
    values = {name: measure.value for name, measure in seen.measures.items()}
    inputs = SAMPLES.inputs
    assert values["evasion_false_positive_rate"] == (np.abs(inputs - 0.5).max(axis=1) > 0.1).mean()
    assert values["evasion_auc"] > 0.9
    assert values["evasion_recall"] > 0.8
    interval = seen.measures["evasion_auc"].interval(0.95)
    assert 0.5 < interval.low <= values["evasion_auc"] <= interval.high
    assert seen.pictures["robustness-evasion"].startswith(b"\x89PNG")
    assert [row[0] for row in seen.tables[0].rows][:4] == list(seen.measures)


def test_the_area_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    worst = attacked()
    broken = worst.held < worst.clean
    both = np.concatenate([SAMPLES.inputs, worst.inputs[broken]])
    truth = np.repeat([0, 1], [len(SAMPLES), broken.sum()])
    scores = off_grid(torch.from_numpy(both)).numpy()
    assert look(off_grid).measures["evasion_auc"].value == pytest.approx(
        roc_auc_score(truth, scores)
    )


def test_a_detector_that_guesses_is_worth_a_half():
    def guess(inputs):
        return torch.sin(inputs.sum(dim=1) * 1e4)

    seen = look(guess)
    interval = seen.measures["evasion_auc"].interval(0.95)
    assert interval.low < 0.5 < interval.high


def test_who_knows_the_detector_gets_past_one_that_a_gradient_can_follow():
    """It looks at one feature alone, which the attack can leave as it was."""
    seen = look(lambda inputs: (inputs[:, 7] - 0.5).abs() - 0.1)
    assert seen.measures["evasion_recall"].value > 0.3
    assert seen.measures["evasion_adaptive_recall"].value < 0.1


def test_nobody_gets_past_a_detector_that_flags_everything_and_its_false_alarms_tell():
    seen = look(lambda inputs: inputs.sum(dim=1) * 0 + 1)
    assert seen.measures["evasion_adaptive_recall"].value == 1
    assert seen.measures["evasion_false_positive_rate"].value == 1
    assert seen.measures["evasion_auc"].value == 0.5


def test_what_is_not_a_number_is_flagged():
    seen = look(lambda inputs: inputs.sum(dim=1) * math.nan)
    assert seen.measures["evasion_false_positive_rate"].value == 1


def test_without_a_broken_sample_there_is_no_recall():
    worst = attacked()
    seen = look(off_grid, worst=replace(worst, after={"pgd": worst.clean}))
    for name in ("evasion_auc", "evasion_recall", "evasion_adaptive_recall"):
        assert math.isnan(seen.measures[name].value)
        assert "no attack broke a sample" in seen.measures[name].missing
    assert not seen.pictures


def test_the_gate_decides_on_a_detectors_figures():
    target = replace(linear_target(WEIGHT), watch=Watch(off_grid, 0.0))
    requirements = [
        required("evasion_auc", low=0.6),
        required("evasion_adaptive_recall", low=0.9),
    ]
    evidence = judge(target, SAMPLES, Robustness(checks=requirements, epsilon=EPSILON))
    outcomes = {check.name: check.outcome for check in evidence.checks}
    assert outcomes["evasion_auc"] is Outcome.PASSED
    assert outcomes["evasion_adaptive_recall"] is Outcome.FAILED
    assert "robustness-evasion" in evidence.pictures
    assert evidence.captions["robustness-evasion"]
    assert any("evasion detector" in table.title for table in evidence.tables)
