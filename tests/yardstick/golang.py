"""The YAML inside Tekton's Go conformance tests, read at run time from the reference checkout.

A test holds its YAML in a raw string given to fmt.Sprintf with a few variables of the same
function; only as much of Go is understood as those tests use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FUNCTION = re.compile(r"^func (Test\w+)\(t \*testing\.T\) \{\n(.*?)^\}", re.M | re.S)
_YAML = re.compile(r"(\w+YAML) := fmt\.Sprintf\(`(.*?)`((?:, [^\n]*)?)\)\n", re.S)
_SENT = re.compile(r"ProcessAndSendToTekton\((\w+), (\w+)InputType, t(?:, (\w+))?\)")
_ASSIGNED = re.compile(r"^\t(?:var )?([\w, ]+?) :?= ([^\n]+)$", re.M)


@dataclass(frozen=True, slots=True)
class Sent:
    """One document that a conformance test sends to Tekton."""

    test: str
    """The function's name; a second function of that name is NAME#2."""

    kind: str
    yaml: str
    fails: bool
    """Whether the test awaits Succeeded=False."""


def sent(source: str) -> Iterator[Sent]:
    """Every document in a Go file of conformance tests, in the order of the file.

    Raises ValueError for a variable whose value is not understood.
    """
    seen: dict[str, int] = {}
    for function in _FUNCTION.finditer(source):
        name, body = function.groups()
        seen[name] = seen.get(name, 0) + 1
        test = name if seen[name] == 1 else f"{name}#{seen[name]}"
        values = _values(body, test)
        texts = {
            match[1]: _formatted(match[2], [_value(item, values) for item in _split(match[3])])
            for match in _YAML.finditer(body)
        }
        for match in _SENT.finditer(body):
            yield Sent(test, match[2], texts[match[1]], fails=bool(match[3]))


def _values(body: str, test: str) -> dict[str, str]:
    object_name = re.sub(r"(?<!^)(?=[A-Z])", "-", test.replace("#", "-")).lower()
    values = {"helpers.ObjectNameForTest(t)": object_name}
    for match in _ASSIGNED.finditer(body):
        names, right = _split(match[1]), match[2]
        array = re.fullmatch(r"\[\]string\{(.*)\}", right)
        if array:
            items = enumerate(_split(array[1]))
            values |= {f"{names[0]}[{index}]": text.strip('"') for index, text in items}
            continue
        given = _split(right)
        if len(given) == len(names):
            values |= {
                name: values.get(text, text.strip('"'))
                for name, text in zip(names, given, strict=True)
            }
    return values


def _value(expression: str, values: dict[str, str]) -> str:
    inner = re.fullmatch(r"strconv\.Itoa\((\w+)\)", expression)
    try:
        return values[inner[1] if inner else expression]
    except KeyError:
        raise ValueError(f"got the Go expression {expression!r}, expected a known one") from None


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _formatted(text: str, values: list[str]) -> str:
    parts = text.replace("%%", "%").split("%s")
    if len(parts) != len(values) + 1:
        raise ValueError(f"got {len(values)} values for {len(parts) - 1} places in {text[:60]!r}…")
    return "".join(part + value for part, value in zip(parts, [*values, ""], strict=True)).lstrip(
        "\n"
    )
