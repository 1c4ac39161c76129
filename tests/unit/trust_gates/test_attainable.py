"""A check that no model can pass is told before any training; what is possible is let be."""

import pytest

from trust_gates.attainable import Sizes, problems
from trust_gates.gates import Gates
from trust_gates.proportions import share, total
from trust_gates.sequential import batches, sequential
from trust_gates.statistics import Requirement, decide, proportion
from trust_gates.verdict import Outcome, Required


def gates(**policies):
    return Gates.model_validate({"confidence": 0.95, **policies})


def accuracy(at_least):
    return {"checks": [{"metric": "accuracy", "atLeast": at_least}]}


def passes(measure, at_least, confidence=0.95):
    (check,) = decide(
        "",
        {"it": measure},
        [Requirement(metric="it", required=Required(low=at_least))],
        confidence=confidence,
    )
    return check.outcome is Outcome.PASSED


@pytest.mark.parametrize("samples", [30, 40, 111, 500, 5000])
@pytest.mark.parametrize("at_least", [0.5, 0.9, 0.95, 0.99, 0.999, 1.0])
def test_a_share_is_attainable_where_a_model_that_is_always_right_passes(samples, at_least):
    found = list(problems(gates(quality=accuracy(at_least)), Sizes(samples=samples)))
    assert bool(found) is not passes(proportion(samples, samples), at_least)
    assert all(path == ("quality", "checks", 0) for path, _ in found)


@pytest.mark.parametrize("samples", [30, 40, 111, 500])
@pytest.mark.parametrize("at_least", [0.8, 0.9, 0.95, 0.99])
def test_a_share_that_is_looked_at_again_and_again_as_well(samples, at_least):
    policy = {"epsilon": 0.1, "samples": samples, "checks": [{"metric": "robust_accuracy"}]}
    policy["checks"][0]["atLeast"] = at_least
    found = list(problems(gates(robustness=policy), Sizes(samples=10_000)))
    looks = [(part.stop, part.stop) for part in batches(samples)]
    assert bool(found) is not passes(sequential(looks, planned=samples), at_least)


def test_what_is_said_to_be_enough_is_enough_and_one_less_is_not():
    ((_, problem),) = problems(gates(quality=accuracy(0.97)), Sizes(samples=50))
    needed = int(problem.rpartition("about ")[2].split()[0])
    assert passes(proportion(needed, needed), 0.97)
    assert not passes(proportion(needed - 1, needed - 1), 0.97)


def fairness(metric, minimum=1, **bound):
    return {
        "protected": "sex",
        "privileged": ["m"],
        "favorable": "yes",
        "minimumGroup": minimum,
        "checks": [{"metric": metric, **bound}],
    }


def sizes(women, men):
    """Of each the samples that are `no`, and `yes`."""
    whole = sum(women) + sum(men)
    return Sizes(samples=whole, groups={"sex": {"f": women, "m": men}}, classes=("no", "yes"))


@pytest.mark.parametrize("within", [(-0.03, 0.05), (-0.08, 0.08), (-0.02, 0.4), (-0.13, 0.13)])
def test_a_gap_is_called_impossible_only_where_no_decisions_of_such_groups_would_show_it(within):
    policy = gates(fairness=fairness("statistical_parity_difference", within=list(within)))
    told = bool(list(problems(policy, sizes((15, 25), (15, 25)))))
    shown = [
        total([share(a / 40, 40.0, 0.95), share(b / 40, 40.0, 0.95)], [1.0, -1.0])
        for a in range(41)
        for b in range(41)
    ]
    possible = any(within[0] <= one.low and one.high <= within[1] for one in shown)
    assert not (told and possible)
    assert told or possible or within == (-0.02, 0.4)  # only the width is certain


def test_a_ratio_is_held_to_the_same():
    tight = gates(fairness=fairness("disparate_impact", within=[0.99, 1.01]))
    wide = gates(fairness=fairness("disparate_impact", within=[0.5, 2]))
    assert list(problems(tight, sizes((25, 25), (25, 25))))
    assert not list(problems(wide, sizes((25, 25), (25, 25))))


def test_a_figure_counts_the_rows_that_it_rests_on():
    policy = gates(fairness=fairness("equal_opportunity_difference", 20, within=[-1, 1]))
    ((path, problem),) = problems(policy, sizes((90, 10), (50, 50)))
    assert path == ("fairness", "checks", 0)
    assert "it rests on 10 unprivileged and 50 privileged test samples" in problem
    parity = gates(fairness=fairness("statistical_parity_difference", 20, within=[-1, 1]))
    assert not list(problems(parity, sizes((90, 10), (50, 50))))


def test_fewer_than_thirty_samples_decide_nothing_whatever_the_figure():
    explained = {"samples": 20, "checks": [{"metric": "stability", "atLeast": 0}]}
    found = dict(
        problems(gates(quality=accuracy(0.1), explainability=explained), Sizes(samples=90))
    )
    assert list(found) == [("explainability", "samples")]
    found = dict(problems(gates(quality=accuracy(0.1)), Sizes(samples=29)))
    assert list(found) == [("quality", "checks")]


def test_a_figure_whose_narrowest_interval_is_not_known_is_let_be():
    policy = {"checks": [{"metric": "balanced_accuracy", "atLeast": 0.999}]}
    assert not list(problems(gates(quality=policy), Sizes(samples=40)))
