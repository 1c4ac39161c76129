"""What does an AutoAttack-strength verdict cost, against ART's AutoAttack and torchattacks'?

`python tests/bench/robustness.py [samples]` trains a small network on scikit-learn's digits and
prints one table, the peers measured in the same run on the same samples and thread. Peers that are
not installed (`pip install --no-deps -r requirements-bench.lock`) are named as absent. torchattacks
takes 10 steps where AutoAttack's authors take 100: it is measured at both.

Exit code 1 where a robust accuracy differs by more than one sample, a sequential verdict from the
one on all samples, or a ratio that Touchstone promises is missed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from trust_gates.policy import Check, Setting
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import attack
from trust_gates.robustness.measure import measure
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import decide, proportion
from trust_gates.target import Target

EPSILON = 0.1
SAMPLES = 100
GATE_SAMPLES = 400
PROMISED_ART = 12.0
PROMISED_SEQUENTIAL = 3.0
NAMES = attacks.ENSEMBLES["autoattack"].attacks
BUDGET = Budget(norm="linf", epsilon=EPSILON, steps=100, queries=5000)


def main() -> int:
    """Measure, print the table, and say whether the promises were kept."""
    torch.set_num_threads(1)  # each peer as fast as one core lets it: ratios then carry over
    logging.disable(logging.WARNING)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    target, everything = digits_network()
    samples = everything.take(np.arange(count))
    victim = Victim.of(target, samples)
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}")
    print(
        f"digits network, linf {EPSILON}, {count} samples: "
        "processor seconds, and samples still right\n"
    )
    ours = {}
    for steps in (100, 10):
        ours[steps] = _timed(lambda steps=steps: _ours(victim, samples, steps))
        left, seconds = ours[steps]
        print(f"{f'Touchstone, autoattack, {steps} steps':<44}{seconds:8.1f} s{left:6}")
    kept = True
    for name, module, steps, peer, promised in (
        ("torchattacks' AutoAttack, 100 steps", "torchattacks", 100, _torchattacks, 1.0),
        ("torchattacks' AutoAttack, its own 10 steps", "torchattacks", 10, _torchattacks, 1.0),
        ("ART's AutoAttack, its own 100 steps", "multiprocess", 100, _art, PROMISED_ART),
    ):
        if importlib.util.find_spec(module) is None:
            print(f"{name:<44}  absent: {module} is not installed")
            continue
        left, theirs = _timed(lambda peer=peer, steps=steps: peer(victim, samples, steps))
        right, seconds = ours[steps]
        ratio = theirs / seconds
        print(f"{name:<44}{theirs:8.1f} s{left:6}   {ratio:.1f}x our time, aim {promised:g}x")
        kept &= ratio >= promised and abs(left - right) <= 1
    print()
    kept &= _sequential(target, everything.take(np.arange(min(GATE_SAMPLES, len(everything)))))
    print(f"\nsame answers, promised ratios: {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


def _ours(victim: Victim, samples: Samples, steps: int) -> int:
    return int(attack(victim, samples, NAMES, replace(BUDGET, steps=steps)).held.sum())


def _sequential(target: Target, samples: Samples) -> bool:
    """The gate that stops early against the same attacks on all samples."""
    victim, kept = Victim.of(target, samples), True
    held, whole = _timed(lambda: attack(victim, samples, NAMES, BUDGET).held)
    share = float(held.mean())
    print(f"{f'autoattack on all {len(samples)} samples':<44}{whole:8.1f} s   {share:.3f} right")
    for low in (share - 0.25, share + 0.25):
        policy = Robustness(
            checks=[Check(metric="robust_accuracy", at_least=min(max(low, 0), 1))],
            epsilon=EPSILON,
            attacks=("autoattack",),
            samples=len(samples),
        )
        required = policy.requirements
        fixed = proportion(int(held.sum()), len(samples))
        (expected,) = decide("", {"robust_accuracy": fixed}, required, confidence=0.95)
        found, seconds = _timed(lambda policy=policy: measure(victim, samples, policy, Setting()))
        (check,) = decide("", found.figures, required, confidence=0.95)
        ratio = whole / seconds
        print(
            f"{f'sequential, at least {low:.2f} required':<44}{seconds:8.1f} s   {check.outcome} "
            f"after {check.samples}, {ratio:.1f}x less, aim {PROMISED_SEQUENTIAL:g}x"
        )
        kept &= check.outcome is expected.outcome and ratio >= PROMISED_SEQUENTIAL
    return kept


def _torchattacks(victim: Victim, samples: Samples, steps: int) -> int:
    import torchattacks

    module = victim.target.module
    peer = torchattacks.AutoAttack(module, norm="Linf", eps=EPSILON, n_classes=10, seed=0)
    for each in peer._autoattack.attacks[:3]:  # Square, the fourth, counts queries
        each.steps = steps
    labels = torch.from_numpy(samples.labels)
    attacked = peer(torch.from_numpy(samples.inputs), labels)
    return int(victim.held(attacked.detach().numpy(), samples).sum())


def _art(victim: Victim, samples: Samples, steps: int) -> int:
    from art.attacks.evasion import AutoAttack

    np.random.seed(0)
    peer = AutoAttack(victim.estimator, norm=np.inf, eps=EPSILON, eps_step=2 * EPSILON)
    for each in peer.attacks:
        each.set_params(verbose=False)
    for each in peer.attacks[:3]:  # Square, the fourth, counts queries
        each.set_params(max_iter=steps)
    attacked = peer.generate(x=samples.inputs, y=victim.truth(samples))
    return int(victim.held(attacked, samples).sum())


def network(side: int = 8) -> torch.nn.Module:
    """Untrained, for pictures (1, side, side) of ten classes."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * side * side, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def digits_network(side: int = 8) -> tuple[Target, Samples]:
    """A trained one and its held-out pictures, each pixel `side / 8` wide."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    inputs = (images[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    inputs = np.kron(inputs, np.ones((side // 8, side // 8), dtype=np.float32))
    labels = labels[order].astype(np.int64)
    torch.manual_seed(0)
    module = network(side)
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    trained = torch.from_numpy(inputs[:1200]), torch.from_numpy(labels[:1200])
    for _ in range(12):
        for rows in torch.randperm(1200).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(trained[0][rows]), trained[1][rows]).backward()
            optimizer.step()
    module.eval()
    held_out = Samples(
        inputs=inputs[1200:], classes=[str(k) for k in range(10)], labels=labels[1200:]
    )
    return Target(module=module, predict=module, low=0.0, high=1.0), held_out


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    return call(), time.process_time() - began


if __name__ == "__main__":
    raise SystemExit(main())
