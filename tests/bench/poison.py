"""How much poison do the integrity gate's detectors find, beside ART's on the same models?

`python tests/bench/poison.py [seeds]`: digits, clean and with a backdoor in a corner; recall and
false positive rate of each detector, seconds, and the gate's outcome. About 30 seconds a seed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("support", "unit/trust_gates")]

from test_gate_integrity_data import digits  # noqa: E402
from test_gate_integrity_poison import INTO, poisoned, trained  # noqa: E402

from trust_gates.integrity import poison  # noqa: E402
from trust_gates.integrity.poison.suspects import DETECTORS, View  # noqa: E402
from trust_gates.policy import Setting  # noqa: E402

COUNT = 60


def flags_of_art(target, samples, share):
    """(name, seconds, flagged) of ART's own detectors; `share` of a class is poison if any is."""
    from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    from art.estimators.classification import PyTorchClassifier

    classes = len(samples.classes)
    estimator = PyTorchClassifier(
        target.module, torch.nn.CrossEntropyLoss(), samples.inputs.shape[1:], classes
    )
    truth = np.eye(classes)[samples.labels]
    for analysis in ("smaller", "distance", "silhouette-scores"):
        start = time.perf_counter()
        defence = ActivationDefence(estimator, samples.inputs, truth)
        clean = defence.detect_poison(
            nb_clusters=2, nb_dims=10, reduce="PCA", cluster_analysis=analysis
        )[1]
        took = time.perf_counter() - start
        yield f"ART activation clustering, {analysis}", took, np.asarray(clean) == 0
    start = time.perf_counter()
    spectral = SpectralSignatureDefense(estimator, samples.inputs, truth, expected_pp_poison=share)
    clean = spectral.detect_poison()[1]
    took = time.perf_counter() - start
    yield "ART spectral signatures, told the share", took, np.asarray(clean) == 0


def flags_of_ours(target, samples, _share):
    """(name, seconds, flagged) of the gate's detectors, which are told nothing."""
    start = time.perf_counter()
    view = View.of(target, samples, seed=0)
    print(f"{'  what all of ours share':44}{time.perf_counter() - start:8.1f} s")
    for name, detector in DETECTORS.items():
        start = time.perf_counter()
        flagged = detector(view).flagged
        yield name, time.perf_counter() - start, flagged


def main(seeds: int) -> None:
    for seed in range(seeds):
        clean = digits(900, seed)
        share = COUNT / (COUNT + np.count_nonzero(clean.labels == INTO))
        for kind, samples in (("clean", clean), ("backdoored", poisoned(clean, COUNT, seed))):
            bad = samples.labels != clean.labels
            target = trained(samples, seed)
            print(f"digits {seed}, {kind}: {bad.sum()} of {len(samples)} samples are poison")
            for flags in (flags_of_art, flags_of_ours):
                for name, took, flagged in flags(target, samples, share):
                    recall = f"{flagged[bad].mean():.2f}" if bad.any() else "-"
                    false = flagged[~bad].mean()
                    print(f"  {name:42}{took:8.1f} s   recall {recall:>5}   false {false:.3f}")
            start = time.perf_counter()
            (check,) = poison.scan(target, samples, setting=Setting(seed=seed)).checks
            took = time.perf_counter() - start
            print(f"  {'the gate, calibration included':42}{took:8.1f} s   {check.outcome.value}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
