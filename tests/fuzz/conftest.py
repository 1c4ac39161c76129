"""How long the fuzz tests look: `quick` in the suite, always at the same examples, or `long`.

`make fuzz` runs `long` again and again, each time with a new seed, until FUZZ_SECONDS are over.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, settings

_COMMON = {
    "deadline": None,  # a busy machine is not a bug; `no_hang` finds what never ends
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    "phases": [phase for phase in Phase if phase is not Phase.explain],  # takes minutes
}
settings.register_profile("quick", max_examples=60, derandomize=True, database=None, **_COMMON)
settings.register_profile("long", max_examples=1500, print_blob=True, **_COMMON)
settings.load_profile("quick")  # --hypothesis-profile=long goes before

_HANGS_AFTER = 600


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that does not end by itself, showing where it was."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still running after {_HANGS_AFTER} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_HANGS_AFTER)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
