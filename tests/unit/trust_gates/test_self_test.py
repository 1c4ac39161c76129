"""A gate that would pass what is known to be bad says that its policy asks for nothing."""

import pytest

from trust_gates.errors import PolicyError
from trust_gates.self_test import proved


def test_a_policy_by_which_nothing_is_refused_is_a_wrong_policy() -> None:
    with pytest.raises(PolicyError, match="gates.quality asks for nothing: .* shuffled answers"):
        proved("quality", {"shuffled answers": False})


def test_what_was_refused_is_told() -> None:
    note = proved("quality", {"shuffled answers": True, "half of the answers wrong": False})
    assert note == "refused, as it must be: shuffled answers"
