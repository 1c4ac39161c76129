"""What an attacker was allowed and how hard the attacks tried; and what makes that a weak question.

A share that stays right says as much as the attacks that were tried on it: a policy may spend less
than an attack's own standard, or allow an epsilon that moves nothing, but not without saying so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trust_gates.policy import Setting
from trust_gates.robustness import attacks, band
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.spread import spread
from trust_gates.written import number

TINY = 1e-3
"""Of how far a value varies: a smaller change is none that anybody would notice or fear."""

GREY = 1 / 510
"""The same of an image's: half of one grey level of 256, which rounding undoes."""

_NAMED = 8
"""So many features are named, of more only their number is said."""


def pairs(
    policy: Robustness, victim: Victim, samples: Samples, setting: Setting, *, attacked: int
) -> list[tuple[str, str]]:
    """What was asked, in words.

    Args:
        samples: all there are.
        attacked: how many of them were.
    """
    budget, task = policy.budget(setting.seed), victim.task
    each = [attacks.ATTACKS[name] for name in policy.names]
    tried = [f"{one.name} ({one.words(one.spends(budget, task))})" for one in each]
    said = [
        ("norm", policy.norm),
        (
            "epsilon",
            f"{number(policy.epsilon, 6)}, {_part(_shares(victim, samples, budget, setting))}",
        ),
        ("attacks", ", ".join(tried)),
        (
            "samples attacked",
            f"{attacked} of {len(samples)}"
            + (", no more than it took to decide" if policy.sequential else ""),
        ),
        ("confidence", f"{number(setting.confidence, 6)} for all checks of this gate together"),
    ]
    if policy.tolerance is not None:
        within = band.of_constant(samples, policy.tolerance, 0)[band.WITHIN].value
        said.append(
            (
                "tolerance",
                f"{number(policy.tolerance, 6)}; the best constant number is within it for "
                f"{within:.0%} of the samples",
            )
        )
    reach = victim.target.reach
    if reach is not None and not reach.beside:
        low, high = victim.limits
        names = setting.features or tuple(map(str, range(low.size)))
        fixed = np.broadcast_to(reach.immutable, low.shape).ravel()
        said.append(("out of an attacker's reach", _some(names, np.flatnonzero(fixed))))
        if reach.observed:
            said.append(("limits of each feature", "the least and the largest value in the data"))
        else:
            whole = (low <= victim.target.low) & (high >= victim.target.high)
            bounded = np.flatnonzero(~whole.ravel() & ~fixed)
            limits = [
                f" [{number(float(a), 6)}, {number(float(b), 6)}]"
                for a, b in zip(low.flat, high.flat, strict=True)
            ]
            said.append(("bounded", _some(names, bounded, limits)))
    return said


def warnings(policy: Robustness, victim: Victim, samples: Samples, setting: Setting) -> list[str]:
    """What makes the question weaker than its standard."""
    budget, task = policy.budget(setting.seed), victim.task
    found = []
    for name in policy.names:
        attack = attacks.ATTACKS[name]
        spent, own = attack.spends(budget, task), attack.own_effort(task)
        if spent < own:
            found.append(f"{name} got {attack.words(spent)}, less than its own {own}")
    for name in [known for known in attacks.ENSEMBLES if known in policy.attacks]:
        one = attacks.ENSEMBLES[name]
        for unit, got, standard in (
            ("steps", budget.steps, one.steps),
            ("queries", budget.queries, one.queries),
        ):
            if got is not None and got < standard:
                found.append(f"{name} got {got} {unit}, less than the {standard} of its standard")
    if not any(attacks.ATTACKS[name].strong for name in policy.names):
        strong = [a.name for a in attacks.ATTACKS.values() if a.strong and policy.norm in a.norms]
        found.append(
            f"the attacks {', '.join(policy.names)} are weak by design or only approximate: one of "
            f"{', '.join(strong)} may find far more"
        )
    if policy.tolerance is not None:
        within = band.of_constant(samples, policy.tolerance, 0)[band.WITHIN].value
        if within > 0.5:
            found.append(
                f"a tolerance of {number(policy.tolerance, 6)} is so wide that one constant number "
                f"is within it for {within:.0%} of the samples"
            )
    usual = type(policy).model_fields["samples"].default
    if policy.samples < usual:
        found.append(f"at most {policy.samples} samples are attacked, the standard is {usual}")
    tiny = GREY if samples.inputs.ndim == 4 and policy.norm == "linf" else TINY
    shares = _shares(victim, samples, budget, setting)
    small = [name for name, share in shares.items() if share < tiny]
    if small and policy.norm != "l0":
        where = "" if len(small) == len(shares) else f" of {', '.join(small[:_NAMED])}"
        where += f" and {len(small) - _NAMED} others" if where and len(small) > _NAMED else ""
        least = min(shares.values())
        found.append(
            f"epsilon {number(policy.epsilon, 6)} is {number(least, 2)} of the range{where}, "
            f"which changes next to nothing; expected {number(tiny, 2)} of it or more"
            + (": scale the columns" if _of_columns(victim, samples) else "")
        )
    return found


def _of_columns(victim: Victim, samples: Samples) -> bool:
    """Whether each value of an input varies in a way of its own."""
    reach = victim.target.reach
    return samples.inputs.ndim == 2 and not (reach is not None and reach.beside)


def _shares(
    victim: Victim, samples: Samples, budget: Budget, setting: Setting
) -> Mapping[str, float]:
    """Epsilon as a share of how far an input varies: of each feature that an attacker can change,
    as if it were spent on that one alone, or of a whole image."""
    target, count = victim.target, samples.inputs[0].size
    if (reach := target.reach) is not None and reach.beside:
        count -= int(reach.immutable.sum())
    if budget.norm == "l0":
        return {"": budget.epsilon / count}
    if not _of_columns(victim, samples):
        whole = float(target.high) - float(target.low)
        farthest = {"linf": whole, "l2": whole * count**0.5, "l1": whole * count}
        return {"": budget.epsilon / farthest[budget.norm]}
    apart = spread(samples.inputs, target.low, target.high).ravel()
    fixed = np.zeros(count, bool) if target.reach is None else target.reach.immutable
    names = setting.features or tuple(f"feature {index}" for index in range(count))
    free = np.flatnonzero(~np.broadcast_to(fixed, (count,)))
    return {names[index]: float(budget.epsilon / apart[index]) for index in free}


def _part(shares: Mapping[str, float]) -> str:
    least, most = (end(shares, key=shares.__getitem__) for end in (min, max))
    few, many = number(shares[least], 3), number(shares[most], 3)
    if few == many:
        return f"{few} of the inputs' range"
    return f"from {few} ({least}) to {many} ({most}) of a feature's range"


def _some(names: Sequence[str], index: np.ndarray, after: Sequence[str] = ()) -> str:
    said = [f"{names[i]}{after[i] if after else ''}" for i in index[:_NAMED]]
    more = f" and {len(index) - _NAMED} more" if len(index) > _NAMED else ""
    return f"{len(index)} of {len(names)}" + (f": {', '.join(said)}{more}" if said else "")
