"""How often is the sequential verdict wrong, and how many samples does it take?

`python tests/bench/coverage.py` judges 200 models whose robust accuracy is known in closed form,
with real attacks, and prints one table. Exit code 1 where more verdicts are wrong than declared.

The models are linear, and their samples lie at distances from the border that are drawn from a
known normal distribution: a sample survives when its distance exceeds epsilon.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm

from trust_gates.policy import Check, Setting
from trust_gates.robustness.measure import measure
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import decide, proportion
from trust_gates.target import Target
from trust_gates.verdict import Outcome

MODELS = 200
PLANNED = 400
LOW = 0.5
CONFIDENCE = 0.95
TRUTHS = (0.2, 0.35, 0.42, 0.46, 0.49, 0.51, 0.54, 0.58, 0.65, 0.8)
EPSILON = 0.05


def main() -> int:
    """Judge, print the table, and say whether the declared error rate was kept."""
    torch.set_num_threads(1)
    print(f"{MODELS} models, at most {PLANNED} samples each, required >= {LOW} at {CONFIDENCE}\n")
    print("truth   passed  failed  not decided  wrong  average samples  fixed size: wrong, decided")
    wrong_sequential = wrong_fixed = 0
    used = []
    for number, truth in enumerate(TRUTHS):
        rows = [_judged(truth, seed=number * 1000 + n) for n in range(MODELS // len(TRUTHS))]
        sequential = [(check.outcome, check.samples) for check, _ in rows]
        fixed = [check.outcome for _, check in rows]
        right = Outcome.PASSED if truth >= LOW else Outcome.FAILED
        counts = {o: sum(found is o for found, _ in sequential) for o in Outcome}
        wrong = sum(found not in (right, Outcome.INSUFFICIENT) for found, _ in sequential)
        wrong_of_fixed = sum(found not in (right, Outcome.INSUFFICIENT) for found in fixed)
        decided = sum(found is not Outcome.INSUFFICIENT for found in fixed)
        wrong_sequential, wrong_fixed = wrong_sequential + wrong, wrong_fixed + wrong_of_fixed
        used += [samples for _, samples in sequential]
        print(
            f"{truth:.2f} {counts[Outcome.PASSED]:9}{counts[Outcome.FAILED]:8}"
            f"{counts[Outcome.INSUFFICIENT]:13}{wrong:7}"
            f"{np.mean([samples for _, samples in sequential]):17.0f}{wrong_of_fixed:16}{decided:9}"
        )
    share = wrong_sequential / MODELS
    print(
        f"\nwrong: {wrong_sequential} of {MODELS} ({share:.3f}, declared {1 - CONFIDENCE:.3f}); "
        f"fixed size {wrong_fixed}\naverage samples: {np.mean(used):.0f} of {PLANNED}, "
        f"{PLANNED / np.mean(used):.1f}x fewer"
    )
    return 0 if share <= 1 - CONFIDENCE else 1


def _judged(truth: float, seed: int):  # noqa: ANN202
    """The sequential check, and the one on all samples at once."""
    target, samples = _model(truth, seed)
    policy = Robustness(
        checks=[Check(metric="robust_accuracy", at_least=LOW)],
        epsilon=EPSILON,
        attacks=("fgsm", "square"),
        queries=1,  # one step is exact on a linear model: Square could find nothing more
        samples=PLANNED,
    )
    required, setting = policy.requirements, Setting(confidence=CONFIDENCE, seed=seed)
    victim = Victim.of(target, samples)
    (sequential,) = decide(
        "", measure(victim, samples, policy, setting).figures, required, confidence=CONFIDENCE
    )
    whole = measure(victim, samples, policy.model_copy(update={"sequential": False}), setting)
    hits = proportion(int(whole.attacked.held.sum()), PLANNED)
    (fixed,) = decide("", {"robust_accuracy": hits}, required, confidence=CONFIDENCE)
    return sequential, fixed


def _model(truth: float, seed: int, features: int = 8) -> tuple[Target, Samples]:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=features)
    spread = 0.02
    distances = EPSILON + spread * (generator.normal(size=PLANNED) + norm.ppf(truth))
    labels = generator.integers(0, 2, size=PLANNED)
    # Moved by d in every value along the weight's signs, the nearest wrong input is d away.
    signs = np.where(labels == 1, 1, -1)[:, None] * np.sign(weight)
    inputs = (0.5 + distances[:, None] * signs).astype(np.float32)
    module = torch.nn.Linear(features, 2)
    module.weight.data = torch.as_tensor(np.stack([-weight, weight]), dtype=torch.float32)
    module.bias.data = torch.as_tensor([weight.sum() / 2, -weight.sum() / 2], dtype=torch.float32)
    target = Target(module=module, predict=module, low=0.0, high=1.0)
    return target, Samples(inputs=inputs, classes=["no", "yes"], labels=labels)


if __name__ == "__main__":
    raise SystemExit(main())
