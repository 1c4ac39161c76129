"""Bindings: what `$(…)` takes out of an event, and what is refused before any event comes."""

import pytest

from touchstone.events.bindings import check, expressions, resolve
from touchstone.events.interceptors.interceptor import Request

EVENT = {
    "body": {
        "after": "abc",
        "n": 3,
        "big": 12345678901234567890,
        "ratio": 0.5,
        "whole": 2.0,
        "yes": True,
        "nothing": None,
        "a.b": "dotted",
        "list": ["x", "y"],
        "items": [{"name": "one"}, {"name": "two"}],
        "object": {"k": "ä"},
        "tricky": '"quoted" $(body.after)',
    },
    "header": {"X-Github-Event": "push"},
    "extensions": {"short": "ab"},
    "context": {"eventID": "e-1"},
}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("literal", "literal"),
        ("", ""),
        ("$(body.after)", "abc"),
        ("$(.body.after)", "abc"),
        ("$({.body.after})", "abc"),
        ("$(body.n)", "3"),
        ("$(body.big)", "12345678901234567890"),
        ("$(body.ratio)", "0.5"),
        ("$(body.whole)", "2"),
        ("$(body.yes)", "true"),
        ("$(body.nothing)", "null"),
        (r"$(body.a\.b)", "dotted"),
        ("$(body.list[0])", "x"),
        ("$(body.list[-1])", "y"),
        ("$(body.items[*].name)", '["one","two"]'),
        ("$(body.items[?(@.name=='two')].name)", "two"),
        ('$(body.items[?(@.name != "two")].name)', "one"),
        ("$(body.items[?(@.name=='none')].name)", "[]"),
        ("$(body.list[0:2])", '["x","y"]'),
        ("$(body.list[:1])", "x"),
        ("$(body.list[0,1])", '["x","y"]'),
        ("$(body..name)", '["one","two"]'),
        ("$(body['after'])", "abc"),
        ("$(header.X-GitHub-Event)", "push"),
        ("$(header.x-github-event)", "push"),
        ("$(body.list)", '["x","y"]'),
        ("$(body.object)", '{"k":"ä"}'),
        ("$(header.X-Github-Event)", "push"),
        ("$(extensions.short)", "ab"),
        ("$(context.eventID)", "e-1"),
        ("registry/$(body.after):$(extensions.short)-x", "registry/abc:ab-x"),
        ("$(body.after)$(body.after)", "abcabc"),
        ("$(body.tricky)", r"\"quoted\" $(body.after)"),
        ("$5 and (brackets)", "$5 and (brackets)"),
    ],
)
def test_value_is_taken_from_the_event(value, result):
    check(value)
    assert resolve(value, EVENT) == result


@pytest.mark.parametrize(
    "value",
    [
        "$(body.absent)",
        "$(body.after.more)",
        "$(body.list[2])",
        "$(body.list.name)",
        "$(body.after[0])",
        "$(body.object[0])",
        "$(body.n[*])",
        "$(body.items[?(@.name==1)].name)",
    ],
)
def test_a_place_the_event_does_not_have_is_an_error_that_names_it(value):
    with pytest.raises(ValueError, match="event without") as raised:
        resolve(value, EVENT)
    assert value in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "$(tt.params.x)",
        "$(params.x)",
        "$(uid)",
        "$()",
        "$(body.items[?(@.name='one')].name)",
        "$(body.items[?(@.name)",
        "$(body.list[x])",
        "$(body....name)",
        "$(body['a b'])",
        "$({range body.list[*]}{end})",
        "$(body.a b)",
    ],
)
def test_an_expression_that_cannot_be_read_is_refused_when_the_yaml_is_loaded(value):
    with pytest.raises(ValueError, match=r"got .?\$\("):
        check(value)


def test_nested_brackets_belong_to_one_expression():
    assert list(expressions("a $(body['x(y)']) b")) == [("$(body['x(y)'])", "body['x(y)']")]


def test_a_default_stands_in_for_what_the_event_does_not_have():
    assert resolve("$(body.absent)-$(body.after)", EVENT, default="main") == "main-abc"


def test_an_expression_that_is_not_closed_is_refused():
    with pytest.raises(ValueError, match="to be closed"):
        check("$(body.after")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("12345678901234567890", "12345678901234567000"),
        ("9007199254740993", "9007199254740992"),
        ("9007199254740991", "9007199254740991"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("-0.0", "-0"),
        ("1e-7", "1e-7"),
    ],
)
def test_a_number_of_the_body_is_a_double_as_in_go(number, text):
    """As tektoncd/triggers 0889029 writes them, run on these bodies."""
    body = Request(headers={}, raw=f'{{"n": {number}}}'.encode(), url="/").body
    assert resolve("$(body.n)", {"body": body}) == text
