"""CEL, JSONPath, bindings and templates: a value, or the one error each of them promises."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from forge_samples import SAMPLES
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import strategies as ours
from touchstone.documents import cel
from touchstone.engine.language import when
from touchstone.engine.language.substitute import Scope
from touchstone.errors import ManifestError
from touchstone.events import bindings, jsonpath, templates
from touchstone.events import cel_functions as tekton_cel

PLAIN = cel.Dialect()
BODIES = [sample.body for sample in SAMPLES]
CONTEXT = {
    "body": BODIES[0], "header": {"X-Github-Event": ["push"]}, "extensions": {"n": 1.5, "l": [2]},
    "requestURL": "http://x/?a=b",
}  # fmt: skip
_ATOMS = ["body", "body.ref", "body.commits", "header", "extensions.n", "extensions.l", "1", "-1",
          "2.5", "'a'", "''", "true", "null", "[]", "[1, 'a', 2.0]", "{}", "{'a': 1}", "x", "0u",
          "9223372036854775807", "1e308", "body.nothing", "b'\\xff'", "requestURL", "type(1)",
          "timestamp('2026-01-01T00:00:00Z')", "duration('1h')"]  # fmt: skip
_OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&&", "||", "in"]
_FUNCTIONS = [
    *(
        [
            "match",
            "canonical",
            "truncate",
            "compareSecret",
            "parseJSON",
            "parseYAML",
            "parseURL",
            "marshalJSON",
        ]
    ),
    *(
        [
            "translate",
            "first",
            "last",
            "decodeb64",
            "distinct",
            "flatten",
            "reverse",
            "slice",
            "sort",
            "range",
            "contains",
        ]
    ),
    *(
        [
            "equivalent",
            "intersects",
            "split",
            "join",
            "replace",
            "substring",
            "charAt",
            "decode",
            "encode",
            "greatest",
        ]
    ),
]
_GLOBAL = ["size", "int", "uint", "double", "string", "bytes", "bool", "type", "has", "dyn",
           "timestamp", "duration"]  # fmt: skip
_MACROS = ["all", "exists", "exists_one", "map", "filter"]


def _call(receiver: str, name: str, arguments: list[str]) -> str:
    return f"{receiver}.{name}({', '.join(arguments)})"


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    few = st.lists(inner, max_size=3)
    return (
        st.builds("({} {} {})".format, inner, st.sampled_from(_OPERATORS), inner)
        | st.builds(_call, inner, st.sampled_from(_FUNCTIONS), few)
        | st.builds(
            _call, st.sampled_from(["base64", "lists", "math", "sets"]),
            st.sampled_from(_FUNCTIONS), few,
        )
        | st.builds("{}({})".format, st.sampled_from([*_GLOBAL, *_FUNCTIONS]), inner)
        | st.builds("{}.{}(i, {})".format, inner, st.sampled_from(_MACROS), inner)
        | st.builds("{}[{}]".format, inner, inner)
        | st.builds("{}.{}".format, inner, st.sampled_from(["a", "ref", "id"]))
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
        | st.builds("!{}".format, inner)
    )  # fmt: skip


_SIMPLE = st.sampled_from(_ATOMS)
_NESTED = st.builds(
    lambda pair, depth: pair[0] * depth + "1" + pair[1] * depth,
    st.sampled_from(["()", "[]", ("!", ""), ("-", ""), ("[1].map(i, ", ")"), ("{1: ", "}")]),
    st.integers(1, 400),
)
EXPRESSIONS = _grown(_SIMPLE) | st.recursive(_SIMPLE, _grown, max_leaves=6) | _NESTED
"""Most of them compile; few of them fit their types."""


@given(EXPRESSIONS | ours.spoiled(["body.ref.split('/')[2] == 'main' && has(body.a)"]) | st.text())
def test_cel_gives_json_or_a_cel_error(source: str) -> None:
    for evaluate in (PLAIN.evaluate, tekton_cel.evaluate):
        try:
            value = evaluate(source, CONTEXT)
        except cel.CelError:
            continue
        json.dumps(value, allow_nan=False)


@given(EXPRESSIONS)
def test_a_when_expression_holds_or_not_or_is_refused(source: str) -> None:
    with contextlib.suppress(ManifestError):
        when.check_cel(source)
    with contextlib.suppress(ManifestError):
        when.evaluate([{"cel": source}], Scope())


_STEPS = st.lists(
    st.sampled_from([".ref", "commits", ".commits", "[0]", "[-1]", "[*]", "[1:3]", "[::2]", "..id",
                     "..", ".*", "[0,1]", "['ref']", "[?(@.id)]", "[?(@.id=='x')]", "[?(@.n<2)]",
                     "[99999999999]", "{", "}", ".repository", "\\.", "[?(", "'", "[0:0]"])
    | st.text(max_size=3),
    max_size=6,
).map("".join)  # fmt: skip


@given(st.sampled_from(["body", "{.body", ".", "", "$", "@"]), _STEPS, ours.mutated(BODIES))
def test_a_json_path_finds_values_or_says_that_there_are_none(
    head: str, steps: str, body: Any
) -> None:
    try:
        path = jsonpath.parse(head + steps)
    except ValueError:
        return
    with contextlib.suppress(LookupError):
        json.dumps(jsonpath.find(path, [{"body": body}]))


@given(_STEPS, st.sampled_from(["$(body{})", "x$(body{})y", "$(body{}", "$({})"]), st.data())
def test_a_binding_resolves_to_text_that_a_template_can_take(
    steps: str, form: str, data: st.DataObject
) -> None:
    value = form.replace("{}", steps)
    event = {
        "body": data.draw(ours.mutated(BODIES)), "header": {}, "extensions": {}, "context": {},
    }  # fmt: skip
    with contextlib.suppress(ValueError):
        bindings.check(value)
        text = bindings.resolve(value, event)
        templates.render([{"spec": {"a": "$(tt.params.p)"}}], {"p": text}, seed="seed")


@given(st.text() | ours.spoiled(['a "quoted" $(tt.params.p) \\ $(uid) text']))
def test_a_plain_text_reaches_its_place_in_the_template_unchanged(text: str) -> None:
    if "$(" in text:
        return
    template = {"metadata": {"name": "n"}, "spec": {"a": "<$(tt.params.p)>"}}
    (made,) = templates.render([template], {"p": bindings.pasted([text])}, seed="seed")
    assert made["spec"]["a"] == f"<{text}>"


@given(ours.values, st.text(max_size=20))
def test_what_a_template_cannot_take_is_refused(value: Any, around: str) -> None:
    template = {"spec": {around: f"{around}$(tt.params.p)"}}
    with contextlib.suppress(ValueError):
        templates.render([template], {"p": bindings.pasted([value])}, seed="seed")
