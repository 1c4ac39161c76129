"""Something to count, and the check that comes of it: what is exact needs no interval."""

from __future__ import annotations

from dataclasses import dataclass

from trust_gates.statistics import exact
from trust_gates.verdict import Check, Outcome, Required

GATE = "integrity"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to count, and the names of what was counted."""

    name: str
    items: list[str]
    examined: int
    required: Required = Required(high=0)
    good: str = ""

    def check(self) -> Check:
        """Passed or failed, naming the first few items."""
        count = len(self.items)
        interval = exact(count).interval(1.0)
        outcome = self.required.decide(count, interval)
        shown = "; ".join(self.items[:5]) + (f"; and {count - 5} more" if count > 5 else "")
        reason = f"{self.name}: got {count}, expected {self.required}"
        if outcome is Outcome.PASSED:
            reason += f" ({self.good or shown})" if self.good or shown else ""
        elif shown:
            reason += f": {shown}"
        return Check(
            gate=GATE,
            name=self.name,
            measured=float(count),
            interval=interval,
            required=self.required,
            samples=self.examined,
            outcome=outcome,
            reason=reason,
        )
