"""What an expression gives as with cel-go, and that none of them harms the one who asks."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from touchstone.documents import cel, gojson
from touchstone.documents.cel import PLAIN, CelError
from touchstone.events.interceptors.cel import DIALECT


def within(**body):
    return {"body": body, "header": {}, "requestURL": "/", "extensions": {}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("string(7)", "7"),
        ("string(7.0)", "7"),
        ("string(12345678.0)", "1.2345678e+07"),
        ("string(12345678901.0)", "1.2345678901e+10"),
        ("string(true)", "true"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
        ("has({'a': 1}.b)", False),
        ("b'ab'", "YWI="),
        ("[b'ab', null, 1u]", ["YWI=", None, 1]),
        ("9007199254740992", "9007199254740992"),
        ("9007199254740991", 9007199254740991),
        ("dyn('2') == 2", False),
        ("[duration('90.5s'), timestamp('2026-01-01T00:00:00.25Z')]",
         ["90.5s", "2026-01-01T00:00:00.25Z"]),
    ],
)  # fmt: skip
def test_values_become_text_and_json_as_in_cel_go(expression, value):
    assert PLAIN.evaluate(expression, {}) == value


@pytest.mark.parametrize("dialect", [PLAIN, DIALECT])
@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("'2' == 2", r"no matching overload for '_==_' applied to '\(string, int\)'"),
        ("1 + 1.0", "no matching overload"),
        ("true ? 1 : 'b'", "no matching overload"),
        ("absent == 1", "undeclared reference to 'absent'"),
        ("'a'.shuffle()", "undeclared reference to 'shuffle'"),
        ("size(1)", "no matching overload"),
    ],
)
def test_types_and_names_are_checked_before_anything_is_evaluated(dialect, expression, reason):
    with pytest.raises(CelError, match=reason):
        dialect.compile(expression)


def test_plain_cel_has_none_of_tektons_functions_and_variables():
    for expression in ("'abc'.truncate(1)", "body.a == 1", "'a b'.split(' ')"):
        with pytest.raises(CelError, match="undeclared reference"):
            PLAIN.compile(expression)


@pytest.mark.parametrize(
    "expression", ["1.0 / 0.0", "0.0 / 0.0", "[1.0 / 0.0]", "{1: 2}", "type(1)", "1u", "[1 / 0]"]
)
def test_what_json_cannot_hold_is_an_error(expression):
    with pytest.raises(CelError, match="failed: "):
        PLAIN.evaluate(expression, {})


@pytest.mark.parametrize(
    ("number", "written"),
    [(2.0, "2"), (0.00001, "0.00001"), (0.000001, "0.000001"), (1e-7, "1e-7"),
     (1e20, "1" + "0" * 20), (1e21, "1e+21"), (-1.5, "-1.5"), (0.0, "0"), (5e-324, "5e-324"),
     (7, "7")],
)  # fmt: skip
def test_numbers_are_written_as_go_writes_them(number, written):
    assert gojson.dumps(number) == written
    assert gojson.dumps({"b": [number], "a": "é"}) == f'{{"a":"é","b":[{written}]}}'


def test_marshal_json_writes_what_go_writes():
    context = within(b="<é>", a=1e-7, n=None)
    written = '{"a":1e-7,"b":"\\u003cé\\u003e","n":null}'
    assert DIALECT.evaluate("body.marshalJSON()", context) == written


def test_truncate_counts_bytes_and_refuses_to_cut_a_letter():
    assert DIALECT.evaluate("'aéb'.truncate(3)", {}) == "aé"
    with pytest.raises(CelError):
        DIALECT.evaluate("'aéb'.truncate(2)", {})


@pytest.mark.parametrize("end", ["\0", "\0evil", "\ud800"])
def test_a_text_of_the_event_is_never_cut_off_to_one_that_passes(end):
    assert DIALECT.evaluate("body.ref == 'main'", within(ref=f"main{end}")) is False
    text = json.dumps({"ref": f"main{end}"})
    parsed = DIALECT.evaluate("body.text.parseJSON().ref", within(text=text))
    assert parsed == "main\ufffd" + end[1:]
    with pytest.raises(CelError, match="NUL"):
        DIALECT.evaluate(r"'a\x00b'.translate('x', '')", {})


@pytest.mark.parametrize(
    "expression",
    [
        "'x'" + ".replace('', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')" * 8,
        "['xxxxxxxxxxxxxxxx']" + ".map(a, a + a + a + a + a + a + a + a)" * 12,
        "size(lists.range(1000000000))",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" + ".map(a, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" * 5 + ")" * 5,
        "(" * 50000,
        "dyn(" * 20000 + "1" + ")" * 20000,
        "x" * 200_000,
    ],
    ids=["replace", "double", "range", "loops", "brackets", "calls", "long"],
)
def test_an_expression_that_asks_for_too_much_is_an_error_and_the_next_one_is_answered(expression):
    with pytest.raises(CelError) as raised:
        DIALECT.evaluate(expression, within())
    assert len(str(raised.value)) < 300
    assert DIALECT.evaluate("1 + 1", {}) == 2


def test_a_host_that_was_killed_is_started_anew():
    assert PLAIN.evaluate("1 + 1", {}) == 2
    os.kill(PLAIN._host._process.pid, signal.SIGKILL)
    assert PLAIN.evaluate("1 + 2", {}) == 3


def test_an_answer_that_does_not_come_is_an_error_and_never_the_next_ones(monkeypatch):
    PLAIN.compile("1 + 1")
    os.kill(PLAIN._host._process.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch, pytest.raises(CelError, match="no answer"):
        patch.setattr(cel, "_PATIENCE", 0.1)
        PLAIN.evaluate("1 + 1", {})
    assert PLAIN.evaluate("1 + 2", {}) == 3


def test_nulls_without_end_do_not_end_the_host():
    context = within(many=[None] * 5000)
    assert DIALECT.evaluate("body.many", context) == [None] * 5000
    host = DIALECT._host._process.pid
    for _ in range(10):
        assert DIALECT.evaluate("body.many", context) == [None] * 5000
        assert DIALECT.evaluate("body.many.first()", context) is None
    assert DIALECT._host._process.pid == host


def test_a_host_that_has_grown_makes_room_for_a_fresh_one():
    context = within(text="x" * 1_000_000)
    assert DIALECT.evaluate("size(body.text)", context) == 1_000_000
    hosts = set()
    for _ in range(250):  # the binding never gives back what it passes to a function
        assert DIALECT.evaluate("body.text.truncate(2)", context) == "xx"
        hosts.add(DIALECT._host._process.pid)
    assert 2 <= len(hosts) <= 4


def test_threads_get_their_own_answers():
    def ask(number):
        return DIALECT.evaluate("string(body.n)", within(n=number))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == [str(number) for number in range(200)]


def test_a_secret_that_cannot_be_read_fails_the_expression_and_not_the_next_one():
    def locked(name, key):
        raise OSError(f"cannot read {name}/{key}")

    with pytest.raises(CelError, match="cannot read n/k"):
        DIALECT.evaluate("'x'.compareSecret('k', 'n')", {}, secrets=locked)
    assert DIALECT.evaluate("'x'.compareSecret('k', 'n')", {}, secrets=lambda *_: b"x") is True
