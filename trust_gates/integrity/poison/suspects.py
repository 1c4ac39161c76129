"""Which training samples look like the doors of a backdoor? One function a detector.

Activation clustering and spectral signatures point at a part of a class. Natural classes have such
parts too (two ways to write a seven), so a part is suspect only where its inputs speak against
its label much more often than those of the rest of the class do (see `occlusion`), and what they
share opens a door (see `shared`): near a border of classes natural parts are doubted too. That
takes the place of training a network without the part, the exclusionary reclassification of Chen
et al. (2018), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.integrity.poison import occlusion, shared
from trust_gates.samples import Bools, Samples
from trust_gates.statistics import proportion
from trust_gates.target import Target

Floats64 = NDArray[np.float64]

_FEWEST = 5
"""A smaller part of a class says nothing."""

_CONFIDENCE = 0.99
_LOST = 0.5
"""A part is suspect when it looks like its label less than this often as the rest does."""

_CLUSTERS = (2, 4, 8)
_NATURAL = 0.03
"""Up to this share of a class may change its class by one window hidden and mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Suspects:
    """What one detector says of each sample."""

    scores: Floats64
    """(N,) in [0, 1]: higher is more suspicious."""

    flagged: Bools
    """(N,)."""

    @classmethod
    def joined(cls, parts: Sequence[Suspects]) -> Suspects:
        """What a detector says of several sets of samples, one after another."""
        return cls(
            scores=np.concatenate([part.scores for part in parts]),
            flagged=np.concatenate([part.flagged for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Training samples as the detectors see them."""

    target: Target
    samples: Samples
    activations: NDArray[np.float32]
    """(N, D) of the model's last hidden layer."""

    shown: occlusion.Shown
    search: shared.Search
    seed: int

    @classmethod
    def of(cls, target: Target, samples: Samples, *, seed: int) -> View:
        """Ask the model for its activations, and the inputs for what they show."""
        return cls(
            target=target,
            samples=samples,
            activations=target.activations(samples.inputs),
            shown=occlusion.shown(samples),
            search=shared.Search(target, samples, seed=seed),
            seed=seed,
        )

    def classes(self) -> Iterator[tuple[NDArray[np.intp], Floats64]]:
        """Each class's rows (n,) and centred activations (n, D); tiny classes are left out."""
        for label in np.unique(self.shown.labels):
            rows = np.flatnonzero(self.shown.labels == label)
            if len(rows) >= 2 * _FEWEST:
                features = self.activations[rows].astype(np.float64)
                yield rows, features - features.mean(axis=0)


Detector = Callable[[View], Suspects]


def activation_clustering(view: View) -> Suspects:
    """Clusters of a class's activations (Chen et al., 2018, arXiv:1811.03728).

    The paper makes two clusters of ten components; as a small backdoor shares one of two with
    clean samples, four and eight are tried as well.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    def parts(features: Floats64) -> Iterator[Bools]:
        reduced = PCA(min(10, *features.shape), random_state=view.seed).fit_transform(features)
        for count in _CLUSTERS:
            found = KMeans(count, n_init=4, random_state=view.seed).fit_predict(reduced)
            yield from (found == cluster for cluster in range(count))

    return _judge(view, parts)


def spectral_signatures(view: View) -> Suspects:
    """Samples far along a class's first singular vector (Tran et al., 2018, arXiv:1811.00636).

    The paper removes a share that it assumes to be poisoned; as none is known here, the part is
    what lies beyond Tukey's upper fence of the scores.
    """

    def parts(features: Floats64) -> Iterator[Bools]:
        scores = signature(features)
        low, high = np.quantile(scores, [0.25, 0.75])
        yield scores > high + 1.5 * (high - low)

    return _judge(view, parts)


def shared_mark(view: View) -> Suspects:
    """Samples that share what turns others into their class (ours, see `shared`)."""
    scores, flagged = view.search.run()
    return Suspects(scores=scores, flagged=flagged)


def hidden_trigger(view: View) -> Suspects:
    """Samples that model and neighbours class otherwise once one and the same window is hidden.

    Ours; near to SentiNet (Chou et al., 2020) in what it looks for. Images only: rows of features
    have no windows, and none of them is ever flagged.
    """
    samples, shown = view.samples, view.shown
    scores = np.zeros(len(samples))
    flagged = np.zeros(len(samples), dtype=bool)
    if samples.inputs.ndim != 4:
        return Suspects(scores=scores, flagged=flagged)
    mean = samples.inputs.mean(axis=0)
    level = 1 - (1 - _CONFIDENCE) / (len(shown.windows) * len(samples.classes))
    sizes = np.bincount(shown.labels, minlength=len(samples.classes))
    for window, votes, doubted in zip(shown.windows, shown.votes, shown.contradicted, strict=True):
        rows = np.flatnonzero(doubted)
        if not len(rows):
            continue
        said = view.target.logits(occlusion.hide(samples.inputs[rows], window, mean)).argmax(axis=1)
        agreed = 2 * (votes[rows] == said[:, None]).sum(axis=1) > votes.shape[1]
        turned = rows[agreed & (said != shown.labels[rows])]
        counts = np.bincount(shown.labels[turned], minlength=len(sizes))
        for label in np.flatnonzero(counts):
            found = turned[shown.labels[turned] == label]
            scores[found] = np.maximum(scores[found], counts[label] / sizes[label])
            if counts[label] < _FEWEST:
                continue
            least = proportion(int(counts[label]), int(sizes[label])).interval(level).low
            flagged[found] |= least > _NATURAL
    return Suspects(scores=scores, flagged=flagged)


def signature(features: Floats64) -> Floats64:
    """(n,): squared projections of centred features (n, D) on their first singular vector."""
    first = np.linalg.svd(features, full_matrices=False)[2][0]
    result: Floats64 = np.square(features @ first)
    return result


def _judge(view: View, parts: Callable[[Floats64], Iterator[Bools]]) -> Suspects:
    """Flag every part of a class that its inputs speak against; the score is how much they do."""
    alike = view.shown.alike
    scores = np.zeros(len(alike))
    flagged = np.zeros(len(alike), dtype=bool)
    for rows, features in view.classes():
        for part in parts(features):
            inside, rest = alike[rows][part], alike[rows][~part]
            if min(len(inside), len(rest)) < _FEWEST or len(inside) > len(rest):
                continue
            lost = 1 - inside.mean() / max(rest.mean(), 1e-9)
            scores[rows[part]] = np.maximum(scores[rows[part]], lost)
            most = proportion(int(inside.sum()), len(inside)).interval(_CONFIDENCE).high
            if most < _LOST * rest.mean():
                label = int(view.shown.labels[rows[0]])
                flagged[rows[part]] |= view.search.tried(label, rows[part], rows[~part]).opens
    return Suspects(scores=scores, flagged=flagged)


DETECTORS: dict[str, Detector] = {
    "activation_clustering": activation_clustering,
    "spectral_signatures": spectral_signatures,
    "hidden_trigger": hidden_trigger,
    "shared_mark": shared_mark,
}
"""By the names that touchstone.yaml knows them by."""


def detect(
    target: Target, samples: Samples, names: Sequence[str], *, seed: int
) -> dict[str, Suspects]:
    """What each of the detectors says of the samples."""
    view = View.of(target, samples, seed=seed)
    return {name: DETECTORS[name](view) for name in names}
