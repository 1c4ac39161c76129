"""Are the labels to be trusted: does one feature give them away, and how many look wrong?

Of numbers the first is asked alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Samples
from trust_gates.statistics import Measure, exact, resample_weights, resampled

_BINS = 16
_FINE = 64
"""Of numbers more, so that a feature that is the target under another name shows."""

_FEATURES = 4096
_ROWS = 2000
_FOLDS = 5
_COMPONENTS = 32


def single_feature(train: Samples, test: Samples, names: tuple[str, ...], seed: int) -> Measure:
    """Balanced accuracy on the test samples of the one feature that predicts the label best.

    Each feature alone is cut into 16 bins at its training quantiles, and a bin says the class
    that is most frequent in it, classes weighted equally. Near 1 the feature is the label under
    another name. Images are examined too: a label stamped into a corner is such a feature; of
    more than 4096 values a random choice. It is a property of these samples, and exact.
    """
    assert train.labels is not None and test.labels is not None  # noqa: S101, PT018
    given, asked, classes = train.labels, test.labels, len(train.classes)
    weight = 1 / np.maximum(np.bincount(given, minlength=classes), 1)
    present = [(label, asked == label) for label in np.unique(asked)]

    def score(learned: NDArray[Any], tested: NDArray[Any], bins: int) -> float:
        counts = np.zeros((bins, classes))
        np.add.at(counts, (learned, given), 1)
        said = (counts * weight).argmax(axis=1)[tested]
        return float(np.mean([(said[of_class] == label).mean() for label, of_class in present]))

    return _best(train, test, names, seed, score, _BINS)


def single_feature_r2(train: Samples, test: Samples, names: tuple[str, ...], seed: int) -> Measure:
    """R² on the test samples of the one feature that predicts the target best; likewise, in up to
    64 bins, each of which says the mean of its training targets."""
    assert train.targets is not None and test.targets is not None  # noqa: S101, PT018
    given, asked = (s.astype(np.float64) for s in (train.targets, test.targets))
    spread = float(((asked - asked.mean()) ** 2).sum())

    def score(learned: NDArray[Any], tested: NDArray[Any], bins: int) -> float:
        counts = np.bincount(learned, minlength=bins)
        sums = np.bincount(learned, weights=given, minlength=bins)
        means = np.divide(sums, counts, out=np.full(bins, given.mean()), where=counts > 0)
        return 1 - float(((asked - means[tested]) ** 2).sum()) / spread if spread else np.nan

    return _best(train, test, names, seed, score, _FINE)


def _best(
    train: Samples,
    test: Samples,
    names: tuple[str, ...],
    seed: int,
    score: Callable[[NDArray[Any], NDArray[Any], int], float],
    bins: int,
) -> Measure:
    """The largest score of the bins that each feature's values lie in, of both splits."""
    learned, tested = (s.inputs.reshape(len(s), -1) for s in (train, test))
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.permutation(learned.shape[1])[:_FEATURES])
    best, name = -np.inf, ""
    for feature in chosen:
        cuts = np.unique(np.quantile(learned[:, feature], np.linspace(0, 1, bins + 1)[1:-1]))
        # Right of a cut begins the next bin: a feature of two values has its cut at one of them.
        places = [np.searchsorted(cuts, rows[:, feature], "left") for rows in (learned, tested)]
        found = score(places[0], places[1], len(cuts) + 1)
        if found > best:
            best = found
            name = names[feature] if feature < len(names) == learned.shape[1] else str(feature)
    value = best if np.isfinite(best) else np.nan
    return replace(exact(value, len(test)), of=f"feature {name}")


def noise(samples: Samples, features: NDArray[Any], seed: int) -> Measure:
    """The share of labels that are wrong, by confident learning.

    Out-of-fold probabilities of a logistic regression on `features` (N, D); a sample is confidently
    of class j when its probability of j is at least the mean of those labelled j. The share is
    that of the off-diagonal in the confident joint, calibrated to the label counts. Northcutt,
    Jiang, Chuang, Confident Learning, JAIR 70 (2021), section 3.1.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    assert samples.labels is not None  # noqa: S101
    rows = np.random.default_rng(seed).permutation(len(samples))[:_ROWS]
    flat, given = features.reshape(len(features), -1)[rows], samples.labels[rows]
    present, labels = np.unique(given, return_inverse=True)
    if len(present) < 2 or np.bincount(labels).min() < _FOLDS:
        why = f"every class needs {_FOLDS} samples to cross-validate, and there must be two"
        return Measure(
            value=np.nan,
            samples=len(rows),
            interval=resampled(np.nan, 0, np.zeros(0)).interval,
            missing=why,
        )
    components = min(_COMPONENTS, flat.shape[1], len(flat) // 2)
    probe = make_pipeline(
        StandardScaler(),
        PCA(components, random_state=seed),
        LogisticRegression(max_iter=500),
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    sure = cross_val_predict(probe, flat, labels, cv=folds, method="predict_proba")
    mean = np.array([sure[labels == j, j].mean() for j in range(len(present))])
    confident = sure >= mean
    likely = np.where(confident, sure, -1.0).argmax(axis=1)
    counted = confident.any(axis=1)
    wrong = counted & (likely != labels)

    def share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        totals = np.zeros(len(weights))
        for label in range(len(present)):
            of_class = labels == label
            joint = weights[:, of_class & counted].sum(axis=1)
            off = weights[:, of_class & wrong].sum(axis=1)
            ratio = np.divide(off, joint, out=np.zeros_like(off), where=joint > 0)
            totals += weights[:, of_class].sum(axis=1) * ratio
        result: NDArray[np.float64] = totals / weights.sum(axis=1)
        return result

    value = float(share(np.ones((1, len(rows))))[0])
    return resampled(value, len(rows), share(resample_weights(len(rows), seed)))
