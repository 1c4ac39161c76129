"""Hyperparameter search over the space of touchstone.yaml: Katib's algorithms, run by Optuna.

The sequence of trials need not equal Katib's, only its meaning. Trials are asked for and told in
waves of `parallel_trials`, in order, so that one seed always gives one sequence.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from touchstone.contract.recipe import Parameter, Tune
from touchstone.errors import ManifestError, TouchstoneError

if TYPE_CHECKING:
    import optuna

Value = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one trial came to."""

    value: float | None
    """The objective; None or NaN when the trial failed."""

    reason: str = ""
    """Why there is no value."""

    figures: Mapping[str, float] = field(default_factory=dict)
    """All that the trial measured, the objective among it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One tried set of parameters."""

    number: int
    parameters: Mapping[str, Value]
    value: float | None
    seconds: float
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON document; a failed trial's value is null. Without times: equal runs are equal."""
        return {
            "number": self.number,
            "parameters": dict(self.parameters),
            "value": self.value,
            "reason": self.reason,
            "figures": dict(self.figures),
        }


def search(
    tune: Tune,
    run: Callable[[int, Mapping[str, Value]], Outcome],
    *,
    seed: int,
    report: Callable[[Trial, Trial | None, int], None] = lambda trial, best, total: None,
) -> tuple[Trial, list[Trial]]:
    """Run `max_trials` trials, `parallel_trials` at once; the best one, and all.

    Args:
        run: makes one trial of a number (from 0) and parameters; called from several threads.
        report: called after each trial, in order, with the best one so far (None where none gave
            a value) and how many there will be.

    Raises:
        ManifestError: the algorithm cannot search this space.
        TouchstoneError: no trial gave a value.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize" if tune.objective.goal == "maximize" else "minimize",
        sampler=_sampler(tune, seed),
    )
    total = tune.max_trials
    if tune.algorithm == "grid":
        # A grid smaller than max_trials ends earlier: the same point twice says nothing new.
        points = _grid(tune.parameters, seed)[:total]
        total = len(points)
        for point in points:
            study.enqueue_trial(point)
    trials: list[Trial] = []
    with ThreadPoolExecutor(max_workers=tune.parallel_trials) as pool:
        while len(trials) < total:
            wave = [study.ask() for _ in range(min(tune.parallel_trials, total - len(trials)))]
            asked = [{p.name: _suggest(trial, p) for p in tune.parameters} for trial in wave]
            done = pool.map(
                lambda pair: _timed(run, *pair),
                [(trial.number, values) for trial, values in zip(wave, asked, strict=True)],
            )
            for suggestion, trial in zip(wave, done, strict=True):
                if trial.value is None:
                    study.tell(suggestion, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(suggestion, trial.value)
                trials.append(trial)
                report(trial, _best(tune, trials), total)
    best = _best(tune, trials)
    if best is None:
        raise TouchstoneError(
            f"none of {len(trials)} trials gave {tune.objective.metric}: {trials[-1].reason}",
            hint=""
            if trials[-1].reason.startswith("exit code")
            else "a trial prints name=value lines; is spec.tune.objective.metric one of them?",
        )
    return best, trials


def _timed(
    run: Callable[[int, Mapping[str, Value]], Outcome], number: int, values: Mapping[str, Value]
) -> Trial:
    start = time.monotonic()
    outcome = run(number, values)
    value = outcome.value if outcome.value is not None and math.isfinite(outcome.value) else None
    return Trial(
        number=number,
        parameters=values,
        value=value,
        seconds=time.monotonic() - start,
        reason=outcome.reason or ("" if value is not None else "the metric is not a number"),
        figures=outcome.figures,
    )


def _best(tune: Tune, trials: Sequence[Trial]) -> Trial | None:
    valued = [(trial.value, trial) for trial in trials if trial.value is not None]
    choose = max if tune.objective.goal == "maximize" else min
    return choose(valued, key=lambda pair: pair[0])[1] if valued else None


def _grid(parameters: Sequence[Parameter], seed: int) -> list[dict[str, Value]]:
    """Every point once, in seeded order: the first few then lie all over the space."""
    axes = [_grid_values(parameter) for parameter in parameters]
    names = [parameter.name for parameter in parameters]
    points = [dict(zip(names, point, strict=True)) for point in itertools.product(*axes)]
    random.Random(seed).shuffle(points)  # noqa: S311 (an order, not a secret)
    return points


def _sampler(tune: Tune, seed: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    match tune.algorithm:
        case "random" | "grid":  # a grid's points are enqueued: nothing is left to sample
            return samplers.RandomSampler(seed=seed)
        case "tpe" | "multivariate-tpe":
            # Optuna 5 is multivariate unless told otherwise; Katib's plain tpe is not.
            return samplers.TPESampler(seed=seed, multivariate=tune.algorithm != "tpe")
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "sobol":
            return samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)


def _grid_values(parameter: Parameter) -> list[Value]:
    if parameter.values:
        return list(parameter.values)
    if parameter.type == "int" and parameter.min is not None and parameter.max is not None:
        return list(range(int(parameter.min), int(parameter.max) + 1))
    raise ManifestError(
        f"spec.tune.algorithm grid cannot list the {parameter.type} parameter {parameter.name!r}",
        hint="give it type: discrete with values, or choose another algorithm",
    )


def _suggest(trial: optuna.trial.Trial, parameter: Parameter) -> Value:
    low, high = parameter.min, parameter.max
    if low is None or high is None:
        return cast("Value", trial.suggest_categorical(parameter.name, list(parameter.values)))
    if parameter.type == "int":
        return int(trial.suggest_int(parameter.name, int(low), int(high), log=parameter.log))
    return float(trial.suggest_float(parameter.name, low, high, log=parameter.log))
