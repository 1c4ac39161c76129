"""CEL as Tekton Triggers evaluates it."""

from __future__ import annotations

import pytest

from touchstone.documents.cel import CelError
from touchstone.events.headers import canonical
from touchstone.events.interceptors.cel import DIALECT

compile_expression, evaluate = DIALECT.compile, DIALECT.evaluate

CONTEXT = {
    "body": {
        "ref": "refs/heads/main",
        "after": "0123456789abcdef",
        "deleted": False,
        "count": 2,
        "measure": 1.5,
        "nothing": None,
        "labels": [{"name": "a"}, {"name": "b"}],
        "text": '{"x": {"y": 1}}',
    },
    "header": {"X-Github-Event": ["push"]},
    "requestURL": "/",
    "extensions": {"branch": "main"},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("body.ref == 'refs/heads/main' && !body.deleted", True),
        ("body.ref.startsWith('refs/tags/')", False),
        ("body.ref.endsWith('/main')", True),
        ("body.ref.contains('heads')", True),
        ("body.ref.matches('^refs/heads/[a-z]+$')", True),
        ("body.ref.split('/')", ["refs", "heads", "main"]),
        ("body.ref.split('/')[2]", "main"),
        ("'a/b/c'.split('/', 2)", ["a", "b/c"]),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("['refs', 'heads', 'main'].join('/')", "refs/heads/main"),
        ("'my place'.replace('my ', ' ')", " place"),
        ("'this that another'.replace('th', '', 2)", "is at another"),
        ("body.after.truncate(7)", "0123456"),
        ("'ab'.truncate(7)", "ab"),
        ("body.after.substring(1, 3)", "12"),
        ("'Ünïcode ABC'.lowerAscii()", "Ünïcode abc"),
        ("'abc'.upperAscii()", "ABC"),
        ("'  x '.trim()", "x"),
        ("'hello'.indexOf('l')", 2),
        ("'hello'.lastIndexOf('l')", 3),
        ("'hello'.charAt(4)", "o"),
        ("'hello'.charAt(5)", ""),
        ("header.match('x-github-event', 'push')", True),
        ("header.match('X-GitHub-Event', 'ping')", False),
        ("header.canonical('x-github-event')", "push"),
        ("header.canonical('Absent')", ""),
        ("has(body.absent)", False),
        ("body.labels.exists(x, x.name == 'b')", True),
        ("body.labels.map(x, x.name)", ["a", "b"]),
        ("body.text.parseJSON().x.y", 1),
        ("'https://u:p@example.com/a?b=1&b=2'.parseURL().host", "example.com"),
        ("'https://example.com/a?b=1&b=2'.parseURL().query.b", "1,2"),
        ("'https://u:p@example.com/'.parseURL().auth.username", "u"),
        ("body.labels.marshalJSON()", '[{"name":"a"},{"name":"b"}]'),
        ("'http://example.com/%C3%B6'.parseURL().path", "/ö"),
        ("string(3.0)", "3"),
        ("string(1000000.0)", "1e+06"),
        ("string(999999.0)", "999999"),
        ("string(12345678.0)", "1.2345678e+07"),
        ("string(12345678901)", "12345678901"),
        ("string(12345678901.0)", "1.2345678901e+10"),
        ("string(0.00001)", "1e-05"),
        ("string(body.deleted)", "false"),
        (
            "[0.0000001, 0.000001, 1e21, 1e20].marshalJSON()",
            "[1e-7,0.000001,1e+21,100000000000000000000]",
        ),
        ("[-0.0].marshalJSON()", "[-0]"),
        ("[28224253641164161024.0].marshalJSON()", "[28224253641164160000]"),
        ("'Köln'.truncate(3)", "Kö"),
        ("extensions.branch == 'main'", True),
        ("body.nothing == null", True),
        ("body.measure * 3.0", 4.5),
        ("body.labels[0]", {"name": "a"}),
    ],
)
def test_expression_means_what_tekton_documents(expression, value):
    assert evaluate(expression, CONTEXT) == value


@pytest.mark.parametrize(
    "expression",
    [
        "body.absent == 'x'",
        "body.ref + 1 == 2",
        "body.labels[5].name == 'a'",
        "body.count.truncate(1)",
        "'abc'.truncate(-1)",
        "'abc'.substring(2, 1)",
        "'['.parseJSON()",
        "body.ref.matches('(')",
        "unknown == 1",
        "has(body.absent.more)",
        "string(body.nothing)",
    ],
)
def test_expression_that_fails_on_the_event_is_an_error_never_true(expression):
    with pytest.raises(CelError):
        evaluate(expression, CONTEXT)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("body.ref ==", "expected a CEL expression"),
        ("", "expected a CEL expression"),
        ("body.ref.sha256()", "'sha256'"),
        ("exec('x')", "'exec'"),
    ],
)
def test_expression_that_no_event_can_satisfy_is_refused_before_any_arrives(expression, reason):
    with pytest.raises(CelError, match=reason):
        compile_expression(expression)


