"""Train with a mitigation: prepare the data, wrap the loss or fit the rule, and measure again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training.checkpoint import Checkpoint
from touchstone.training.dataset import PRIVILEGED, WEIGHTS, Dataset
from touchstone.training.metrics import classification
from touchstone.training.mitigation import OF_NUMBERS, Mitigation
from touchstone.training.mitigation.method import Cases, Prepared
from touchstone.training.mitigation.served import Given, Served, Source, Steps
from touchstone.training.mitigation.weighted import Weighted
from touchstone.training.spec import Description, ModelSpec
from touchstone.training.trainer import Ranks, TrainConfig, train
from trust_gates.errors import PolicyError
from trust_gates.inputs.dataset import samples_of
from trust_gates.inputs.description import DTYPES
from trust_gates.named import find

if TYPE_CHECKING:
    import torch

_OfGroups = Callable[[np.ndarray, Given], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Mitigated:
    """A trained model, its figures before and after, and what has to be served with it."""

    module: torch.nn.Module
    figures: dict[str, float]
    """`val_*` of the model as it will answer; `before_*` of the one without the mitigation."""

    served: Served


def train_mitigated(
    spec: ModelSpec,
    data: Dataset,
    config: TrainConfig,
    *,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks | None = None,
    report: Callable[[str], None] = lambda line: None,
    fit: Callable[..., tuple[torch.nn.Module, dict[str, float]]] = train,
) -> Mitigated:
    """Train as `config.mitigation` says.

    Args:
        fit: how, in the end: `train`, or what is called like it.

    Raises:
        ValueError: the mitigation does not fit the data: another task than classification, an
            unknown attribute, value or class, a group without rows, bounds that cannot hold.
        PreemptedError: as `train`.
    """
    mitigation = config.mitigation
    assert mitigation is not None  # noqa: S101 (only called so)
    ranks = ranks or Ranks()
    source = source_of(mitigation, data)
    favorable = favorable_of(mitigation, data.description)
    if mitigation.stage == "postprocessing" and len(data.description.classes) != 2:
        raise ValueError(
            f"{mitigation.method} works on two classes, got {len(data.description.classes)}"
        )
    if mitigation.method in OF_NUMBERS and data.description.dtype != DTYPES[0]:
        raise ValueError(f"{mitigation.method} repairs inputs of numbers, got tokens")
    plain = config.model_copy(update={"mitigation": None})

    def fitted(wrapped: ModelSpec, splits: Dataset, name: str) -> torch.nn.Module:
        own = None if checkpoint is None else checkpoint.part(name)
        return fit(wrapped, splits, plain, checkpoint=own, ranks=ranks, report=report)[0]

    task = _Task(
        spec=spec,
        data=data,
        mitigation=mitigation,
        train=_cases(data, "train", source, favorable),
        validation=_cases(data, "validation", source, favorable),
        fitted=fitted,
        tell=report if ranks.rank == 0 else lambda line: None,
        device=ranks.device,
    )
    asked = Served(method=mitigation.method, source=source, favorable=favorable, seed=config.seed)
    how = _with_a_rule if mitigation.stage == "postprocessing" else _with_other_training
    module, served, before = how(task, asked)
    after = task.measured(module, served)
    return Mitigated(
        module,
        {
            **{f"val_{name}": value for name, value in after.items()},
            **{f"before_{name}": value for name, value in before.items()},
        },
        served,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """What is to be mitigated, and how to train and measure it."""

    spec: ModelSpec
    data: Dataset
    mitigation: Mitigation
    train: Cases
    validation: Cases
    fitted: Callable[[ModelSpec, Dataset, str], torch.nn.Module]
    """A network of the spec, trained on the data; the name is its checkpoint's."""

    tell: Callable[[str], None]
    device: str

    @property
    def method(self) -> Any:
        """The method's module."""
        return import_module(f"{__package__}.{self.mitigation.stage}.{self.mitigation.method}")

    def shares(self, module: torch.nn.Module) -> np.ndarray:
        """(N, K): what the network alone says of the validation split."""
        return predictor(self.spec, module, self.device)(self.validation.inputs)

    def measured(self, module: torch.nn.Module, served: Served) -> dict[str, float]:
        """Figures of the validation split, asked as it is served."""
        answers = served.answer(
            predictor(self.spec, module, self.device),
            self.validation.inputs,
            _given(self.data, "validation", served.source),
        )
        samples = samples_of(
            self.data.splits["validation"],
            task=self.data.description.task,
            classes=self.data.description.classes,
            protected={},
        )
        return classification(answers, samples) | _gaps(answers, self.validation)


_Done = tuple["torch.nn.Module", Served, dict[str, float]]
"""The model, what is served with it, and figures without the mitigation, where there are any."""


def _with_a_rule(task: _Task, served: Served) -> _Done:
    """Train as ever, then fit the rule for its answers on the validation split."""
    module = task.fitted(task.spec, task.data, "before")
    before = task.measured(module, served)
    steps: Steps = task.method.fit(
        task.shares(module)[:, served.favorable].astype(np.float64),
        task.validation.truth,
        task.validation.privileged,
        task.mitigation,
    )
    return module, served.model_copy(update={"steps": steps}), before


