"""Which marks does the search for backdoors find, and how often does it alarm without cause?

`python tests/bench/poison.py [data sets] [clean data sets]`: a small network learns each of 1200
digits anew, 35 of them with the mark and another class's label; recall of each detector, and how
many other samples were flagged. Clean digits are searched too. Last the gate itself judges the
first clean digits, its planted backdoors included, and ART's detectors stand beside. About 3
seconds of one core a data set.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("support", "unit/trust_gates")]

from test_gate_integrity_data import digits  # noqa: E402
from test_gate_integrity_poison import corners, poisoned, trained  # noqa: E402

from trust_gates.integrity import poison  # noqa: E402
from trust_gates.integrity.poison.marks import KINDS, Drawn  # noqa: E402
from trust_gates.integrity.poison.suspects import DETECTORS, detect  # noqa: E402
from trust_gates.integrity.policy import Poisoning  # noqa: E402
from trust_gates.policy import Setting  # noqa: E402

COUNT, INTO = 35, 0
Mark = Callable[[np.ndarray], np.ndarray]


def drawn(kind: str) -> Callable[[np.ndarray, np.random.Generator], Mark]:
    def draw(inputs, generator):
        return KINDS[kind].draw(Drawn(inputs=inputs, low=0.0, high=1.0, generator=generator))

    return draw


def each(change: Callable[[np.ndarray, np.random.Generator], None]):
    """A mark that is another on each sample."""

    def draw(_inputs, generator):
        def mark(inputs):
            marked = inputs.copy()
            for image in marked:
                change(image[0], generator)
            return marked

        return mark

    return draw


def some(image, generator):
    for y, x in ((0, 0), (0, 7), (7, 0), (7, 7)):
        image[y, x] = 1 if generator.random() < 0.5 else image[y, x]


def noisy(image, generator):
    image[::7, ::7] = 1 - np.abs(generator.normal(0, 0.1, (2, 2))).clip(0, 1)


def moved(image, generator):
    y, x = generator.integers(5, 7, 2)
    image[y : y + 2, x : x + 2] = 1


def anywhere(image, generator):
    y, x = generator.integers(0, 7, 2)
    image[y : y + 2, x : x + 2] = 1


def fixed(mark: Mark):
    return lambda _inputs, _generator: mark


MARKS = {
    **{kind: drawn(kind) for kind in KINDS},
    "four corner pixels": fixed(corners),
    "the same at 0.8": fixed(lambda x: np.where(corners(x) != x, np.float32(0.8), x)),
    "the same, with noise of 0.1": each(noisy),
    "the same, each in every other sample": each(some),
    "a square, moved by up to a pixel": each(moved),
    "a square anywhere": each(anywhere),
    "a corner 0.3 brighter": fixed(
        lambda x: (x + 0.3 * (np.indices((8, 8)) > 5).all(axis=0)).clip(0, 1).astype(np.float32)
    ),
}


def searched(mark: str, seed: int):
    """Success of the backdoor on new digits, and each detector's recall and false flags."""
    every = digits(1797, seed)
    clean, new = every.take(np.arange(1200)), every.take(np.arange(1200, 1797))
    put = MARKS[mark](clean.inputs, np.random.default_rng(seed))
    samples = poisoned(clean, COUNT, seed, put, INTO)
    bad = samples.labels != clean.labels
    target = trained(samples, seed)
    turned = target.logits(put(new.inputs[new.labels != INTO])).argmax(axis=1) == INTO
    found = {n: one.flagged for n, one in detect(target, samples, list(DETECTORS), seed=0).items()}
    found["any"] = np.any(list(found.values()), axis=0)
    return turned.mean(), {n: (one[bad].mean(), one[~bad].sum()) for n, one in found.items()}


def marked(seeds: int) -> None:
    print(f"{'mark, ' + str(seeds) + ' data sets':40}{'turned':>8}", end="")
    print("".join(f"{name:>24}" for name in (*DETECTORS, "any")))
    for mark in MARKS:
        results = [searched(mark, seed) for seed in range(seeds)]
        print(f"{mark:40}{np.mean([turned for turned, _ in results]):8.2f}", end="")
        for name in results[0][1]:
            recall, false = np.mean([found[name] for _, found in results], axis=0)
            print(f"{f'{recall:.2f} ({false:.1f} false)':>24}", end="")
        print(flush=True)


def clean(seeds: int) -> None:
    alarms = dict.fromkeys((*DETECTORS, "any"), 0)
    for seed in range(seeds):
        samples = digits(1200, seed)
        target = trained(samples, seed)
        found = {
            n: one.flagged.any()
            for n, one in detect(target, samples, list(DETECTORS), seed=0).items()
        }
        found["any"] = any(found.values())
        for name, alarm in found.items():
            alarms[name] += int(alarm)
    print(f"of {seeds} clean data sets alarmed: ", end="")
    print(", ".join(f"{name} {count}" for name, count in alarms.items()), flush=True)


def judged() -> None:
    samples = digits(1200, 0)
    target = trained(samples, 0)
    start = time.perf_counter()
    evidence = poison.scan(target, samples, Poisoning(marks=tuple(KINDS)), Setting())
    print(
        f"the gate on clean digits, {time.perf_counter() - start:.0f} s: {evidence.outcome.value}"
    )
    for check in evidence.checks:
        print(f"  {check.outcome.value}: {check.reason}")
    for name, recall, false in flags_of_art(seed=0):
        print(f"  {name}, four corner pixels: recall {recall:.2f}, false {false:.3f}")


def flags_of_art(seed: int):
    """(name, recall, false positive rate) of ART's own detectors, told the share of poison."""
    from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    from art.estimators.classification import PyTorchClassifier

    clean = digits(1200, seed)
    samples = poisoned(clean, COUNT, seed, corners, INTO)
    bad, target = samples.labels != clean.labels, trained(samples, seed)
    classes = len(samples.classes)
    estimator = PyTorchClassifier(
        target.module, torch.nn.CrossEntropyLoss(), samples.inputs.shape[1:], classes
    )
    truth = np.eye(classes)[samples.labels]
    for analysis in ("smaller", "distance", "silhouette-scores"):
        defence = ActivationDefence(estimator, samples.inputs, truth)
        kept = defence.detect_poison(
            nb_clusters=2, nb_dims=10, reduce="PCA", cluster_analysis=analysis
        )[1]
        flagged = np.asarray(kept) == 0
        yield f"ART activation clustering, {analysis}", flagged[bad].mean(), flagged[~bad].mean()
    share = COUNT / np.count_nonzero(samples.labels == INTO)
    spectral = SpectralSignatureDefense(estimator, samples.inputs, truth, expected_pp_poison=share)
    flagged = np.asarray(spectral.detect_poison()[1]) == 0
    yield "ART spectral signatures", flagged[bad].mean(), flagged[~bad].mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sizes = [int(size) for size in sys.argv[1:]]
    marked(sizes[0] if sizes else 3)
    clean(sizes[1] if len(sizes) > 1 else 40)
    judged()
