"""Robustness gate: how much does the model still get right when its inputs are attacked?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import PrecisionTable
from trust_gates.robustness import attacks, masking, pictures, weak
from trust_gates.robustness.attacks.interface import Budget, Norm
from trust_gates.robustness.victim import Inputs, Victim, totals
from trust_gates.samples import Samples
from trust_gates.statistics import (
    Measure,
    Requirement,
    decide,
    exact,
    proportion,
    resample_weights,
    resampled,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Required

GATE = "robustness"
_SWEEP_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_SWEEP_SAMPLES = 48
_SWEEP_STEPS = 10
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the gate attacks with, and what must survive."""

    requirements: Sequence[Requirement]
    epsilon: float
    """The largest change of an input, in the norm and in the inputs' own units."""

    norm: Norm = "linf"
    attacks: Sequence[str] = ("fgsm", "pgd", "square")
    samples: int = 128
    sweep: Sequence[float] = ()
    """Further budgets to show; by default a quarter to four times epsilon."""

    confidence: float = 0.95
    seed: int = 0
    steps: int = 20
    queries: int = 60

    def __post_init__(self) -> None:
        unknown = [name for name in self.attacks if name not in attacks.ATTACKS]
        if unknown:
            raise ValueError(f"got attacks {unknown}, expected some of {sorted(attacks.ATTACKS)}")
        for kind in ("white", "black"):
            names = attacks.of_kind(kind)
            if not set(names) & set(self.attacks):
                raise ValueError(
                    f"got attacks {list(self.attacks)}, expected a {kind}-box one of {names} "
                    "too: gradient masking shows only when both kinds are compared"
                )
        if not all(epsilon > 0 for epsilon in (self.epsilon, *self.sweep)):
            raise ValueError(f"got epsilon {self.epsilon}, sweep {self.sweep}, expected > 0")

    @property
    def budget(self) -> Budget:
        """What each attack may spend."""
        return Budget(norm=self.norm, epsilon=self.epsilon, steps=self.steps, queries=self.queries)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Attacked:
    """The worst that the attacks did to each sample, and what was left after each attack."""

    inputs: Inputs
    clean: NDArray[np.int64]
    held: NDArray[np.int64]
    left: dict[str, float] = field(default_factory=dict)


def judge(target: Target, samples: Samples, policy: Policy) -> Evidence:
    """Attack up to `policy.samples` samples and decide on what survives all attacks.

    Metrics: `robust_accuracy` for classifiers; `robust_recall` and `robust_map50` for detectors,
    where the worst attack is taken image by image. A check `gradient_masking` is always added.

    Raises:
        GateError: an attack does not work here, or the model gives no gradients.
        ValueError: the policy names an unknown metric, or there are no samples.
    """
    if not len(samples):
        raise ValueError("got no samples to attack, expected at least one")
    chosen = np.random.default_rng(policy.seed).permutation(len(samples))[: policy.samples]
    samples = samples.take(np.sort(chosen))
    with attacks.seeded(policy.seed):
        broken = {
            name: weak.check_attack(name, samples, target, policy.budget)
            for name in _ordered(policy.attacks)
        }
        victim = Victim.of(target, samples)
        attacked = _attack(victim, samples, policy.attacks, policy.budget)
        epsilons, shares = _sweep(victim, samples, policy)
        signs = _signs(victim, samples, policy, attacked, unbounded=shares[-1])
    flags = signs.flags()
    measures = _measures(victim, samples, attacked, policy.seed)
    measures["gradient_masking"] = exact(len(flags), len(samples))
    masked = Requirement(metric="gradient_masking", required=Required(high=0))
    headline = "robust_recall" if samples.detection else "robust_accuracy"
    return Evidence(
        gate=GATE,
        checks=[
            *decide(GATE, measures, policy.requirements, confidence=policy.confidence),
            *decide(GATE, measures, [masked], confidence=policy.confidence, minimum=0),
        ],
        figures={
            **{name: measure.value for name, measure in measures.items()},
            "clean": signs.clean,
            "noise": signs.noise,
            **{f"after_{name}": left for name, left in attacked.left.items()},
            **{f"weak_model_broken_{name}": share for name, share in broken.items()},
            **{f"at_epsilon_{e:.6g}": s for e, s in zip(epsilons, shares, strict=True)},
        },
        pictures=_pictures(victim, samples, attacked, policy, epsilons, shares, headline),
        captions={
            "robustness-epsilon": (
                "What is left of the model as the attacker's budget epsilon grows."
            ),
            "robustness-examples": ("The samples that lost most: before the attack and after it."),
        },
        notes=[f"gradient masking: {flag}" for flag in flags],
    )


def _ordered(names: Sequence[str]) -> list[str]:
    return [name for name in attacks.ATTACKS if name in names]


def _attack(
    victim: Victim, samples: Samples, names: Sequence[str], budget: Budget, start: Any = None
) -> _Attacked:
    """Run the attacks, the cheap ones first; what one breaks wholly, the dearer ones skip."""
    total = totals(samples).sum()
    clean = victim.held(samples.inputs, samples)
    held = clean.copy() if start is None else np.minimum(start, clean)
    worst = samples.inputs.copy()
    left = {}
    for name in _ordered(names):
        alive = np.flatnonzero(held > 0)
        if len(alive):
            part = samples.take(alive)
            after = attacks.run(name, victim, part, budget)
            now = victim.held(after, part)
            better = now < held[alive]
            worst[alive[better]] = after[better]
            held[alive[better]] = now[better]
        left[name] = float(held.sum() / total) if total else float("nan")
    return _Attacked(inputs=worst, clean=clean, held=held, left=left)


