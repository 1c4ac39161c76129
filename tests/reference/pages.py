"""Which pages of docs/reference follow from the code, and what do they say?"""

from __future__ import annotations

from pathlib import Path

from tests.reference import commands, names, refused

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Every such page with the text it must have."""
    made = {"commands": commands.page(), "names": names.page(), "rules": refused.page()}
    return {FOLDER / f"{name}.md": text for name, text in made.items()}
