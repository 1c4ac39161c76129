"""The checks that refused a model as SARIF 2.1.0, which code scanning shows at the policy's lines.

Static Analysis Results Interchange Format, OASIS standard, 2020. A metric is a rule, a check that
did not pass a result: at the line of the policy that asks for it, since the threshold there is
what a reader can look at. What is weak about the yardstick is a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from trust_gates import glossary
from trust_gates.metric import plain
from trust_gates.report.reading import Report
from trust_gates.verdict import Check, Outcome
from trust_gates.visible import one_line

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_HOME = "https://github.com/touchstone-ml/touchstone"
_LEVELS = {Outcome.FAILED: "error", Outcome.INSUFFICIENT: "warning"}
_YARDSTICK = "yardstick"


def render(verdict: Mapping[str, Any], *, uri: str, policy: str) -> dict[str, Any]:
    """The log of a verdict, as plain data.

    Args:
        uri: of the policy's file, relative to the repository's root where it lies in one.
        policy: its text, in which the lines are looked up.
    """
    report = Report.of(verdict, ())
    lines = _lines(policy)
    refused = [check for check in report.checks if check.outcome is not Outcome.PASSED]
    results = [
        _result(
            _rule(check),
            _LEVELS[check.outcome],
            " ".join(filter(None, (check.reason + ".", glossary.advice(check)))),
            uri,
            lines.get((check.gate, plain(check.name))) or lines.get((check.gate, ""), 1),
            of=f"{check.gate}/{check.name}",
            properties=check.to_json(),
        )
        for check in refused
    ]
    warnings = report.yardstick.every_warning
    results += [_result(_YARDSTICK, "note", text, uri, 1, of=text) for text in warnings]
    rules = {_rule(check): _described(check) for check in refused}
    if warnings:
        rules[_YARDSTICK] = {
            "shortDescription": {"text": "What makes the policy a weak yardstick."},
            "helpUri": f"{_HOME}/blob/main/docs/reference/trust-gates.md",
        }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver(verdict, rules)},
                # Two models of one repository do not close each other's alerts.
                "automationDetails": {"id": f"touchstone/{one_line(str(verdict['name']))}/"},
                "columnKind": "utf16CodeUnits",
                "results": results,
                "properties": {"passed": report.passed, "standing": report.standing},
            }
        ],
    }


def _driver(verdict: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    driver: dict[str, Any] = {
        "name": "Touchstone",
        "informationUri": _HOME,
        "rules": [{"id": name, **rules[name]} for name in sorted(rules)],
    }
    if version := verdict.get("software", {}).get("touchstone"):
        driver["version"] = version
    return driver


def _rule(check: Check) -> str:
    return f"{check.gate}/{plain(check.name)}"


def _described(check: Check) -> dict[str, Any]:
    meaning = glossary.meaning(check.name) or plain(check.name).replace("_", " ")
    known = glossary.metric(check.name)
    advice = known.advice if known else ""
    return {
        "shortDescription": {"text": plain(check.name).replace("_", " ")},
        "fullDescription": {"text": meaning},
        "help": {"text": f"{meaning}. {advice}".rstrip()},
        "helpUri": f"{_HOME}/blob/main/docs/reference/{check.gate}.md",
        "properties": {"tags": ["machine-learning", check.gate]},
    }


def _result(
    rule: str,
    level: str,
    text: str,
    uri: str,
    line: int,
    *,
    of: str,
    properties: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One result; `of` is what stays the same of it when figures and lines move."""
    found: dict[str, Any] = {
        "ruleId": rule,
        "level": level,
        "message": {"text": one_line(text)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri},
                    "region": {"startLine": line},
                }
            }
        ],
        "partialFingerprints": {"touchstone/v1": hashlib.sha256(of.encode()).hexdigest()},
    }
    return found | ({"properties": dict(properties)} if properties else {})


def _lines(policy: str) -> dict[tuple[str, str], int]:
    """Where each gate stands (with an empty metric), and each metric that it asks for; from 1."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        root = YAML(typ="safe", pure=True).compose(policy)
    except YAMLError:
        return {}  # it was well-formed when it was judged by
    found: dict[tuple[str, str], int] = {}
    spec = dict(_items(root)).get("spec", (0, root))[1]
    gates = dict(_items(spec)).get("gates", (0, None))[1]
    for gate, (line, policy_of) in _items(gates):
        found[gate, ""] = line
        checks = dict(_items(policy_of)).get("checks", (0, None))[1]
        entries = checks.value if checks is not None and isinstance(checks.value, list) else []
        for entry in entries:
            metric = dict(_items(entry)).get("metric")
            if metric is not None:
                found.setdefault((gate, str(metric[1].value)), metric[0])
    return found


def _items(node: Any) -> Iterator[tuple[str, tuple[int, Any]]]:
    """Of a composed mapping, each key's text with its line and value; none of any other node."""
    from ruamel.yaml.nodes import MappingNode

    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), (key.start_mark.line + 1, value)
