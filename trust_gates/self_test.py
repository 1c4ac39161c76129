"""Can this gate refuse anyone, by this policy, on these samples?

A measured set must hold a case that can fail: where a gate passes what is known to be bad, its
passing the model says nothing. Each gate has its own known-bad case and judges it as it judges the
model; here stands what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trust_gates.errors import PolicyError
from trust_gates.verdict import Check, Outcome


def refuses(checks: Iterable[Check]) -> bool:
    """Whether one of the checks did not pass, as with any model."""
    return any(check.outcome is not Outcome.PASSED for check in checks)


def proved(gate: str, refused: Mapping[str, bool]) -> str:
    """A note of what the gate refused, as it must.

    Args:
        refused: for each known-bad case, in words, whether the gate refused it.

    Raises:
        PolicyError: it refused none, so the policy asks for nothing.
    """
    seen = [case for case, was in refused.items() if was]
    if not seen:
        raise PolicyError(
            f"gates.{gate} asks for nothing: by its checks {', '.join(refused)} would pass; "
            "expected thresholds that a bad model misses"
        )
    return f"refused, as it must be: {'; '.join(seen)}"
