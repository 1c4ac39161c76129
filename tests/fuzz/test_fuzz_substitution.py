"""Substitution against a reference written in the plainest way."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import strategies as ours
from touchstone.engine.language.substitute import (
    Scope,
    expand_environment,
    parse,
    references,
    scope_of,
)
from touchstone.errors import ManifestError

NAMES = ("a", "b", "a.b", "a-b", "long_name", "0")
STRINGS = st.text(max_size=6) | st.sampled_from(["$(params.a)", "$$", "$(", ")", "[*]", "\\1"])
PARAMS = st.dictionaries(
    st.sampled_from(NAMES),
    STRINGS
    | st.lists(STRINGS, max_size=3)
    | st.dictionaries(st.sampled_from(["x", "y.z"]), STRINGS),
)
WAYS = ("$(params.{})", "$(params['{}'])", '$(params["{}"])')
PIECES = st.text(max_size=5) | st.builds(
    lambda way, name, rest: way.format(name).replace(")", rest + ")"),
    st.sampled_from(WAYS),
    st.sampled_from(NAMES),
    st.sampled_from(["", "", "[*]", "[0]", "[1]", ".x", "['y.z']", "[99999999999]"]),
)


# A dot in a name has to stand within brackets.
WRITTEN = [(way, name) for way in WAYS for name in NAMES if "." not in name or "[" in way]


@given(PARAMS, st.lists(st.sampled_from(WRITTEN) | st.text("xyz $()-", max_size=4), max_size=5))
def test_strings_are_replaced_once_as_the_plainest_reference_does(
    params: dict[str, Any], pieces: list[Any]
) -> None:
    strings = {name: value for name, value in params.items() if isinstance(value, str)}
    text = expected = ""
    for piece in pieces:
        if isinstance(piece, str):
            piece = piece.replace("$(", "")
            text, expected = text + piece, expected + piece
        else:
            way, name = piece
            text += way.format(name)
            expected += strings.get(name, way.format(name))
    assert scope_of(("params",), strings).apply(text) == expected


@given(PARAMS, st.lists(PIECES, max_size=4).map("".join))
def test_any_text_is_replaced_or_refused_and_text_without_references_stays(
    params: dict[str, Any], text: str
) -> None:
    scope = scope_of(("params",), params)
    for replace in (scope.apply, scope.text):
        try:
            result = replace(text)
        except ManifestError:
            continue
        if not list(references(text)):
            assert result == text
    assert Scope().apply(text) == text


@given(PARAMS, ours.mutated(ours.documents()))
def test_a_document_keeps_its_shape(params: dict[str, Any], document: Any) -> None:
    try:
        result = scope_of(("params",), params).apply(document)
    except ManifestError:
        return
    if isinstance(document, dict):
        assert set(result) == set(document)


@given(st.text(alphabet="ab.-[]'\"*0$() ", max_size=20))
def test_a_reference_is_taken_apart_without_losing_a_letter(text: str) -> None:
    key = parse(text)
    assert key is None or all(key)
    assert key is None or sum(map(len, key)) <= len(text)


@given(st.text(alphabet="AB$()._-", max_size=20), st.dictionaries(st.sampled_from("AB"), STRINGS))
def test_environment_variables_expand_as_kubernetes_expands_them(
    text: str, environment: dict[str, str]
) -> None:
    assert expand_environment(text, environment) == _kubernetes(text, environment)


def _kubernetes(text: str, environment: dict[str, str]) -> str:
    """k8s.io/kubernetes/third_party/forked/golang/expansion: one look at each letter."""
    result, position = "", 0
    while position < len(text):
        letter, following = text[position], text[position + 1 : position + 2]
        if letter != "$" or not following:
            result, position = result + letter, position + 1
        elif following == "$":
            result, position = result + "$", position + 2
        elif following == "(" and ")" in text[position:]:
            end = text.index(")", position)
            name = text[position + 2 : end]
            result, position = result + environment.get(name, f"$({name})"), end + 1
        else:
            result, position = result + text[position : position + 2], position + 2
    return result
