"""An estimator with scikit-learn's interface in skops' format, which names every type beforehand.

skops opens types that it knows; any other may run code when it is loaded. Such a file is opened in
a process that may do no harm, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import ForeignTypesError
from trust_gates.inputs import opaque
from trust_gates.named import same_number
from trust_gates.target import Target

Ask = Callable[[Any], Any] | None

_SPACE = re.compile(r"\s")


def read(
    path: Path,
    *,
    classes: Sequence[str],
    low: float,
    high: float,
    spread: NDArray[np.float64] | None = None,
    features: Sequence[str] = (),
) -> Target:
    """The estimator as a target; its gradients are differences (see `opaque`).

    Its answers are put in the order of `classes`, by name, or by index where it has numbers.
    `features` are the names of the inputs' values, where they have some.

    Raises:
        ForeignTypesError: the file holds a type that could run code.
        ValueError: it is no such model, or one that tells other classes apart.
    """
    if foreign := foreign_types(path):
        raise ForeignTypesError(
            f"{path}: it holds {', '.join(foreign)}, which could run code when loaded: "
            "`touchstone gate` opens it in a confined process; expected a scikit-learn model "
            "of types that skops knows, as skops.io.dump writes it"
        )
    found = answers(load(path), classes, where=str(path), features=features)
    return opaque.target(found, low=low, high=high, spread=spread)


def foreign_types(path: Path) -> list[str]:
    """Types in the file that skops does not know, sorted; nothing is loaded.

    Raises:
        ValueError: the file is no skops file.
    """
    import skops.io

    try:
        return sorted(skops.io.get_untrusted_types(file=path))
    except Exception as error:  # a broken file provokes anything from BadZipFile to KeyError
        raise _broken(path, error) from None


def load(path: Path, trusted: Sequence[str] = ()) -> Any:
    """The estimator in the file. With `trusted` types of others, only where code may run.

    Raises:
        ValueError: it is none, or a type is unknown.
    """
    import skops.io

    try:
        return skops.io.load(path, trusted=list(trusted))
    except Exception as error:
        raise _broken(path, error) from None


def answers(
    model: Any, classes: Sequence[str], *, where: str, features: Sequence[str] = ()
) -> opaque.Answer:
    """How the estimator is asked: logits (N, K) of `classes`; numbers (N, 1) of a regressor.

    Args:
        classes: in the order of the answers; none where it tells numbers.
        where: what errors call it.
        features: names of the inputs' values, where they have some.

    Raises:
        ValueError: it does not answer so, tells other classes apart, or learned from other
            features.
    """
    rows = _handed(model, features, where)
    if not classes:
        if not hasattr(model, "predict") or hasattr(model, "classes_"):
            raise ValueError(
                f"{where}: got a {type(model).__name__}, expected a regressor: the policy has"
                " figures of a regression"
            )
        return lambda inputs: opaque.numbers(model.predict(rows(inputs)))
    chances = getattr(model, "predict_proba", None)
    scores = getattr(model, "decision_function", None)
    if chances is None and scores is None:
        raise ValueError(
            f"{where}: got a {type(model).__name__}, expected a classifier with predict_proba or "
            "decision_function; of a regressor the policy has figures of regressions, such as r2"
        )
    own = [str(name) for name in getattr(model, "classes_", ())]
    if not own:
        raise ValueError(
            f"{where}: got a {type(model).__name__} without classes_, expected one that was fitted"
        )
    order = _order(where, own, list(classes))
    return lambda inputs: _logits(rows(inputs), chances, scores)[:, order]


def _handed(
    model: Any, features: Sequence[str], where: str
) -> Callable[[NDArray[np.float32]], Any]:
    """How inputs (N, ...) are handed over: as rows, and by their names, in the order in which the
    estimator learned them, where it learned from names.

    Raises:
        ValueError: both have names, and other ones.
    """
    learned = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if not learned:
        return lambda inputs: inputs.reshape(len(inputs), -1)
    import pandas as pd

    given = list(features) or learned
    if set(given) != set(learned):
        given = [_SPACE.sub("_", name) for name in given]  # as LightGBM writes names
    if sorted(given) != sorted(learned):
        raise ValueError(
            f"{where}: got data with the features {list(features)}, expected those that the model "
            f"learned from: {learned}"
        )

    def frame(inputs: NDArray[np.float32]) -> Any:
        rows = inputs.reshape(len(inputs), -1)
        if rows.shape[1] != len(given):
            return rows  # what it says of that names both numbers
        return pd.DataFrame(rows, columns=given)[learned]

    return frame


def _broken(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: {error}; expected a scikit-learn model as skops.io.dump writes it")


def _order(where: str, own: list[str], classes: list[str]) -> list[int]:
    if sorted(own) == sorted(classes):
        return [own.index(name) for name in classes]
    if not set(own) & set(classes) and own == [str(index) for index in range(len(classes))]:
        return list(range(len(classes)))
    alike = [same_number(name, own) for name in classes]
    if len(own) == len(classes) and all(len(found) == 1 for found in alike):
        return [own.index(found[0]) for found in alike]
    raise ValueError(f"{where}: got the classes {own}, expected those of the data: {classes}")


def _logits(inputs: Any, chances: Ask, scores: Ask) -> NDArray[np.float64]:
    """By the scores where those say the same as the probabilities: these are rounded near 0 and 1,
    and a sure model, which scores further and further apart, would seem to have no slope there."""
    from scipy.special import log_softmax

    told = None if scores is None else np.asarray(scores(inputs), dtype=np.float64)
    if told is not None and told.ndim == 1:  # of two classes
        told = np.stack([-told, told], axis=1) / (1 if chances is None else 2)
    if chances is None:
        assert told is not None  # noqa: S101 (refused when it was read)
        return opaque.log_probabilities(told)
    found = opaque.log_probabilities(chances(inputs))
    if told is None or told.shape != found.shape:
        return found
    logs = log_softmax(told, axis=1)
    same = np.isclose(np.exp(logs), np.exp(found), rtol=0, atol=1e-6).all(axis=1)
    return np.where(same[:, None], logs, found)