def test_whole_json_numbers_are_doubles_which_are_not_added_to_ints():
    assert evaluate("body.count + 1.0", CONTEXT) == 3
    with pytest.raises(CelError):  # "no automatic arithmetic conversions", says CEL
        evaluate("body.count + 1", CONTEXT)


@pytest.mark.parametrize(
    "expression",
    [
        "body.count == 2",
        "body.count == 2.0",
        "body.count > 1.5",
        "body.count != 3",
        "body.count in [1, 2]",
        "[body.count] == [2]",
        "body.count != '2'",
        "!(body.ref == 7)",
        "body.ref in ['refs/heads/main']",
        "!(body.deleted == 0)",
        "body.labels[0] == {'name': 'a'}",
        "body.nothing != 0",
        "'ref' in body",
        "body.absent == 1 || true",
    ],
)
def test_values_of_an_event_compare_across_types(expression):
    assert evaluate(expression, CONTEXT) is True


@pytest.mark.parametrize(
    ("name", "written"),
    [("x-github-event", "X-Github-Event"), ("CE-ID", "Ce-Id"), ("a", "A")],
)
def test_header_names_are_written_as_go_writes_them(name, written):
    assert canonical(name) == written


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'This is $an x5'.lowerAscii().translate('[^a-z0-9]+', '')", "thisisanx5"),
        ("'a1b22'.translate('([a-z])([0-9]+)', '$2${1}.')", "1a.22b."),
        ("'a'.translate('a', '$9$$')", "$"),
        ("[1, 2, 3].first()", 1),
        ("[1, 2, 3].last()", 3),
        ("[].first()", None),
        ("body.labels.last().name", "b"),
        ("'k: v\\nn: {x: 1}'.parseYAML().n.x", 1),
        ("base64.decode('aGVsbG8=') == b'hello'", True),
        ("string(base64.decode('aGVsbG8='))", "hello"),
        ("base64.encode(b'hello')", "aGVsbG8="),
        ("'aGVsbG8='.decodeb64() == b'hello'", True),
        ("sets.contains(['a', 'b'], ['b'])", True),
        ("sets.contains(['a'], ['b'])", False),
        ("sets.equivalent([1, 2, 2], [2.0, 1])", True),
        ("sets.intersects(['a'], ['b', 'a'])", True),
        ("[1, [2, [3]]].flatten()", [1, 2, [3]]),
        ("['b', 'a', 'b'].distinct()", ["b", "a"]),
        ("['b', 'a'].sort()", ["a", "b"]),
        ("['b', 'a'].reverse()", ["a", "b"]),
        ("'abc'.reverse()", "cba"),
        ("[1, 2, 3].slice(1, 3)", [2, 3]),
        ("lists.range(3)", [0, 1, 2]),
        ("math.greatest(1, 3, 2)", 3),
        ("math.least([1.5, 0.5])", 0.5),
        ("math.ceil(1.2)", 2),
        ("math.round(-1.5)", -2),
        ("math.abs(-2)", 2),
        ("math.bitAnd(6, 3)", 2),
        ("[{'n': 2}, {'n': 1}].sortBy(x, x.n)", [{"n": 1}, {"n": 2}]),
        ("'%s is %d'.format(['a', 1])", "a is 1"),
        ("string(body.deleted)", "false"),
        ("string(body.count)", "2"),
    ],
)
def test_tektons_and_cel_gos_extensions_are_there(expression, value):
    assert evaluate(expression, CONTEXT) == value


@pytest.mark.parametrize(
    "expression",
    [
        "'a'.translate('[a', '')",
        "'- 1'.parseYAML()",
        "'a: ['.parseYAML()",
        "'x'.first()",
        "body.labels.decode('x')",
        "'x'.compareSecret('key', 'name')",
        "'!!omap x'.parseYAML()",
        "'a: 2001-99-99'.parseYAML()",
        "lists.range(9223372036854775807)",
        "1e308 * 10.0",
        "0.0 / 0.0",
    ],
)
def test_extensions_given_something_else_are_errors(expression):
    with pytest.raises(CelError):
        evaluate(expression, CONTEXT)


@pytest.mark.parametrize(
    "expression", ["(" * 400 + "1" + ")" * 400, "[" * 400 + "]" * 400, "1" + " + 1" * 2000]
)
def test_an_expression_nested_too_deeply_is_an_error_and_named_in_short(expression):
    with pytest.raises(CelError, match="nested too deeply") as raised:
        evaluate(expression, CONTEXT)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(("given", "same"), [("hush", True), ("hus", False), ("hüsh", False)])
def test_compare_secret_reads_the_secret_of_that_name_and_key(given, same):
    secrets = {("name", "key"): b"hush"}
    expression = f"'{given}'.compareSecret('key', 'name', 'any-namespace')"
    found = evaluate(expression, {}, secrets=lambda name, key: secrets[name, key])
    assert found is same
