"""What a gate raises when it cannot judge; a model that judges badly is a failed check instead."""

from __future__ import annotations


class GateError(RuntimeError):
    """The gate itself does not work here, so nothing it says could be trusted."""