def _with_other_training(task: _Task, served: Served) -> _Done:
    """Train with another loss or on prepared data; before that without, to compare."""
    mitigation, spec, before = task.mitigation, task.spec, {}
    if mitigation.compare:
        task.tell("training without the mitigation, to compare")
        before = task.measured(task.fitted(spec, task.data, "before"), served)
        task.tell(f"training with {mitigation.method}")
    arrays = {**task.data.splits["train"], PRIVILEGED: task.train.privileged}
    if mitigation.stage == "inprocessing":
        spec = task.method.wrap(spec, mitigation, served.favorable)
    else:
        prepared: Prepared = task.method.prepare(task.train, mitigation, served.seed)
        served = served.model_copy(update={"repair": prepared.repair})
        arrays |= {"inputs": prepared.inputs, "labels": prepared.labels}
        if prepared.weights is not None:
            arrays[WEIGHTS], spec = prepared.weights, Weighted(spec)
    changed = Dataset(task.data.description, {**task.data.splits, "train": arrays})
    return task.fitted(spec, changed, "after"), served, before


def predictor(
    spec: ModelSpec, module: torch.nn.Module, device: str = "cpu"
) -> Callable[[np.ndarray], np.ndarray]:
    """The network alone: inputs (N, …) to probabilities (N, K)."""
    from touchstone.training.metrics import predict_logits

    def predict(inputs: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        shares: np.ndarray = softmax(
            predict_logits(spec, module, {"inputs": inputs}, device).astype(np.float64), axis=1
        )
        return shares

    return predict


def asked(
    folder: Path, spec: ModelSpec, module: torch.nn.Module, device: str = "cpu"
) -> tuple[_OfGroups | None, _OfGroups | None]:
    """How the model of a tree is to be asked where it is not the network alone.

    Returns:
        A function of inputs and groups to probabilities (N, K), and one to repaired inputs;
        None for each that the tree has no mitigation for.

    Raises:
        ValueError: mitigation.json is malformed.
    """
    served = Served.read(folder)
    if served is None:
        return None, None
    answer = partial(served.answer, predictor(spec, module, device))
    return answer, served.prepare if served.repair is not None else None


def favorable_of(mitigation: Mitigation, description: Description) -> int:
    """The favorable class's index."""
    if description.task != "classification":
        raise ValueError(
            f"{mitigation.method} mitigates classifiers, got the task {description.task}"
        )
    if mitigation.favorable is None:
        raise PolicyError(f"got no favorable class, expected one of {list(description.classes)}")
    return find("the favorable class", [mitigation.favorable], description.classes)[0]


def source_of(mitigation: Mitigation, data: Dataset) -> Source:
    """Where requests will say their group: a feature of that name, where each value has a code."""
    name, described = mitigation.protected or "", data.description
    find("the protected attribute", [name], sorted(described.protected))
    values = tuple(described.protected[name])
    if not mitigation.privileged:
        raise PolicyError(f"got no privileged values, expected some of {list(values)}")
    find(f"the privileged value of {name}", mitigation.privileged, values)
    plain = Source(protected=name, values=values, privileged=mitigation.privileged)
    features = list(described.inputs.get("features", ()))
    if name not in features:
        return plain
    column = features.index(name)
    arrays = data.splits["train"]
    codes = [
        np.unique(arrays["inputs"][arrays[f"protected_{name}"] == index, column])
        for index in range(len(values))
    ]
    if any(len(found) != 1 for found in codes):
        return plain  # the feature is finer or coarser than the attribute
    return plain.model_copy(
        update={"feature": column, "codes": tuple(float(found[0]) for found in codes)}
    )


def _cases(data: Dataset, split: str, source: Source, favorable: int) -> Cases:
    arrays = data.splits[split]
    group = arrays[f"protected_{source.protected}"]
    return Cases(
        inputs=arrays["inputs"],
        labels=arrays["labels"],
        group=group,
        privileged=np.isin(np.array(source.values)[group], source.privileged),
        favorable=favorable,
        low=float(data.description.inputs["low"]),
        high=float(data.description.inputs["high"]),
        feature=source.feature,
    )


def _given(data: Dataset, split: str, source: Source) -> dict[str, Any]:
    group = data.splits[split][f"protected_{source.protected}"]
    return {source.protected: np.array(source.values)[group]}


def _gaps(answers: np.ndarray, cases: Cases) -> dict[str, float]:
    """The three figures most asked for; left out where a group is absent."""
    favored = answers.argmax(axis=1) == cases.favorable

    def gap(rows: np.ndarray) -> float | None:
        low, high = favored[rows & ~cases.privileged], favored[rows & cases.privileged]
        return float(low.mean() - high.mean()) if len(low) and len(high) else None

    hits, alarms = gap(cases.truth), gap(~cases.truth)
    odds = None if hits is None or alarms is None else (hits + alarms) / 2
    found = {
        "statistical_parity_difference": gap(np.ones(len(favored), dtype=bool)),
        "equal_opportunity_difference": hits,
        "average_odds_difference": odds,
    }
    return {name: value for name, value in found.items() if value is not None}
