"""Every page that is named exists, and the generated ones are fresh."""

import re
import subprocess

import pytest

from tests.reference.pages import FOLDER, pages
from touchstone.home import SHIPPED
from trust_gates import GATES, keys

MADE = pages()
PAGES = [*sorted((SHIPPED / "docs").rglob("*.md")), *sorted(SHIPPED.glob("*.md"))]
FILES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=SHIPPED,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
TEKTONS_OWN = {"docs/debug.md"}
"""Pages of Tekton's documentation that comments name as the source of a fact."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SHIPPED)))
def test_every_link_of_a_page_leads_somewhere(page):
    prose = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not fragment or fragment in _anchors(target), link


def _anchors(page):
    """What GitHub makes of a page's headings for links to them."""
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", prose, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("gate", GATES)
def test_the_page_of_a_gate_ends_with_its_keys(gate):
    assert (FOLDER / f"{gate}.md").read_text(encoding="utf-8").endswith(keys.table(gate) + "\n")


def test_every_page_that_code_and_yaml_name_is_there():
    named = {}
    for name in FILES:
        file = SHIPPED / name
        if file.suffix in {".py", ".yaml", ".toml", ".j2"} and file.is_file():
            for page in re.findall(r"\bdocs/[\w/-]+\.md", file.read_text()):
                named.setdefault(page, name)
    absent = {page: file for page, file in named.items() if not (SHIPPED / page).is_file()}
    assert set(absent) <= TEKTONS_OWN, absent


def test_every_page_is_in_the_index():
    docs = SHIPPED / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = [page.relative_to(docs) for page in PAGES if docs in page.parents]
    lone = [str(page) for page in pages if page.parts[0] != "decisions" and str(page) not in index]
    assert lone == ["README.md"]


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.name)
def test_what_is_made_from_the_code_is_fresh(page):
    assert page.read_text(encoding="utf-8") == MADE[page], "run: make reference"
