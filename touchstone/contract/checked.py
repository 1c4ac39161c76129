"""Can what touchstone.yaml asks be done with the code and data beside it? Every problem at once.

What is known without the code is held against touchstone.yaml alone; what the code and its data
are, a confined look says (`seen`). Nothing is trained.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from touchstone.contract import model_repo, remedy, requirements, seen
from touchstone.contract.model_repo import BUILT_IN, Data, ModelPipeline, Spec, contradictions
from touchstone.contract.recipe import Parameter, Remedy, Train, Tune
from touchstone.contract.seen import REMOTE, Seen
from touchstone.documents.yaml import Document, field_name
from touchstone.errors import PlatformError
from touchstone.training.estimator.fits import misfits
from touchstone.training.metrics import ERRORS, FIGURES
from touchstone.training.mitigation import OF_NUMBERS, Mitigation
from touchstone.training.spec import Description
from touchstone.training.tables import load as tables
from trust_gates import GATES, attainable, glossary, wording
from trust_gates.attainable import Sizes
from trust_gates.explainability.policy import Explainability
from trust_gates.gates import Gates
from trust_gates.inputs.description import DTYPES, FILE
from trust_gates.integrity.policy import Integrity
from trust_gates.named import as_typed, unknown
from trust_gates.policy import GatePolicy
from trust_gates.policy import Path as FieldPath
from trust_gates.quality.policy import GAIN
from trust_gates.reach import Reach
from trust_gates.robustness import attacks, figures
from trust_gates.robustness.asked import GREY, TINY
from trust_gates.robustness.policy import Robustness
from trust_gates.wording import alike

_OF_TRAINING = ("learning_rate", "weight_decay")
"""Hyperparameters that training itself reads."""

_PATIENCE = 120.0
"""Seconds that reading a table may take."""

_ABSENT = re.compile(r"ModuleNotFoundError: No module named '[\w.]+'")
_LOSS = "loss"
"""What each epoch of a trial prints besides its figures."""

Found = Iterator[tuple[FieldPath, str]]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    location: str
    """`file:line:column` in touchstone.yaml, `file:line` in code; empty where it has no place."""

    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


@dataclass(slots=True, kw_only=True)
class Checked:
    """What there is to say of a model repository."""

    problems: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pipeline: ModelPipeline | None = None
    """None where touchstone.yaml does not fit."""

    facts: dict[str, Any] | None = None
    """Of the data, as a verdict has them."""

    written: bool = False
    """Whether the data are in the folder that they were asked for in."""

    file: str = ""
    """What places call touchstone.yaml."""


@dataclass(slots=True, kw_only=True)
class _Parts:
    """The parts of a touchstone.yaml that fit, where not all do."""

    data: Data | None = None
    tune: Tune | None = None
    train: Train | None = None
    gates: dict[str, GatePolicy] = field(default_factory=dict)
    whole: Spec | None = None


def check(
    path: Path,
    *,
    shown: str = "",
    code: Path | None = None,
    uri: str = "",
    show: Sequence[Path] = (),
    packages: Path | None = None,
    refused: Sequence[tuple[str, str]] = (),
    output: Path | None = None,
) -> Checked:
    """Check a model repository, by its folder or its touchstone.yaml.

    Args:
        shown: the folder that places are told in; empty for the repository's own.
        code: the folder that the code is run in; None for the repository's own.
        uri: of the data, in place of spec.data.uri.
        show: folders of data that the code sees.
        packages: the folder of those that requirements.txt asks for; None where they are not here.
        refused: what is wrong with packages that were got, each with the package's name.
        output: an empty folder for the data that were looked at.

    Raises:
        ManifestError: there is no YAML to check.
    """
    folder = path if path.is_dir() else path.parent
    document = model_repo.read(path, shown=str(Path(shown) / model_repo.FILE_NAME))
    found = Checked(file=document.source)
    parts = _read(document, found)
    said: dict[str, Any] = _mapping(_mapping(document.body).get("spec"))
    entrypoint, data = str(said.get("entrypoint", BUILT_IN)), _mapping(said.get("data"))
    table = parts.data if parts.data is not None and parts.data.is_table else None
    asked = requirements.read(folder)
    known = Seen()
    if ".py:" in entrypoint or table is not None:
        how: dict[str, Any] = {
            "tried": _tried(parts.tune),
            "defended": _defended(parts.whole),
            "show": show,
            "packages": packages,
        }
        root = (code or folder).resolve()
        if table is not None:
            known = _of_table(table, root, entrypoint, uri, output, how)
        elif uri or isinstance(data.get("uri"), str):
            seed = data.get("seed", 0)
            how |= {"uri": uri or data["uri"], "seed": seed if isinstance(seed, int) else 0}
            known = seen.look(root, entrypoint, output=output, **how)
    found.written = known.written
    for at, problem in _misfits(parts, known):
        message = f"{field_name(at)}: {problem}"
        found.problems.append(Finding(location=document.location(at), message=message))
    found.problems.sort(key=lambda one: _line(one.location))
    found.problems += _of_packages(asked, refused, shown)
    for words, at in known.problems:
        one = _in_code(words, at, document, shown)
        absent = packages is None and _ABSENT.match(one.message)
        if absent and (refused or asked.problems):
            continue  # it follows from those
        if absent and asked.missing:
            names = ", ".join(one.name for one in asked.missing)
            found.notes.append(
                f"{one.location}: {one.message.partition(chr(10))[0]} here; a run has what"
                f" {requirements.FILE_NAME} lists besides Touchstone's own: {names}"
            )
        else:
            found.problems.append(one)
    found.notes += known.notes
    if known.description is not None and known.data is not None:
        found.facts = {
            "task": known.description.task,
            "protected": known.description.protected,
            "inputs": known.description.inputs,
            "samples": {"test": known.data.sizes.get("test", 0)},
        }
    return found


def _of_table(
    table: Data,
    root: Path,
    entrypoint: str,
    uri: str,
    output: Path | None,
    how: Mapping[str, Any],
) -> Seen:
    """What a look shows where the data are a table, which is read before, without the code."""
    with tempfile.TemporaryDirectory() as own:
        place = output or Path(own)
        problems: list[tuple[str, FieldPath]] = []
        notes: list[str] = []
        try:
            if tables.is_address(uri or table.uri):
                notes.append(REMOTE)
            else:
                tables.load(table, root, place, uri=uri, show=how["show"], patience=_PATIENCE)
        except tables.TableError as error:
            problems = [(words, ("spec", "data", *at)) for words, at in error.problems]
        except tables.LateError:
            notes.append(f"the table took longer than {_PATIENCE:g} s: it was not looked at")
        except PlatformError as error:
            notes.append(f"the table was not looked at: {error}; {error.hint}")
        loaded = (place / FILE).is_file()
        known = seen.look(
            root, entrypoint, uri=None, seed=0, loaded=place if loaded else None, **how
        )
        known.problems[:0], known.notes[:0] = problems, notes
        known.written = loaded and output is not None
        return known


def _of_packages(
    asked: requirements.Asked, refused: Sequence[tuple[str, str]], shown: str
) -> Iterator[Finding]:
    """What is wrong with requirements.txt, and with what came of it."""
    lines = {one.name: one.line for one in asked.pins}
    told = [*asked.problems, *((lines.get(name, 1), words) for name, words in refused)]
    for line, words in told:
        place = f"{Path(shown) / requirements.FILE_NAME}:{line}"
        yield Finding(location=place, message=words)


def _in_code(words: str, path: FieldPath, document: Document, shown: str) -> Finding:
    """A problem of the code; what has no place in it is told where touchstone.yaml asks for it."""
    first, _, rest = words.partition("\n")
    place, _, message = first.partition(": ")
    file, _, line = place.rpartition(":")
    if file and line.isdecimal():
        text = f"{message}\n{rest}" if rest else message
        return Finding(location=str(Path(shown) / place), message=text)
    message = f"{field_name(path)}: {words}"
    return Finding(location=document.location(path), message=message)


def _line(location: str) -> tuple[int, int]:
    *_, line, column = ["0", "0", *location.split(":")]
    return (int(line), int(column)) if line.isdecimal() and column.isdecimal() else (0, 0)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _read(document: Document, found: Checked) -> _Parts:
    """What of the document fits; what does not is noted as found."""
    body = as_typed(ModelPipeline, document.body, document.text)
    try:
        found.pipeline = ModelPipeline.model_validate(body)
        spec = found.pipeline.spec
        return _Parts(
            data=spec.data,
            tune=spec.tune,
            train=spec.train,
            gates=spec.gates.policies,
            whole=spec,
        )
    except ValidationError as error:
        told = wording.problems(error, document.location, ModelPipeline)
        found.problems += [Finding(location=place, message=text) for place, text in told]
    said = _mapping(_mapping(body).get("spec"))
    gates = _mapping(said.get("gates"))
    policies = {
        name: policy
        for name in GATES
        if name in gates
        and (policy := _fitting(Gates.model_fields[name].annotation, gates[name])) is not None
    }
    train = _fitting(Train, said.get("train", {}))
    asked = _fitting(Remedy, said.get("remedy"))
    if train is not None and policies.keys() == gates.keys() & set(GATES):
        known = {one.message for one in found.problems}
        for problem in contradictions(train, policies, asked):
            if f"spec: {problem}" not in known:
                place = document.location(("spec",))
                found.problems.append(Finding(location=place, message=f"spec: {problem}"))
    return _Parts(
        data=_fitting(Data, said.get("data")),
        tune=_fitting(Tune, said.get("tune")),
        train=train,
        gates=policies,
    )


def _fitting(declared: Any, value: Any) -> Any:
    """The value as the model that is declared for it; None where it does not fit."""
    models = [declared, *getattr(declared, "__args__", ())]
    for model in models:
        if isinstance(model, type) and issubclass(model, BaseModel):
            try:
                return model.model_validate(value)
            except ValidationError as error:
                # A key that nothing knows hides nothing of the others beside it.
                extra = {e["loc"][0] for e in error.errors() if e["type"] == "extra_forbidden"}
                known = {key: one for key, one in _mapping(value).items() if key not in extra}
                return _fitting(model, known) if len(known) < len(_mapping(value)) else None
    return None


def _tried(tune: Tune | None) -> list[dict[str, float | int | str]]:
    """The two ends of the search space: a network must be buildable with both."""
    if tune is None:
        return []
    return [{one.name: _end(one, last) for one in tune.parameters} for last in (False, True)]


def _end(parameter: Parameter, last: bool) -> float | int | str:
    if parameter.min is None or parameter.max is None:
        return parameter.values[-1 if last else 0]
    value = parameter.max if last else parameter.min
    return int(value) if parameter.type == "int" else value


def _misfits(parts: _Parts, known: Seen) -> Found:
    """What is wrong with the parts that fit, by the field that says so."""
    at: FieldPath = ("spec",)
    if parts.tune is not None:
        yield from _under((*at, "tune"), _of_search(parts.tune, known))
    if parts.train is not None:
        yield from _under((*at, "train"), _of_training(parts.train))
        if known.estimator:
            yield from _under((*at, "train"), _of_estimator(parts.train))
    if known.estimator and parts.whole is not None and parts.whole.remedy is not None:
        yield from _under((*at, "remedy"), _of_remedy(parts.whole.remedy))
    task, misnamed = known.task, set()
    for gate, policy in parts.gates.items():
        here: FieldPath = (*at, "gates", gate)
        if task:
            yield from _under(here, _of_task(gate, policy, task))
        if known.estimator and isinstance(policy, Integrity) and policy.poisoning is not None:
            yield (
                (*here, "poisoning"),
                "got a search for backdoors in an estimator, expected none: it looks at the layers"
                " of a network",
            )
        if known.description is not None:
            named = list(policy.misnamed(known.description.known))
            misnamed |= {gate} if named else set()
            yield from _under(here, iter(named))
            yield from _under(here, _of_shape(policy, known.description))
            if known.description.dtype != DTYPES[0]:
                yield from _under(here, _of_tokens(policy, known.unembedded))
            if isinstance(policy, Robustness) and not named:
                yield from _under(here, _of_reach(policy, known.description))
            if isinstance(policy, Robustness) and known.data is not None:
                yield from _under(here, _of_epsilon(policy, known.description, known.data.spread))
    if parts.whole is None or known.description is None or known.data is None:
        return
    yield from _of_methods(parts.whole, known.description)
    counted = {
        name: dict(zip(values, known.data.groups.get(name, ()), strict=False))
        for name, values in known.description.protected.items()
        if known.data.groups.get(name)
    }
    sizes = Sizes(
        samples=known.data.sizes.get("test", 0), groups=counted, classes=known.description.classes
    )
    asked = remedy.judged_by(parts.whole)
    for path, problem in attainable.problems(asked, sizes):
        if path[0] not in misnamed:  # else it is not known whom it compares
            yield (*at, "gates", *path), problem


def _under(above: FieldPath, found: Found) -> Found:
    yield from (((*above, *path), problem) for path, problem in found)


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
    yield from misfits(
        mitigation=train.mitigation,
        defences=train.defences,
        evasion=train.evasion_detector,
        workers=train.workers,
        gpus=train.gpus_per_worker,
    )


def _of_remedy(remedy: Remedy) -> Found:
    """As of training, of what a refused estimator would be fitted again with."""
    defences = () if remedy.robustness is None else (remedy.robustness,)
    for path, problem in misfits(mitigation=remedy.fairness, defences=defences):
        yield ("fairness" if path[0] == "mitigation" else "robustness",), problem


def _of_task(gate: str, policy: GatePolicy, task: Any) -> Found:
    """Figures and attacks that do not serve models of this task."""
    for index, check in enumerate(policy.checks):
        if check.metric == GAIN:
            yield (
                ("checks", index, "metric"),
                f"got {GAIN!r}, expected champion: {{margin: …}} in its place: it is checked so"
                " where a version is served",
            )
        metric = glossary.METRICS.get(check.metric)
        if metric and not metric.serves(task):
            kinds = " and ".join(metric.tasks)
            offered = [
                one.name for one in glossary.of_gate(gate) if one.advice and one.serves(task)
            ]
            yield (
                ("checks", index, "metric"),
                f"got {check.metric!r}, which {kinds} models are measured by; this one is of the"
                f" task {task}: expected one of {', '.join(offered)}{alike(check.metric, offered)}",
            )
    if isinstance(policy, Robustness):
        wanted = [name for name in policy.wanted if not _other(name, task)]
        tried: list[tuple[str, Callable[[], object]]] = [
            ("attacks", lambda: attacks.chosen(policy.attacks, policy.norm, task)),
            ("figures", lambda: figures.chosen(wanted, policy.norm, task)),
        ]
        for name, choose in tried:
            try:
                choose()
            except ValueError as error:
                yield (name,), str(error)


def _other(name: str, task: str) -> bool:
    """Whether the glossary says already that the metric is none of the task's."""
    metric = glossary.METRICS.get(name)
    return bool(metric and not metric.serves(task))