def _sweep(victim: Victim, samples: Samples, policy: Policy) -> tuple[list[float], list[float]]:
    """Epsilons from 0 to one that can turn any input grey, and the share right at each.

    A larger budget contains the smaller, so what is broken once stays broken.
    """
    some = samples.take(np.arange(min(len(samples), _SWEEP_SAMPLES)))
    end = (victim.target.high - victim.target.low) / 2
    if policy.norm == "l2":
        end *= float(np.sqrt(some.inputs[0].size))
    wanted = policy.sweep or [policy.epsilon * factor for factor in _SWEEP_FACTORS]
    epsilons = sorted({e for e in (*wanted, policy.epsilon) if e < end} | {end})
    total = totals(some).sum()
    held = victim.held(some.inputs, some)
    shares = [float(held.sum() / total) if total else float("nan")]
    names = [name for name in policy.attacks if name in attacks.of_kind("white")]
    for epsilon in epsilons:
        budget = Budget(norm=policy.norm, epsilon=epsilon, steps=_SWEEP_STEPS)
        alive = np.flatnonzero(held > 0)
        if len(alive):
            part = some.take(alive)
            held[alive] = _attack(victim, part, names, budget, start=held[alive]).held
        shares.append(float(held.sum() / total) if total else float("nan"))
    return [0.0, *epsilons], shares


def _signs(
    victim: Victim, samples: Samples, policy: Policy, attacked: _Attacked, *, unbounded: float
) -> masking.Signs:
    total = max(totals(samples).sum(), 1)
    low, high = victim.target.low, victim.target.high
    noisy = attacks.noise(samples, policy.budget, low, high, policy.seed)
    white = [attacked.left[n] for n in _ordered(policy.attacks) if n in attacks.of_kind("white")]
    right = samples.take(np.flatnonzero(attacked.clean > 0)[:64])
    gradients = []
    if len(right):
        gradients = [victim.estimator.loss_gradient(right.inputs, victim.truth(right))]
    return masking.Signs(
        clean=float(attacked.clean.sum() / total),
        noise=float(victim.held(noisy, samples).sum() / total),
        fgsm=white[0],
        white_box=white[-1],
        black_box=list(attacked.left.values())[-1],
        unbounded=unbounded,
        vanished=masking.vanished(gradients),
    )


def _measures(
    victim: Victim, samples: Samples, attacked: _Attacked, seed: int
) -> dict[str, Measure]:
    if samples.objects is None:
        held = int(attacked.held.sum())
        return {"robust_accuracy": proportion(held, len(samples))}
    # Objects of one image stand or fall together: images are what is resampled.
    weights = resample_weights(len(samples), seed)
    total = totals(samples)
    claims = victim.target.claims(attacked.inputs)
    table = PrecisionTable.of(claims, samples.objects, len(samples.classes))
    with np.errstate(invalid="ignore"):
        recall = float(np.float64(attacked.held.sum()) / total.sum())
        recalls = (weights @ attacked.held) / (weights @ total)
    precision = float(table.map50(np.ones((1, len(samples))))[0])
    return {
        "robust_recall": resampled(recall, len(samples), recalls),
        "robust_map50": resampled(precision, len(samples), table.map50(weights)),
    }


def _pictures(
    victim: Victim,
    samples: Samples,
    attacked: _Attacked,
    policy: Policy,
    epsilons: Sequence[float],
    shares: Sequence[float],
    headline: str,
) -> dict[str, bytes]:
    shown = {
        "robustness-epsilon": pictures.curve(
            epsilons, shares, chosen=policy.epsilon, norm=policy.norm, figure_name=headline
        )
    }
    # The samples that lost the most, so that a reviewer sees what an attack looks like.
    lost = attacked.clean - attacked.held
    worst = np.argsort(-lost, kind="stable")[:_SHOWN]
    worst = worst[lost[worst] > 0]
    if samples.inputs.ndim != 4 or not len(worst):
        return shown
    before, after = samples.inputs[worst], attacked.inputs[worst]
    boxes = None
    if samples.objects is not None:
        claims = victim.target.claims(before), victim.target.claims(after)
        boxes = list(zip(*claims, strict=True))
        total = totals(samples)[worst]
        held = zip(attacked.clean[worst], attacked.held[worst], total, strict=True)
        captions = [(f"found {c} of {t}", f"attacked: {h} of {t}") for c, h, t in held]
    else:
        names = [
            [samples.classes[k] for k in victim.target.logits(x).argmax(axis=1)]
            for x in (before, after)
        ]
        captions = [(a, f"attacked: {b}") for a, b in zip(*names, strict=True)]
    shown["robustness-examples"] = pictures.examples(
        before,
        after,
        captions,
        low=victim.target.low,
        high=victim.target.high,
        boxes=boxes,
        classes=samples.classes,
    )
    return shown
