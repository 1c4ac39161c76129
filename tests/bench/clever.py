"""What does a CLEVER score cost, against ART's, and is it the same?

`python tests/bench/clever.py [samples] [seeds]` scores the digits network of `robustness.py` with
ART's `clever_u` and with ours, at equal batches and points, and prints a row a sample: the median
and the range over seeds of both, since one score of either is random. Exit code 1 where our median
lies farther from ART's range than that range is wide, or the promised ratio is missed.
"""

from __future__ import annotations

import os
import platform
import sys
import time

import numpy as np
import torch
from robustness import digits_network

from trust_gates.robustness.budget import Budget
from trust_gates.robustness.figures.clever import Effort, scores
from trust_gates.robustness.victim import Victim

SAMPLES = 4
SEEDS = 3
PROMISED = 5.0
RADIUS = 0.4
EFFORT = Effort()


def main() -> int:
    """Measure, print the table, and say whether the promise was kept."""
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else SEEDS
    target, everything = digits_network()
    samples = everything.take(np.arange(count))
    victim = Victim.of(target, samples)
    from art.metrics import clever_u

    theirs, ours, times = np.zeros((seeds, count)), np.zeros((seeds, count)), [0.0, 0.0]
    for seed in range(seeds):
        began = time.process_time()
        np.random.seed(seed)
        theirs[seed] = [
            clever_u(
                victim.estimator,
                sample,
                EFFORT.batches,
                EFFORT.size,
                RADIUS,
                np.inf,
                pool_factor=EFFORT.pool,
                verbose=False,
            )
            for sample in samples.inputs
        ]
        times[0] += time.process_time() - began
        began = time.process_time()
        budget = Budget(norm="linf", epsilon=RADIUS / 4, seed=seed)
        found = scores(victim, samples, budget, radius=RADIUS, effort=EFFORT)
        ours[seed] = found.score.min(axis=1)
        times[1] += time.process_time() - began
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}")
    print(f"{EFFORT.batches} batches of {EFFORT.size}, linf radius {RADIUS}, {seeds} seeds\n")
    print(f"{'sample':<8}{'ART: median':>13}{'range':>18}{'ours: median':>15}{'range':>18}")
    same = True
    for index in range(count):
        art, own = theirs[:, index], ours[:, index]
        near = art.min() - np.ptp(art) <= np.median(own) <= art.max() + np.ptp(art)
        # A sample that the model has wrong is at no distance; ART scores its answer instead.
        wrong = not victim.held(samples.inputs[[index]], samples.take(np.array([index])))[0]
        same &= bool(near or wrong)
        print(
            f"{index:<8}{np.median(art):>13.4f}{f'{art.min():.4f} to {art.max():.4f}':>18}"
            f"{np.median(own):>15.4f}{f'{own.min():.4f} to {own.max():.4f}':>18}"
            + ("   wrong already" if wrong else "" if near else "   DIFFERS")
        )
    each = [seconds / seeds / count for seconds in times]
    ratio = each[0] / each[1]
    print(f"\nprocessor seconds a sample: ART {each[0]:.2f}, ours {each[1]:.2f}: {ratio:.1f}x less")
    kept = same and ratio >= PROMISED
    print(f"same scores, aim {PROMISED:g}x: {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