def _of_shape(policy: GatePolicy, description: Description) -> Found:
    """What only rows of features have."""
    if len(description.inputs["shape"]) == 1:
        return
    for index, check in enumerate(policy.checks):
        if check.metric == "protected_share":
            yield (
                ("checks", index, "metric"),
                "got 'protected_share' for images, expected it for rows of features alone",
            )


def _of_tokens(policy: GatePolicy, unembedded: str) -> Found:
    """What cannot be judged of a model of tokens."""
    if isinstance(policy, Robustness | Explainability) and unembedded:
        yield (), f"{unembedded}; a model of tokens is judged from its embedding on"
    if isinstance(policy, Integrity) and policy.poisoning is not None:
        yield (
            ("poisoning",),
            "got a search for backdoors among tokens, expected none: it knows no"
            " marks that they carry",
        )


def _of_reach(policy: Robustness, description: Description) -> Found:
    """Limits that leave an attacker nothing to change."""
    inputs = description.inputs
    if not policy.immutable and not policy.bounds:
        return
    try:
        own = Reach.of_features(
            inputs.get("features", ()),
            low=float(inputs["low"]),
            high=float(inputs["high"]),
            immutable=policy.immutable,
            bounds=policy.bounds,
        )
        own.within(Reach.described(inputs))
    except (ValueError, TypeError, AttributeError) as error:
        yield ("bounds" if policy.bounds else "immutable",), str(error)


