"""What is described in one place stays there."""

import re

import pytest

from touchstone.home import SHIPPED

PRODUCT = [
    file
    for folder in ("touchstone", "trust_gates", "scripts", "training")
    for file in sorted((SHIPPED / folder).rglob("*.py"))
    if "examples" not in file.parts
]


def _elsewhere(pattern: str, *homes: str) -> list[str]:
    found = [file for file in PRODUCT if re.search(pattern, file.read_text())]
    assert found, "the pattern finds nothing any more"
    names = [str(file.relative_to(SHIPPED)) for file in found]
    return [name for name in names if not name.startswith(homes)]


@pytest.mark.parametrize(
    ("pattern", "homes"),
    [
        (r"\"(SELECT|INSERT|UPDATE|DELETE|REPLACE) ", ("touchstone/runs/store.py",)),
        (r"(get\(|\[)\"conditions\"(\]|, \[)(?! =)", ("touchstone/runs/record.py",)),
        (r"class \w+\(Console\)|[^(]\bConsole\(|secho\(|typer\.style", ("trust_gates/visible.py",)),
        (r"RESULT_LIMIT = ", ("touchstone/runs/record.py",)),
    ],
    ids=["sql", "reading a condition", "styles on a terminal", "the limit of results"],
)
def test_is_in_one_module(pattern, homes):
    assert _elsewhere(pattern, *homes) == []
