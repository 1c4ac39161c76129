"""How an estimator is fitted, and how it is asked once it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from touchstone.training import given
from touchstone.training.dataset import WEIGHTS, Dataset
from touchstone.training.defences.inputs import Defended
from touchstone.training.metrics import evaluate
from touchstone.training.spec import ModelSpec, RawData
from touchstone.training.wrapped import Wrapped
from trust_gates.inputs import sklearn
from trust_gates.inputs.arrays import Arrays

if TYPE_CHECKING:
    from touchstone.training.checkpoint import Checkpoint
    from touchstone.training.trainer import Ranks, TrainConfig


class Fitted(torch.nn.Module):
    """A fitted estimator as a module without weights: inputs (N, ...) to logits (N, K) in float64,
    or to numbers (N, 1) where there are no classes.

    Raises:
        ValueError: when made, it answers otherwise or tells other classes apart.
    """

    def __init__(
        self, estimator: Any, classes: Sequence[str], features: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self._answers = sklearn.answers(
            estimator, classes, where="the fitted estimator", features=features
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = np.ascontiguousarray(inputs.detach().cpu().numpy())
        return torch.from_numpy(np.asarray(self._answers(rows), dtype=np.float64))


def fit(
    spec: ModelSpec,
    dataset: Dataset,
    config: TrainConfig,
    *,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Fitted, dict[str, float]]:
    """Fit on the training split and evaluate on the validation split, as `trainer.train` does.

    Args:
        checkpoint: not used: a fit has no middle that it could go on from.

    Returns:
        The fitted estimator and its validation figures, as `val_<name>`.

    Raises:
        ValueError: several processes are to fit together, the estimator takes no weights that a
            mitigation gives, or a class has no sample.
    """
    if ranks is not None and ranks.world > 1:
        raise ValueError(
            f"got {ranks.world} processes, expected 1 for an estimator: spec.train.workers: 1"
        )
    began = time.monotonic()
    arrays = dataset.splits["train"]
    estimator = given.estimator(spec, config.parameters)
    _seed(estimator, config.seed)
    fit_on(spec, estimator, arrays, dataset.description.classes)
    report(f"fitted on {len(arrays['inputs'])} samples in {time.monotonic() - began:.1f} s")
    module = Fitted(estimator, indices(dataset.description.classes))
    found = evaluate(spec, module, dataset.description, dataset.splits["validation"])
    return module, {f"val_{name}": value for name, value in found.items()}


def fit_on(spec: ModelSpec, estimator: Any, arrays: Arrays, classes: Sequence[str]) -> None:
    """Fit it on a split's arrays, as the spec's defences of inputs show them.

    Raises:
        ValueError: as `fit`.
    """
    inputs, truth = arrays["inputs"], arrays["labels" if classes else "targets"]
    absent = [name for index, name in enumerate(classes) if not (truth == index).any()]
    if absent:
        raise ValueError(
            f"got no sample of {', '.join(absent)} to fit on, expected some of every class"
        )
    one: ModelSpec | None = spec
    while isinstance(one, Wrapped):
        if isinstance(one, Defended):
            inputs = one.defend(torch.from_numpy(inputs)).numpy()
        one = one.inner
    more = {} if WEIGHTS not in arrays else {_weight_of(estimator): arrays[WEIGHTS]}
    estimator.fit(inputs.reshape(len(inputs), -1), truth, **more)


def try_fit(spec: ModelSpec, estimator: Any, data: RawData, most: int) -> None:
    """Fit on a few samples, some of every class, and ask about one.

    Raises:
        ValueError: as `fit_on`, or as `Fitted`; besides, whatever the estimator raises.
    """
    classes = data.description.classes
    count = len(data.arrays["inputs"])
    rows = np.random.default_rng(0).permutation(count)
    if classes:
        # The first of each class first, so that none is left out.
        _, firsts = np.unique(data.arrays["labels"][rows], return_index=True)
        rows = np.concatenate([rows[firsts], np.delete(rows, firsts)])
    some = {name: array[np.sort(rows[:most])] for name, array in data.arrays.items()}
    fit_on(spec, estimator, some, classes)
    module = Fitted(estimator, indices(classes))
    evaluate(spec, module, data.description, some)


def indices(classes: Sequence[str]) -> list[str]:
    """How a fitted estimator knows the classes: by the labels that it was fitted on."""
    return [str(index) for index in range(len(classes))]


def _seed(estimator: Any, seed: int) -> None:
    """Give every source of chance that has no seed of its own the run's."""
    np.random.seed(seed % 2**32)
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    unseeded = [
        name
        for name, value in parameters.items()
        if value is None and name.rpartition("__")[2] == "random_state"
    ]
    if unseeded:
        estimator.set_params(**dict.fromkeys(unseeded, seed))


def _weight_of(estimator: Any) -> str:
    """The argument of `fit` that takes each row's weight; of a pipeline, its last step's.

    Raises:
        ValueError: there is none.
    """
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(estimator, "steps", None)
    name, last = steps[-1] if steps else ("", estimator)
    if not has_fit_parameter(last, "sample_weight"):
        raise ValueError(
            f"got a {type(last).__name__}, whose fit takes no sample_weight, expected one that does"
            " for a mitigation that weighs rows; or a mitigation of another kind"
        )
    return f"{name}__sample_weight" if name else "sample_weight"
