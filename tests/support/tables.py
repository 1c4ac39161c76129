"""Tables of people as the fairness literature judges on, drawn from distributions that stand here.

None is real: what they have in common with COMPAS, UCI Adult and German credit is what makes those
hard to judge, which is few columns of few values (different people are equal rows), a column up to
99999 beside shares, one-hot columns, small groups, and classes that are called 1 and 2. With `gap`
0 the label does not depend on the protected attribute, neither itself nor by another column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from touchstone.training import dataset
from touchstone.training.dataset import Dataset
from touchstone.training.spec import Description, RawData


def compas(rows: int, *, seed: int, gap: float = 0.0) -> RawData:
    """Age 18 to 69 uniform, priors geometric (mean 2.3, to 20), 4/5 male, 2/3 felonies; race 51 %,
    34 %, 15 %. Recidivism is logistic in priors and age; with a gap the first race has more priors.
    """
    draw = np.random.default_rng(seed)
    race = draw.choice(3, rows, p=[0.51, 0.34, 0.15])
    priors = np.minimum(
        draw.geometric(0.3, rows) - 1 + (race == 0) * draw.poisson(6 * gap, rows), 20
    )
    age = draw.integers(18, 70, rows)
    male, felony = draw.random(rows) < 0.8, draw.random(rows) < 0.65
    score = 1.2 * (priors - 2.3) - (age - 43) / 8
    columns = {
        "age": (age - 18) / 52,
        "priors": priors / 20,
        "male": male,
        "felony": felony,
    }
    return _raw(
        columns,
        draw.random(rows) < _logistic(score - 4 * gap),
        classes=("no", "yes"),
        protected={"race": (("african", "caucasian", "other"), race)},
        immutable=["age", "male"],
        seed=seed,
    )


def adult(rows: int, *, seed: int, gap: float = 0.0) -> RawData:
    """Age 17 to 89, education 1 to 16, half work 40 hours, the others 1 to 98; one in twelve has a
    capital gain, log-normal to 99999; race one-hot of five (85 % to 1 %), sex one-hot. Income is
    logistic in education, hours and gain; with a gap in sex as well.
    """
    draw = np.random.default_rng(seed)
    race = draw.choice(5, rows, p=[0.82, 0.1, 0.04, 0.02, 0.02])
    sex = draw.integers(0, 2, rows)
    education = draw.binomial(15, 0.6, rows) + 1
    hours = np.where(draw.random(rows) < 0.5, 40, draw.integers(1, 99, rows))
    gain = np.round(np.exp(draw.normal(8.5, 1.2, rows))).clip(100, 99999)
    gain = np.where(draw.random(rows) < 1 / 12, gain, 0)
    score = 1.2 * (education - 10) + (hours - 45) / 8 + 2 * (gain > 5000) + 8 * gap * (sex - 0.5)
    columns = {
        "age": draw.integers(17, 90, rows),
        "education": education,
        "hours": hours,
        "capital_gain": gain,
        **{f"race_{index}": race == index for index in range(5)},
        **{f"sex_{index}": sex == index for index in range(2)},
    }
    return _raw(
        columns,
        draw.random(rows) < _logistic(score),
        classes=("<=50K", ">50K"),
        protected={
            "race": (("white", "black", "asian", "native", "other"), race),
            "sex": (("female", "male"), sex),
        },
        immutable=["age", *(name for name in columns if "_" in name and name != "capital_gain")],
        seed=seed,
    )


def german(rows: int, *, seed: int, gap: float = 0.0) -> RawData:
    """Months 4 to 72 by sixes, amount log-normal to 18424, account, history and savings coded from
    0 on, age 19 to 75; one in four is under 26. Class 1 is a good credit, 2 a bad one, logistic in
    account, history and months; with a gap in youth as well.
    """
    draw = np.random.default_rng(seed)
    age = np.where(
        draw.random(rows) < 0.25, draw.integers(19, 26, rows), draw.integers(26, 76, rows)
    )
    young = age < 26
    months = 6 * draw.integers(1, 13, rows)
    account, history = draw.integers(0, 4, rows), draw.integers(0, 5, rows)
    score = (
        2.4 * (account - 1.5) + 1.5 * (history - 2) - (months - 39) / 12 - 8 * gap * (young - 0.25)
    )
    columns = {
        "months": months / 72,
        "amount": np.exp(draw.normal(7.8, 0.8, rows)).clip(250, 18424).round() / 18424,
        "account": account / 3,
        "history": history / 4,
        "savings": draw.integers(0, 5, rows) / 4,
        "age": age / 75,
    }
    return _raw(
        columns,
        draw.random(rows) >= _logistic(score + 1.5),
        classes=("1", "2"),
        protected={"age_group": (("young", "old"), np.where(young, 0, 1))},
        immutable=["age", "history"],
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A table, and how many rows of it there are in the one that it is drawn after."""

    draw: Callable[..., RawData]
    rows: int


TABLES: Mapping[str, Known] = {
    "compas": Known(draw=compas, rows=6172),
    "adult": Known(draw=adult, rows=6000),
    "german": Known(draw=german, rows=1000),
}


def split(name: str, *, seed: int = 0, gap: float = 0.0) -> Dataset:
    """A table as the pipeline splits it."""
    known = TABLES[name]
    return dataset.split(known.draw(known.rows, seed=seed, gap=gap))


def leaky(data: Dataset, share: float, *, seed: int = 0) -> Dataset:
    """With a share of the training rows copied over rows of the test split."""
    draw = np.random.default_rng(seed)
    train, test = data.splits["train"], data.splits["test"]
    count = min(round(share * len(train["labels"])), len(test["labels"]))
    sources = draw.permutation(len(train["labels"]))[:count]
    places = draw.permutation(len(test["labels"]))[:count]
    changed = {name: array.copy() for name, array in test.items()}
    for name, array in changed.items():
        array[places] = train[name][sources]
    return replace(data, splits={**data.splits, "test": changed})


def mislabelled(data: Dataset, share: float, *, seed: int = 0) -> Dataset:
    """With a share of the training labels exchanged."""
    train = data.splits["train"]
    wrong = np.random.default_rng(seed).random(len(train["labels"])) < share
    changed = {**train, "labels": np.where(wrong, 1 - train["labels"], train["labels"])}
    return replace(data, splits={**data.splits, "train": changed})


def _raw(
    columns: Mapping[str, np.ndarray],
    positive: np.ndarray,
    *,
    classes: tuple[str, str],
    protected: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    immutable: list[str],
    seed: int,
) -> RawData:
    inputs = np.stack([np.asarray(column) for column in columns.values()], axis=1)
    inputs = inputs.astype(np.float32)
    described = Description(
        task="classification",
        classes=classes,
        inputs={
            "shape": [inputs.shape[1]],
            "low": 0.0,
            "high": float(inputs.max()),
            "kind": "tabular",
            "features": list(columns),
            "immutable": immutable,
        },
        protected={name: values for name, (values, _) in protected.items()},
        seed=seed,
    )
    groups = {f"protected_{name}": index.astype(np.int64) for name, (_, index) in protected.items()}
    labels = positive.astype(np.int64)
    return RawData(description=described, arrays={"inputs": inputs, "labels": labels, **groups})


def _logistic(score: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-score))
