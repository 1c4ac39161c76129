"""The search is seeded, covers its space, runs trials at once and survives failing ones."""

import threading

import pytest

from touchstone.contract.recipe import Tune
from touchstone.driver import local
from touchstone.driver.study import Outcome, search
from touchstone.errors import ManifestError, TouchstoneError

SPACE = [
    {"name": "rate", "type": "double", "min": 0.001, "max": 1, "log": True},
    {"name": "width", "type": "int", "min": 1, "max": 8},
    {"name": "kind", "type": "categorical", "values": ["a", "b"]},
]


def tune(algorithm="tpe", *, parameters=None, trials=6, parallel=2, goal="maximize"):
    return Tune.model_validate(
        {
            "algorithm": algorithm,
            "maxTrials": trials,
            "parallelTrials": parallel,
            "objective": {"metric": "score", "goal": goal},
            "parameters": SPACE if parameters is None else parameters,
        }
    )


def width(number, parameters):
    return Outcome(value=float(parameters["width"]))


@pytest.mark.parametrize("algorithm", ["random", "tpe", "multivariate-tpe", "cmaes", "sobol"])
def test_a_seed_gives_one_sequence_inside_the_space(algorithm):
    first = search(tune(algorithm), width, seed=5)[1]
    again = search(tune(algorithm), width, seed=5)[1]
    assert [t.parameters for t in first] == [t.parameters for t in again]
    for trial in first:
        assert 0.001 <= trial.parameters["rate"] <= 1
        assert trial.parameters["width"] in range(1, 9)
        assert trial.parameters["kind"] in ("a", "b")


def test_a_grid_visits_every_point_once():
    space = [SPACE[2], {"name": "width", "type": "discrete", "values": [1, 2.5, 4]}]
    best, trials = search(tune("grid", parameters=space, trials=50), width, seed=1)
    points = {(t.parameters["kind"], t.parameters["width"]) for t in trials}
    assert len(trials) == len(points) == 6
    assert best.parameters["width"] == 4


def test_a_grid_over_a_continuous_range_is_refused():
    with pytest.raises(ManifestError, match="double parameter 'rate'"):
        search(tune("grid"), width, seed=0)


@pytest.mark.parametrize(("goal", "choose"), [("maximize", max), ("minimize", min)])
def test_the_best_follows_the_goal(goal, choose):
    best, trials = search(tune(goal=goal), width, seed=2)
    assert best.value == choose(trial.value for trial in trials)


def test_parallel_trials_really_run_at_once():
    together = threading.Barrier(2, timeout=5)

    def meet(number, parameters):
        together.wait()
        return Outcome(value=1.0)

    assert len(search(tune(trials=4), meet, seed=0)[1]) == 4


def test_failed_and_nan_trials_are_recorded_and_never_best():
    def some(number, parameters):
        return {0: Outcome(value=None, reason="exit code 1"), 1: Outcome(value=float("nan"))}.get(
            number, Outcome(value=0.5)
        )

    best, trials = search(tune(trials=3), some, seed=0)
    assert best.number == 2
    assert [trial.value for trial in trials] == [None, None, 0.5]
    assert trials[0].to_json()["reason"] == "exit code 1"


def test_a_search_without_any_metric_has_failed():
    with pytest.raises(TouchstoneError, match="none of 6 trials gave score: it printed nothing"):
        search(tune(), lambda *_: Outcome(value=None, reason="it printed nothing"), seed=0)


def test_the_last_printed_value_of_the_metric_counts():
    output = "score=0.1\nother = 5\nscore = 2.5e-1\n"
    assert local.metric(output, "score") == 0.25
    assert local.metric(output, "absent") is None


def test_all_that_was_measured_on_the_validation_split_is_kept_and_no_more_names_than_fit():
    output = "loss=3\nval_accuracy=0.1\nval_f1=-\nval_x=e5\nval_y=1e999\nval_accuracy=0.25\n"
    assert local.figures(output) == {"val_accuracy": 0.25}
    many = "".join(f"val_{number}=1\n" for number in range(1000))
    assert len(local.figures(many)) == 200
    _, trials = search(tune(trials=1), lambda *_: Outcome(value=1.0, figures={"val_a": 2}), seed=0)
    assert trials[0].to_json()["figures"] == {"val_a": 2}


def test_each_trial_is_reported_with_the_best_so_far_and_how_many_there_will_be():
    told = []
    values = iter([None, 0.2, 0.5, 0.3])

    def some(number, parameters):
        return Outcome(value=next(values))

    def report(trial, best, total):
        told.append((trial.number, best and best.value, total))

    search(tune(trials=4, parallel=1), some, seed=0, report=report)
    assert told == [(0, None, 4), (1, 0.2, 4), (2, 0.5, 4), (3, 0.5, 4)]
