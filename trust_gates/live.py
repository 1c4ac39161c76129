"""Judge what a Python program holds: estimators, networks and functions, frames and arrays.

`trust_gates.judge` says what may be handed over; everything becomes what `outside` judges.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates import GATES, outside, report
from trust_gates.digests import Held
from trust_gates.errors import PolicyError
from trust_gates.gates import Gates, GatesFile, read_policy
from trust_gates.inputs import dataset
from trust_gates.inputs.arrays import GROUP
from trust_gates.inputs.dataset import Data
from trust_gates.inputs.table import gap
from trust_gates.named import ordered, some
from trust_gates.outside import Subject
from trust_gates.reach import Reach
from trust_gates.samples import Samples, Task
from trust_gates.target import Target, column
from trust_gates.verdict import UNCONFINED, Evidence, Verdict

_INPUTS, _LABELS, _TARGETS = "inputs", "labels", "targets"
_FRAME = "data-frame.csv"
_UNNAMED = "X does not have valid feature names"
"""scikit-learn warns of rows without names, which is what a function of inputs is given."""


def judge(
    model: Any,
    data: Any,
    policy: str | os.PathLike[str] | Mapping[str, Any],
    *,
    gates: Sequence[str] | None,
    classes: Sequence[str] | None,
    seed: int,
    out: str | os.PathLike[str] | None,
) -> Verdict:
    """As `trust_gates.judge` says."""
    with tempfile.TemporaryDirectory() as folder:
        given = _Given(
            model=_path(model) or model,
            data=_path(data) or _written(data, Path(folder)) or data,
            policy=_path(policy),
        )
        held = Held.of(**{name: path for name, path in given.paths.items() if path})
        asked = (
            GatesFile.given(policy, "the policy") if not given.policy else read_policy(given.policy)
        )
        names = _names(asked, gates)
        with _as_it_was(model), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_UNNAMED)
            evidence = _evidence(given, names, asked, classes, seed)
        held.confirm()
    if out is not None:
        _report(evidence, Path(out), given, asked, seed, held)
    return Verdict(evidence=evidence, required=names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Given:
    """What was handed over; a frame is a file by now."""

    model: Any
    data: Any
    policy: Path | None

    @property
    def paths(self) -> dict[str, Path | None]:
        """Those of the three that are files or folders."""
        each = {"model": self.model, "data": self.data, "policy": self.policy}
        return {name: one if isinstance(one, Path) else None for name, one in each.items()}

    @property
    def name(self) -> str:
        """What the report calls the model."""
        judged = self.data if self.model is None else self.model
        return judged.stem if isinstance(judged, Path) else type(judged).__name__


def _path(given: Any) -> Path | None:
    return Path(given) if isinstance(given, str | os.PathLike) else None


def _written(data: Any, folder: Path) -> Path | None:
    """A frame as the file it would be, to be read, and refused, as that; None for others."""
    pandas = sys.modules.get("pandas")  # nobody holds a frame of a library that is not loaded
    if pandas is None or not isinstance(data, pandas.DataFrame):
        return None
    data.to_csv(folder / _FRAME, index=False)
    return folder / _FRAME


def _names(asked: Gates, gates: Sequence[str] | None) -> list[str]:
    """Of the gates that judge."""
    named = [name for name in GATES if name in asked.model_fields_set]
    wanted = named if gates is None else [gates] if isinstance(gates, str) else list(gates)
    unknown = [name for name in wanted if name not in GATES]
    if unknown or not wanted:
        raise PolicyError(f"got the gates {wanted}, expected some of {list(GATES)}")
    return wanted


def _evidence(
    given: _Given, names: Sequence[str], asked: Gates, classes: Sequence[str] | None, seed: int
) -> list[Evidence]:
    needy = [name for name in names if name not in outside.ANSWERS_ONLY]
    if needy and given.model is None:
        raise ValueError(f"got no model, expected one: {', '.join(needy)} cannot do without it")
    found, subject = [], None
    for name in names:
        if name == "integrity":
            found.append(_examined(given, asked, seed))
            continue
        subject = subject or _subject(given.model, given.data, classes, asked.task)
        found.append(outside.judge(name, subject, asked, seed=seed))
    return found


def _examined(given: _Given, asked: Gates, seed: int) -> Evidence:
    if not isinstance(given.model, Path) or not isinstance(given.data, Path):
        raise ValueError(
            "got a model or data in memory, expected the paths of both: integrity examines files; "
            "or name the gates that are to judge, such as gates=['quality']"
        )
    model, data = given.model, given.data
    return outside.examine(
        model,
        data,
        asked,
        expected={},
        open_target=lambda: outside.open_subject(model, data, asked.task).model,
        seed=seed,
    )


def _subject(model: Any, data: Any, classes: Sequence[str] | None, task: Task) -> Subject:
    if model is None:
        if not isinstance(data, Path):
            raise ValueError(
                "got no model and arrays, expected a model, or predictions: a .csv file or a frame "
                "with the columns label, and prediction or probability_<class>"
            )
        return outside.open_subject(None, data, task)
    found = dataset.read(data, task=task) if isinstance(data, Path) else _arrays(data, task)
    if classes is not None:
        found = replace(found, samples=_renamed(found.samples, list(map(str, classes))))
    if isinstance(model, Path):
        return outside.opened(model, found)
    target, note = _target(model, found)
    return Subject(target=replace(target, reach=found.reach), data=found, notes=[note])


def _target(model: Any, found: Data) -> tuple[Target, str]:
    """The model as a target, and what a reader must know of how it is asked."""
    what = type(model).__name__
    names = found.samples.classes
    if isinstance(model, type):
        raise ValueError(f"got the class {model.__name__} as the model, expected a fitted instance")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        tensor = next(model.parameters(), None)
        network = Target(
            module=model,
            predict=lambda inputs: column(model(inputs)),
            low=found.low,
            high=found.high,
            device="cpu" if tensor is None else str(tensor.device),
        )
        one = found.samples.inputs[:1]
        try:
            answers = network.logits(one)
        except RuntimeError as error:
            raise ValueError(
                f"got {error} from {what} asked about float32 of shape {one.shape}, expected "
                "logits (N, K), or numbers of a regression"
            ) from error
        _fits(answers, names)
        return network, f"{what} was asked in the process that judged it"
    from trust_gates.inputs import opaque, sklearn

    ask: opaque.Answer
    if hasattr(model, "predict_proba") or hasattr(model, "decision_function"):
        ask = sklearn.answers(model, names, where=what, features=found.features)
    elif callable(model):
        ask = _checked(model, names)
    elif hasattr(model, "predict"):
        ask = sklearn.answers(model, names, where=what, features=found.features)
    else:
        raise ValueError(
            f"got a {what} as the model, expected a path, an estimator with predict_proba, "
            "decision_function or, of a regression, predict, a torch.nn.Module, a function of "
            "inputs, or None for predictions"
        )
    target = opaque.target(ask, low=found.low, high=found.high, spread=found.spread)
    # It is the caller's own code, in the caller's process, whatever it answers with.
    return replace(target, asked_as=UNCONFINED), (
        f"{what} only answers: gradients are differences of its answers"
    )


def _checked(model: Callable[[Any], Any], names: Sequence[str]) -> Callable[[Any], Any]:
    from trust_gates.inputs import opaque

    def ask(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        found = np.asarray(model(inputs))
        if not names:
            return opaque.numbers(found)
        logits = opaque.log_probabilities(found)
        _fits(logits, names)
        return np.ascontiguousarray(logits)

    return ask


def _fits(answers: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raises ValueError where the answers are not about these classes, or of none no numbers."""
    count = answers.shape[1]
    if not names and count != 1:
        raise ValueError(
            f"got {count} answers for each sample, expected a number: the policy has figures of a "
            "regression"
        )
    if names and count != len(names):
        raise ValueError(
            f"got answers about {count} classes, expected the {len(names)} of the data "
            f"({some(names)}); `classes` names all of them in the order of the answers; of numbers "
            "the policy has figures of regressions, such as r2"
        )


