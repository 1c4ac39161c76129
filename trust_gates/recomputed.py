"""Does the evidence of a gate say what its own figures and the policy say?

The verdict takes no gate's word: what is required it reads in the policy, and each outcome it
decides again from the interval. Evidence can only lose by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from trust_gates.metric import of_evaluation, on_evaluation, plain
from trust_gates.policy import GatePolicy
from trust_gates.verdict import Check, Evidence, Outcome, Required, unshown
from trust_gates.written import number

_ROUNDING = 1e-9


def recomputed(
    evidence: Evidence, policy: GatePolicy, *, confidence: float, evaluation: bool = False
) -> Evidence:
    """The evidence as the policy and the figures have it.

    A check fails where the policy does not know it or requires something else of it, where its
    interval is at less than `confidence`, or where its interval does not show what it says. What
    the policy requires and no check is about fails too; with `evaluation`, of a gate that asks the
    model, on the organisation's evaluation data as well as on the author's.
    """
    asked = {one.metric: one.required for one in policy.requirements}
    must = {**policy.always, **policy.as_served, **asked}
    may = {**policy.sometimes, **must}
    checks = [_held(check, may, evidence.gate, confidence) for check in evidence.checks]
    names = {one: one for one in must}
    if evaluation and policy.as_served:
        names |= {on_evaluation(one): one for one in names}
    seen = {_whole(check.name) for check in checks}
    absent = {name: must[one] for name, one in names.items() if name not in seen}
    return replace(evidence, checks=[*checks, *_absent(evidence.gate, absent)])


def _whole(name: str) -> str:
    """The name of a check without the comparison that it is of."""
    return on_evaluation(plain(name)) if of_evaluation(name) else plain(name)


def _held(check: Check, required: Mapping[str, Required], gate: str, confidence: float) -> Check:
    known = required.get(check.name) or required.get(plain(check.name))
    why = ""
    if check.gate != gate:
        why = f"it is a check of the {check.gate} gate in evidence of the {gate} gate"
    elif known is None:
        why = "the policy requires nothing of that name"
    elif known != check.required:
        why = f"it was held to {check.required}, the policy requires {known}"
    elif check.interval.confidence < confidence - _ROUNDING:
        why = (
            f"its interval is at {number(check.interval.confidence, 6)}, "
            f"the policy asks for {number(confidence, 6)}"
        )
    else:
        shown = known.decide(check.measured, check.interval)
        if check.outcome is Outcome.PASSED and shown is not Outcome.PASSED:
            why = (
                f"it was said to have passed, but got {number(check.measured, 6)} in "
                f"[{number(check.interval.low, 6)}, {number(check.interval.high, 6)}], "
                f"expected {known}"
            )
    if not why:
        return check
    return replace(
        check,
        gate=gate,
        required=known or check.required,
        outcome=Outcome.FAILED,
        reason=f"{check.name}: the evidence does not hold: {why}",
    )


def _absent(gate: str, required: Mapping[str, Required]) -> Iterator[Check]:
    for name, one in required.items():
        reason = f"{name}: the policy requires {one}, the evidence has no such check"
        yield unshown(gate, name, one, reason)
