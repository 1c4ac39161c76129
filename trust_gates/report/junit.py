"""The checks of a verdict as JUnit XML, which CI systems show beside the tests of the code.

A gate is a test suite and a check a test case. One that did not pass is a failure, for want of
evidence as well, so that a system that counts failures refuses whom the verdict refuses. The
elements are those that Jenkins' schema knows (jenkinsci/xunit-plugin, junit-10.xsd), which GitLab
and the readers for GitHub take too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring  # written, never read

from trust_gates import glossary
from trust_gates.report.reading import Gate, Report
from trust_gates.verdict import Check, Outcome
from trust_gates.visible import one_line

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold, however it is escaped (XML 1.0, section 2.2)."""


def render(verdict: Mapping[str, Any]) -> bytes:
    """The document of a verdict; equal verdicts give equal bytes, so no case says how long it took.

    Names stay the same from run to run, so that a system can say since when a check fails.
    """
    report = Report.of(verdict, ())
    name = _text(str(verdict["name"]))
    root = Element("testsuites", {"name": name, **_counts(report.checks)})
    for gate in report.gates:
        suite = SubElement(root, "testsuite", {"name": _text(gate.name), **_counts(gate.checks)})
        properties = SubElement(suite, "properties")
        for key, value in _facts(report, gate):
            SubElement(properties, "property", name=_text(key), value=_text(value))
        for check in gate.checks:
            case = SubElement(
                suite,
                "testcase",
                classname=f"{name}.{_text(gate.name)}",
                name=_text(check.name),
                time="0",
            )
            _found(case, check)
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _found(case: Element, check: Check) -> None:
    reason = _text(check.reason)
    if check.outcome is Outcome.PASSED:
        SubElement(case, "system-out").text = reason
        return
    failure = SubElement(case, "failure", type=check.outcome.value, message=reason)
    said = (reason, glossary.sentence(check), glossary.advice(check))
    failure.text = "\n".join(_text(line) for line in said if line)


def _counts(checks: Sequence[Check]) -> dict[str, str]:
    failed = sum(check.outcome is not Outcome.PASSED for check in checks)
    return {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "time": "0"}


def _facts(report: Report, gate: Gate) -> list[tuple[str, str]]:
    """What was asked: of every gate, and of this one."""
    told = [pair for one in report.yardstick.gates if one.gate == gate.name for pair in one.told]
    return [*report.yardstick.general, *told]


def _text(text: str) -> str:
    return _NO_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", one_line(text))
