"""Does the model only hide its gradients? Then its robustness to white-box attacks is a mirage.

The signs are those of Athalye et al. 2018, "Obfuscated gradients give a false sense of security",
of Carlini et al. 2019, "On evaluating adversarial robustness", and the flags that AutoAttack
raises (Croce & Hein 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import Attacked, ratio
from trust_gates.robustness.gradients import loss_gradients
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples

MARGIN = 0.1
"""A black-box attack may find this share more than the white-box ones left over, and a targeted
attack this share more than untargeted ones."""

NEAR_ZERO = 0.1
"""At a budget that can turn every input grey, no more than this share may still be right."""

VANISHED = 0.1
"""At most this share of samples may have a loss gradient of exactly zero."""

_ASKED = 64
"""Samples whose gradients and repeated answers are looked at."""

_SAME = 1e-3
"""Answers to the same question may differ by this part of their size: devices round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What the attacks left, as shares from 0 to 1; NaN where nothing could be measured."""

    clean: float
    noise: float
    first: float
    """After the cheapest white-box attack."""

    white_box: float
    black_box: float
    """After the black-box attacks as well: never above `white_box`."""

    vanished: float
    """Share of samples with a gradient of exactly zero."""

    unbounded: float | None = None
    """At the end of the sweep; None where the attacker may not change every value."""

    targeted_gain: float = 0.0
    """What targeted attacks found beyond the iterated untargeted ones before them."""

    random: bool = False
    """Whether the same question gets different answers."""

    probabilities: bool = False
    """Whether the answers are probabilities instead of logits."""

    def flags(self) -> list[str]:
        """Why gradients may be masked, in words; empty when nothing points to it."""
        flags = []
        if not self.white_box - self.black_box <= MARGIN:
            flags.append(
                f"black-box attacks found {self.white_box - self.black_box:.2f} more than "
                f"white-box ones, expected at most {MARGIN}"
            )
        if self.unbounded is not None and not self.unbounded <= NEAR_ZERO:
            flags.append(
                f"{self.unbounded:.2f} is still right at the largest epsilon, "
                f"expected at most {NEAR_ZERO}"
            )
        lost = self.clean - self.noise
        if lost > MARGIN / 2 and lost >= self.clean - self.first:
            flags.append(
                f"random noise costs {lost:.2f}, as much as the first attack "
                f"({self.clean - self.first:.2f}), which follows the gradient"
            )
        if not self.vanished <= VANISHED:
            flags.append(
                f"{self.vanished:.2f} of the samples have no gradient at all, "
                f"expected at most {VANISHED}"
            )
        if not self.targeted_gain <= MARGIN:
            flags.append(
                f"targeted attacks found {self.targeted_gain:.2f} more than untargeted ones, "
                f"expected at most {MARGIN}: the loss gradient misleads"
            )
        if self.random:
            flags.append(
                "the same input got different answers, so no attack could be trusted; make the "
                "model deterministic or attack its expected answer"
            )
        if self.probabilities:
            flags.append(
                "the answers look like probabilities, whose gradients vanish; return logits, "
                "without a softmax, from `predict`"
            )
        return flags


def look(
    victim: Victim,
    samples: Samples,
    attacked: Attacked,
    budget: Budget,
    unbounded: float,
) -> Signs:
    """Everything that could give masked gradients away, after the attacks have run."""
    kinds = {name: attacks.ATTACKS[name] for name in attacked.after}
    white = [attacked.left(name) for name, attack in kinds.items() if attack.kind == "white"]
    noisy = attacks.noise(victim, samples, budget)
    right = samples.take(np.flatnonzero(attacked.clean > 0)[:_ASKED])
    answers = _answers(victim, right), _answers(victim, right)
    reach = victim.target.reach
    return Signs(
        clean=ratio(attacked.clean, attacked.total),
        noise=ratio(victim.held(noisy, samples), attacked.total),
        first=white[0],
        white_box=white[-1],
        # Under l0 the white-box attack is greedy, and a random search may well find more.
        black_box=white[-1] if budget.norm == "l0" else attacked.left(list(attacked.after)[-1]),
        vanished=vanished(replace(victim, target=victim.pursued(budget)), right),
        unbounded=None if reach is not None and not reach.whole else unbounded,
        targeted_gain=_targeted_gain(attacked),
        random=_differ(*answers),
        probabilities=not victim.detection and _are_probabilities(answers[0][0]),
    )


def vanished(victim: Victim, samples: Samples) -> float:
    """The share of samples whose gradient is exactly zero or not finite; NaN without any.

    It is the gradient that attacks follow: a large scale of the logits alone hides nothing.
    """
    if not len(samples):
        return float("nan")
    gradients = loss_gradients(victim, samples, log_odds=True)
    dead = [not np.isfinite(gradient).all() or not np.any(gradient) for gradient in gradients]
    return float(np.mean(dead))


def _targeted_gain(attacked: Attacked) -> float:
    """Only an attack at full strength is a fair rival: a restrained one leaves more for others."""
    gain, before = 0.0, None
    for name in attacked.after:
        attack = attacks.ATTACKS[name]
        if attack.targeted and before is not None:
            gain = max(gain, before - attacked.left(name))
        elif attack.kind == "white" and not attack.targeted and not attack.restrained:
            before = attacked.left(name)
    return gain


def _answers(victim: Victim, samples: Samples) -> list[NDArray[Any]]:
    """What the model says, as arrays; for a detector the scores of each image."""
    if not len(samples):
        return [np.zeros((0, 1))]
    if not victim.detection:
        return [victim.target.logits(samples.inputs)]
    return [np.asarray(image.scores) for image in victim.target.claims(samples.inputs)]


def _differ(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    for a, b in zip(one, other, strict=True):
        if a.shape != b.shape or not np.allclose(
            a, b, rtol=_SAME, atol=_SAME * float(np.abs(a).max(initial=0)), equal_nan=True
        ):
            return True
    return False


def _are_probabilities(logits: NDArray[Any]) -> bool:
    return bool(
        len(logits)
        and (logits >= 0).all()
        and (logits <= 1).all()
        and np.allclose(logits.sum(axis=1), 1, atol=1e-3)
    )
