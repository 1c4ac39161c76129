"""Which pages of docs/reference, or parts of them, follow from the code, and what do they say?"""

from __future__ import annotations

import re
from pathlib import Path

from tests.reference import commands, figures, names, refused
from touchstone.delivery.environment import EnvironmentPolicy
from trust_gates import GATES, keys
from trust_gates.floor import Floor

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

_KEYS = re.compile(r"(?<=prints them:\n\n)\|.*\Z", re.S)
"""The end of a page about a policy."""


def pages() -> dict[Path, str]:
    """Every such page with the whole text that it must have."""
    made = {
        "commands": commands.page(),
        "figures": figures.page(),
        "names": names.page(),
        "rules": refused.page(),
    }
    return {FOLDER / f"{name}.md": text for name, text in made.items()} | {
        FOLDER / f"{name}.md": _with_keys(name, text)
        for name, text in [*((gate, keys.table(gate)) for gate in GATES), ("environment", _floor())]
    }


def _with_keys(name: str, text: str) -> str:
    """The page, which a person wrote, with the table of its keys."""
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return _KEYS.sub(lambda _: text + "\n", page)


def _floor() -> str:
    """The keys of environment.yaml, and of what stands below its `gates`."""
    parts = [keys.table_of(EnvironmentPolicy), "### Below gates", keys.table_of(Floor)]
    for gate in GATES:
        parts += [f"### Below gates.{gate}", keys.table_of(Floor.model_fields[gate].annotation)]
    return "\n\n".join(parts)
