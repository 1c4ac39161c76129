"""$(NAME) in command, args and env, as Kubernetes expands it."""

from __future__ import annotations

import pytest

from touchstone.engine.language.substitute import expand_environment


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "1$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$", "$"),
        ("echo $$ > pid", "echo $ > pid"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$(any text)", "2"),
    ],
)
def test_a_dollar_is_escaped_by_another_and_unknown_names_stay(text: str, expanded: str) -> None:
    assert expand_environment(text, {"A": "1", "any text": "2"}) == expanded