def _of_epsilon(policy: Robustness, description: Description, spread: Sequence[float]) -> Found:
    """A budget that moves everything, or next to nothing, of what the inputs vary by."""
    low, high = float(description.inputs["low"]), float(description.inputs["high"])
    if description.dtype != DTYPES[0]:  # the unit is the range of the embedding's table
        low, high = 0.0, 1.0
    count = 1
    for size in description.inputs["shape"]:
        count *= int(size)
    if policy.norm == "l0":
        if policy.epsilon >= count:
            yield ("epsilon",), f"got {policy.epsilon:g} values, expected fewer than all {count}"
        return
    whole = high - low
    farthest = {"linf": whole, "l2": whole * count**0.5, "l1": whole * count}[policy.norm]
    if policy.epsilon >= farthest:
        yield (
            ("epsilon",),
            f"got {policy.epsilon:g} under {policy.norm}, expected less than {farthest:g}: an"
            f" attacker could put any input in [{low:g}, {high:g}] in the place of another",
        )
        return
    image = len(description.inputs["shape"]) == 3
    # Of a row the budget may be spent on the column that varies least.
    reach = farthest if image or not spread else min(spread)
    least = GREY if image and policy.norm == "linf" else TINY
    if policy.epsilon / reach < least:
        yield (
            ("epsilon",),
            f"got {policy.epsilon:g} under {policy.norm}, which is {policy.epsilon / reach:.2g} of"
            f" what the inputs vary by ({reach:g}), expected {least:.2g} of it or more: it changes"
            " next to nothing. Epsilon is in the units of the inputs, which lie in"
            f" [{low:g}, {high:g}]",
        )


def _of_methods(spec: Spec, description: Description) -> Found:
    """Mitigations and the detector of the training, and of a remedy, by what the data are."""
    if spec.train.evasion_detector is not None and description.dtype != DTYPES[0]:
        yield (
            ("spec", "train", "evasionDetector"),
            "got a detector of adversarial inputs for tokens, expected inputs of numbers",
        )
    if spec.mitigation is not None:
        yield from _under(
            ("spec", "train", "mitigation"), _of_mitigation(spec.mitigation, description)
        )
    remedied = remedy.remedied(spec, ["fairness"]).mitigation
    if remedied is not None and spec.remedy is not None and spec.remedy.fairness is not None:
        yield from _under(("spec", "remedy", "fairness"), _of_mitigation(remedied, description))


def _defended(spec: Spec | None) -> list[seen.Defended]:
    """The defences of the training and those of a remedy, by where they are declared."""
    found: list[seen.Defended] = []
    if spec is not None and spec.train.defences:
        found.append((("spec", "train", "defences"), spec.defences))
    if spec is not None and spec.remedy is not None and spec.remedy.robustness is not None:
        tried = remedy.remedied(spec, ["robustness"]).defences
        found.append((("spec", "remedy", "robustness"), tried))
    return found


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