def _arrays(data: Any, task: Task) -> Data:
    """Arrays as what a model is judged on; `targets` are of a regression, whatever is asked.

    Raises:
        ValueError: they are no numbers, or do not belong together.
    """
    if isinstance(data, tuple) and len(data) == 2:
        data = dict(zip((_INPUTS, _LABELS), data, strict=True))
    own = set(data) & {_LABELS, _TARGETS} if isinstance(data, Mapping) else set()
    if len(own) != 1 or _INPUTS not in data:
        got = f"the keys {list(data)}" if isinstance(data, Mapping) else f"a {type(data).__name__}"
        raise ValueError(
            f"got {got} as data, expected a path, a pandas DataFrame, (inputs, labels), or a "
            f"mapping with {_INPUTS!r}, {_LABELS!r} (of a regression {_TARGETS!r}) and any "
            f"{GROUP}<name>"
        )
    (key,) = own
    others = set(data) - {_INPUTS, key}
    if foreign := sorted(str(one) for one in others if not str(one).startswith(GROUP)):
        raise ValueError(f"got the keys {foreign}, expected groups to be named {GROUP}<name>")
    inputs = _inputs(data[_INPUTS])
    truth: Any
    if key == _TARGETS or task == "regression":
        truth = {"classes": (), "targets": _numbers(key, _each(data, key), np.float64)}
    else:
        labels = [str(label) for label in _each(data, key)]
        names = ordered(labels)
        truth = {"classes": names, "labels": np.array([names.index(label) for label in labels])}
    return Data(
        samples=Samples(
            inputs=inputs,
            **truth,
            groups={
                str(name).removeprefix(GROUP): np.array([str(one) for one in _each(data, name)])
                for name in data
                if name in others
            },
        ),
        low=float(inputs.min()),
        high=float(inputs.max()),
        features=tuple(map(str, getattr(data[_INPUTS], "columns", ()))),
        reach=Reach.of_rows(inputs) if inputs.ndim == 2 else None,
    )


