"""Which pages of docs/reference, or parts of them, follow from the code, and what do they say?"""

from __future__ import annotations

import re
from pathlib import Path

from tests.reference import commands, figures, names, refused
from trust_gates import GATES, keys

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

_KEYS = re.compile(r"(?<=prints them:\n\n)\|.*\Z", re.S)
"""The end of a gate's page."""


def pages() -> dict[Path, str]:
    """Every such page with the whole text that it must have."""
    made = {
        "commands": commands.page(),
        "figures": figures.page(),
        "names": names.page(),
        "rules": refused.page(),
    }
    return {FOLDER / f"{name}.md": text for name, text in made.items()} | {
        FOLDER / f"{gate}.md": _with_keys(gate) for gate in GATES
    }


def _with_keys(gate: str) -> str:
    """The gate's page, which a person wrote, with the table of its keys."""
    page = (FOLDER / f"{gate}.md").read_text(encoding="utf-8")
    return _KEYS.sub(lambda _: keys.table(gate) + "\n", page)
