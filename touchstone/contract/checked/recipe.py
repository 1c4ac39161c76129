"""Do tune, train and remedy of touchstone.yaml fit the code and the data?"""

from __future__ import annotations

from touchstone.contract import remedy
from touchstone.contract.checked.place import Found, under
from touchstone.contract.model_repo import Spec
from touchstone.contract.recipe import Parameter, Remedy, Train, Tune
from touchstone.contract.seen import Defended, Seen
from touchstone.training.estimator.fits import misfits as of_estimators
from touchstone.training.metrics import ERRORS, FIGURES
from touchstone.training.mitigation import OF_NUMBERS, Mitigation
from touchstone.training.spec import Description
from trust_gates.inputs.description import DTYPES
from trust_gates.named import unknown
from trust_gates.wording import alike

_OF_TRAINING = ("learning_rate", "weight_decay")
"""Hyperparameters that training itself reads."""

_LOSS = "loss"
"""What each epoch of a trial prints besides its figures."""


def misfits(tune: Tune | None, train: Train | None, whole: Spec | None, known: Seen) -> Found:
    """What is wrong with those that fit themselves, by the field of spec that says so."""
    if tune is not None:
        yield from under(("tune",), _of_search(tune, known))
    if train is not None:
        yield from under(("train",), _of_training(train))
        if known.estimator:
            yield from under(("train",), _of_estimator(train))
    if known.estimator and whole is not None and whole.remedy is not None:
        yield from under(("remedy",), _of_remedy(whole.remedy))
    if whole is not None and known.description is not None:
        yield from _of_methods(whole, known.description)


def tried(tune: Tune | None) -> list[dict[str, float | int | str]]:
    """The two ends of the search space: a network must be buildable with both."""
    if tune is None:
        return []
    return [{one.name: _end(one, last) for one in tune.parameters} for last in (False, True)]


def _end(parameter: Parameter, last: bool) -> float | int | str:
    if parameter.min is None or parameter.max is None:
        return parameter.values[-1 if last else 0]
    value = parameter.max if last else parameter.min
    return int(value) if parameter.type == "int" else value


def defended(spec: Spec | None) -> list[Defended]:
    """The defences of the training and those of a remedy, by where they are declared."""
    found: list[Defended] = []
    if spec is not None and spec.train.defences:
        found.append((("spec", "train", "defences"), spec.defences))
    if spec is not None and spec.remedy is not None and spec.remedy.robustness is not None:
        tried = remedy.remedied(spec, ["robustness"]).defences
        found.append((("spec", "remedy", "robustness"), tried))
    return found


def _of_search(tune: Tune, known: Seen) -> Found:
    """The objective by what trials print, the parameters by what `build` looks at."""
    names = [parameter.name for parameter in tune.parameters]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("parameters", index, "name"), f"got {name!r} twice, expected each name once"
    for index, one in enumerate(tune.parameters):
        if one.type == "int" and any(
            end != int(end) for end in (one.min, one.max) if end is not None
        ):
            yield ("parameters", index), f"got a fraction as an end of the int {one.name!r}"
        if tune.algorithm == "grid" and not one.values and one.type == "double":
            yield (
                ("parameters", index),
                f"got the algorithm grid for the double {one.name!r}, expected values to list:"
                " type: discrete, or another algorithm",
            )
    if known.task:
        metric, figures_ = tune.objective.metric, FIGURES[known.task]
        printed = [f"val_{name}" for name in figures_]
        if metric not in (*printed, _LOSS):
            yield (
                ("objective", "metric"),
                f"got {metric!r}, expected one of {', '.join(printed)}, {_LOSS}: what a trial of"
                f" a {known.task} model prints{alike(metric, printed)}",
            )
        elif (smaller := metric.removeprefix("val_") in {*ERRORS, _LOSS}) == (
            tune.objective.goal == "maximize"
        ):
            better = "minimize" if smaller else "maximize"
            yield (
                ("objective",),
                f"got the goal {tune.objective.goal} for {metric}, expected {better}: what is"
                " sought would be the worst model",
            )
    if known.parameters is not None:
        read = [*_OF_TRAINING, *sorted(known.parameters)]
        for index, name in enumerate(names):
            if name not in read:
                yield (
                    ("parameters", index, "name"),
                    f"got {name!r}, which nothing reads, expected one of {', '.join(read)}: what"
                    f" training and build look at{alike(name, read)}",
                )


def _of_training(train: Train) -> Found:
    if train.batch_size % train.workers:
        yield (
            ("batchSize",),
            f"got {train.batch_size} for {train.workers} workers, expected a multiple of their"
            " number: each takes as many samples of a batch",
        )


def _of_estimator(train: Train) -> Found:
    yield from of_estimators(
        mitigation=train.mitigation,
        defences=train.defences,
        evasion=train.evasion_detector,
        workers=train.workers,
        gpus=train.gpus_per_worker,
    )


def _of_remedy(remedy: Remedy) -> Found:
    """As of training, of what a refused estimator would be fitted again with."""
    defences = () if remedy.robustness is None else (remedy.robustness,)
    for path, problem in of_estimators(mitigation=remedy.fairness, defences=defences):
        yield ("fairness" if path[0] == "mitigation" else "robustness",), problem


def _of_methods(spec: Spec, description: Description) -> Found:
    """Mitigations and the detector of the training, and of a remedy, by what the data are."""
    if spec.train.evasion_detector is not None and description.dtype != DTYPES[0]:
        yield (
            ("train", "evasionDetector"),
            "got a detector of adversarial inputs for tokens, expected inputs of numbers",
        )
    if spec.mitigation is not None:
        yield from under(("train", "mitigation"), _of_mitigation(spec.mitigation, description))
    remedied = remedy.remedied(spec, ["fairness"]).mitigation
    if remedied is not None and spec.remedy is not None and spec.remedy.fairness is not None:
        yield from under(("remedy", "fairness"), _of_mitigation(remedied, description))


def _of_mitigation(method: Mitigation, description: Description) -> Found:
    if description.task != "classification":
        yield (
            (),
            f"got {method.method} for a {description.task} model, expected it for a classifier",
        )
        return
    if method.method in OF_NUMBERS and description.dtype != DTYPES[0]:
        yield (), f"got {method.method} for inputs that are tokens, expected inputs of numbers"
    if method.stage == "postprocessing" and len(description.classes) != 2:
        classes = len(description.classes)
        yield (), f"got {method.method} for {classes} classes, expected it for two"
    known, name = description.known, method.protected or ""
    wrong = list(unknown("the protected attribute", [name], sorted(known.groups)))
    if not wrong:
        what = f"the privileged value of {name}"
        wrong += unknown(what, method.privileged, known.groups[name])
    if method.favorable is not None:
        wrong += unknown("the favorable class", [method.favorable], known.classes)
    yield from (((), problem) for problem in wrong)