def _each(data: Mapping[str, Any], name: str) -> list[Any]:
    """The value of each sample. Raises ValueError where one is missing, as of a frame's column."""
    values = np.asarray(data[name])
    if values.ndim != 1:
        raise ValueError(f"got {name} of shape {values.shape}, expected a value a sample: (N,)")
    found: list[Any] = values.tolist()
    if gaps := [row for row, value in enumerate(found) if gap(value)]:
        raise ValueError(
            f"got no value of {name} in sample {gaps[0]} (of {len(gaps)} such), expected one of"
            " each sample"
        )
    return found


def _inputs(given: Any) -> NDArray[np.float32]:
    inputs: NDArray[np.float32] = _numbers(_INPUTS, given, np.float32)
    if inputs.ndim < 2 or not inputs.size:
        raise ValueError(
            f"got inputs of shape {inputs.shape}, expected (samples, features) or images "
            "(samples, channels, height, width), and at least one"
        )
    return inputs


def _numbers(name: str, given: Any, kind: type[np.floating[Any]]) -> NDArray[Any]:
    try:
        found = np.asarray(given, dtype=kind)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"got {name} that are no numbers ({error}), expected some") from None
    if not np.isfinite(found).all():
        raise ValueError(f"got {name} that are NaN or infinite, expected finite numbers")
    return found


def _renamed(samples: Samples, classes: list[str]) -> Samples:
    """The samples with their classes in another order, of which some may be without a sample."""
    absent = [name for name in samples.classes if name not in classes]
    if samples.labels is None or absent or len(set(classes)) != len(classes):
        raise ValueError(
            f"got classes={classes}, expected each name once, those of the labels among them: "
            f"{list(samples.classes)}"
        )
    place = np.array([classes.index(name) for name in samples.classes])
    return replace(samples, classes=classes, labels=place[samples.labels])


@contextmanager
def _as_it_was(model: Any) -> Iterator[None]:
    """A network is asked as one that does not train, and trains on afterwards if it did."""
    training = getattr(model, "training", None)
    try:
        yield
    finally:
        if training is True:
            model.train()


def _report(
    evidence: Sequence[Evidence], out: Path, given: _Given, asked: Gates, seed: int, held: Held
) -> None:
    document = outside.document(
        evidence, name=given.name, gates=asked, seed=seed, judged=held.digests, unused={}
    )
    pictures = {f"{name}.png": data for one in evidence for name, data in one.pictures.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, data in report.render(document, pictures).items():
        (out / name).write_bytes(data)
