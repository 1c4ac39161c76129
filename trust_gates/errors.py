"""What a gate raises when it cannot judge; a model that judges badly is a failed check instead."""

from __future__ import annotations


class GateError(RuntimeError):
    """The gate itself does not work here, so nothing it says could be trusted."""


class HostGoneError(GateError):
    """The model host ended, or said something that was not agreed on: it answers no more."""


class MissingExtraError(RuntimeError):
    """A library that only some models need is not installed."""

    def __init__(self, kind: str, extra: str) -> None:
        super().__init__(
            f"{kind} needs libraries that are not installed; "
            f"install them with: pip install 'touchstone[{extra}]'"
        )


class PolicyError(ValueError):
    """The policy does not say what a gate must require."""


class UnfitModelError(PolicyError):
    """The model is of a kind that the policy's gate cannot judge."""


class ForeignTypesError(ValueError):
    """A skops file holds types that skops does not know: loading them may run code."""
