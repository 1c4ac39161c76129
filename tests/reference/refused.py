"""Which documents must be refused, by whom, and with which words?

Each file of tests/embedded/tekton/refused is a list of cases. `--- # what is wrong` begins one,
`---` alone parts the documents of one. A comment `# tekton: message` or `# embedded: message` below
a line says what must be told about that line; nothing else may be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "embedded" / "tekton" / "refused"
_MARK = re.compile(r"\s*# (?P<by>tekton|embedded): (?P<message>.*)")
_WHO = {"tekton": "Tekton", "embedded": "this engine alone"}
_HEADER = """\
# What is refused

Made by `make reference` from the cases of
`tests/embedded/tekton/refused`. Each case is a test: these messages at their places, no others.
[validate.md](validate.md) says how they are told.
"""


@dataclass(frozen=True)
class Case:
    """Documents that must be refused."""

    title: str
    text: str
    expected: list[tuple[int, str, str]]
    """Line, who refuses it, message; sorted."""


def cases(file: Path) -> Iterator[Case]:
    """The cases of one file, in its order."""
    parts = re.split(r"^--- # (.*)\n", file.read_text(encoding="utf-8"), flags=re.M)
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        expected, line = [], 0
        for number, content in enumerate(text.splitlines(), 1):
            if mark := _MARK.fullmatch(content):
                expected.append((line, mark["by"], mark["message"]))
            else:
                line = number
        yield Case(title, text, sorted(expected))


def page() -> str:
    """docs/reference/rules.md: every case with who refuses it and what is told."""
    text = _HEADER
    for file in sorted(FOLDER.glob("*.yaml")):
        text += f"\n## {file.stem.replace('_', ' ').capitalize()}\n\n"
        text += "| case | refused by | message |\n| --- | --- | --- |\n"
        for case in cases(file):
            for _, by, message in case.expected:
                cell = message.replace("|", r"\|").replace("<", "&lt;")
                text += f"| {case.title} | {_WHO[by]} | `{cell}` |\n"
    return text
