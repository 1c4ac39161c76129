"""Robustness gate: how much does the model still get right when its inputs are attacked?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trust_gates.matching import PrecisionTable
from trust_gates.robustness import attacks, masking, pictures, weak
from trust_gates.robustness.attacks.interface import Budget, Norm
from trust_gates.robustness.ensemble import Attacked, attack, share
from trust_gates.robustness.sweep import Curves, sweep
from trust_gates.robustness.victim import Victim, totals
from trust_gates.samples import Samples
from trust_gates.sequential import Look, batches, sequential, settled
from trust_gates.statistics import (
    Measure,
    Requirement,
    decide,
    exact,
    resample_weights,
    resampled,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence, Required

GATE = "robustness"
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the gate attacks with, and what must survive."""

    requirements: Sequence[Requirement]
    epsilon: float
    """The largest change of an input, in the norm and in the inputs' own units."""

    norm: Norm = "linf"
    attacks: Sequence[str] = ("fgsm", "pgd", "square")
    """Names of attacks and of ensembles."""

    samples: int = 128
    """At most so many are attacked."""

    sequential: bool = True
    """Stop a classifier's attacks as soon as the samples seen decide every requirement."""

    sweep: Sequence[float] = ()
    """Further budgets to show; by default a quarter to four times epsilon."""

    confidence: float = 0.95
    seed: int = 0
    steps: int | None = None
    queries: int | None = None
    """Effort of each attack; by default the attack's own, or that of an ensemble."""

    def __post_init__(self) -> None:
        attacks.chosen(self.attacks, self.norm)
        if not all(epsilon > 0 for epsilon in (self.epsilon, *self.sweep)):
            raise ValueError(f"got epsilon {self.epsilon}, sweep {self.sweep}, expected > 0")

    @property
    def names(self) -> list[str]:
        """The attacks in the order they run."""
        return attacks.chosen(self.attacks, self.norm)

    @property
    def budget(self) -> Budget:
        """What each attack may spend."""
        ensembles = [attacks.ENSEMBLES[n] for n in self.attacks if n in attacks.ENSEMBLES]
        return Budget(
            norm=self.norm,
            epsilon=self.epsilon,
            steps=self.steps or max((e.steps for e in ensembles), default=None),
            queries=self.queries or max((e.queries for e in ensembles), default=None),
            seed=self.seed,
        )


def judge(target: Target, samples: Samples, policy: Policy) -> Evidence:
    """Attack up to `policy.samples` samples and decide on what survives all attacks.

    Metrics: `robust_accuracy` for classifiers; `robust_recall` and `robust_map50` for detectors,
    where the worst attack is taken image by image. A check `gradient_masking` is always added.

    Raises:
        GateError: an attack does not work here, or the model gives no gradients.
        ValueError: the policy names an unknown metric, an attack does not serve such models, or
            there are no samples.
    """
    if not len(samples):
        raise ValueError("got no samples to attack, expected at least one")
    attacks.chosen(
        policy.attacks, policy.norm, "detection" if samples.detection else "classification"
    )
    broken = {n: weak.check_attack(n, samples, target, policy.budget) for n in policy.names}
    victim = Victim.of(target, samples)
    samples, attacked, measures, notes = _measure(victim, samples, policy)
    curves = sweep(victim, samples, policy.names, policy.budget, policy.sweep)
    signs = masking.look(victim, samples, attacked, policy.budget, curves.unbounded)
    flags = signs.flags()
    measures["gradient_masking"] = exact(len(flags), len(samples))
    masked = Requirement(metric="gradient_masking", required=Required(high=0))
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
            **{f"after_{name}": attacked.left(name) for name in attacked.after},
            **{f"weak_model_broken_{name}": share for name, share in broken.items()},
        },
        pictures=_pictures(victim, samples, attacked, policy, curves),
        captions={
            "robustness-epsilon": (
                "What is left of the model as the attacker's budget epsilon grows."
            ),
            "robustness-examples": ("The samples that lost most: before the attack and after it."),
        },
        tables=(curves.table(policy.confidence),),
        notes=[*notes, *(f"gradient masking: {flag}" for flag in flags)],
    )


def _measure(
    victim: Victim, samples: Samples, policy: Policy
) -> tuple[Samples, Attacked, dict[str, Measure], list[str]]:
    """The samples attacked, what became of them, the figures, and how the gate came to them."""
    order = np.random.default_rng(policy.seed).permutation(len(samples))[: policy.samples]
    if victim.detection or not policy.sequential:
        chosen = samples.take(np.sort(order))
        attacked = attack(victim, chosen, policy.names, policy.budget)
        if victim.detection:
            return chosen, attacked, _of_detector(victim, chosen, attacked, policy.seed), []
        return chosen, attacked, {"robust_accuracy": share(attacked.held, chosen, policy.seed)}, []
    seen: Attacked | None = None
    looks: list[Look] = []
    for rows in batches(len(order)):
        new = attack(victim, samples.take(order[rows]), policy.names, policy.budget)
        seen = new if seen is None else seen.joined(new)
        looks.append((int(seen.held.sum()), len(seen.held)))
        measures = {"robust_accuracy": sequential(looks, planned=len(order))}
        if settled(decide(GATE, measures, policy.requirements, confidence=policy.confidence)):
            break
    assert seen is not None  # noqa: S101 (there is at least one sample)
    used = len(seen.held)
    note = f"sequential: {used} of at most {len(order)} samples were needed"
    return samples.take(order[:used]), seen, measures, [note]


def _of_detector(
    victim: Victim, samples: Samples, attacked: Attacked, seed: int
) -> dict[str, Measure]:
    assert samples.objects is not None  # noqa: S101 (a detector's samples)
    weights = resample_weights(len(samples), seed)
    claims = victim.target.claims(attacked.inputs)
    table = PrecisionTable.of(claims, samples.objects, len(samples.classes))
    precision = float(table.map50(np.ones((1, len(samples))))[0])
    return {
        "robust_recall": share(attacked.held, samples, seed),
        "robust_map50": resampled(precision, len(samples), table.map50(weights)),
    }


def _pictures(
    victim: Victim,
    samples: Samples,
    attacked: Attacked,
    policy: Policy,
    curves: Curves,
) -> dict[str, bytes]:
    shown = {
        "robustness-epsilon": pictures.curve(
            curves,
            chosen=policy.epsilon,
            norm=policy.norm,
            figure_name="robust_recall" if samples.detection else "robust_accuracy",
            confidence=policy.confidence,
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
