"""What the tutorial and the README tell people to type is typed here, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import free_ports

from touchstone.home import SHIPPED

pytestmark = pytest.mark.long

TUTORIAL = SHIPPED / "docs" / "tutorial" / "demo.md"
SEVERAL = SHIPPED / "docs" / "how-to" / "several-models.md"
README = SHIPPED / "README.md"
_PLACEHOLDER = re.compile(r"\b(RUN|STAGE|EVENT|MODEL|FOLDER)\b")


def commands(document: Path, heading: str = "") -> list[tuple[str, int]]:
    """The lines of the fenced blocks, without their comments, and the exit code that one promises.

    With `heading`, those of that section; what names a placeholder is nothing to type.
    """
    text = document.read_text()
    if heading:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = []
    for block in re.findall(r"^```\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            typed, _, comment = line.partition("  #")
            promised = re.search(r"exit code (\d)", comment)
            if typed.strip() and not _PLACEHOLDER.search(typed):
                found.append((typed.strip(), int(promised[1]) if promised else 0))
    return found


class Shell:
    """A person's shell, in an empty folder; the next line begins where the last one ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "home"
        home.mkdir()
        (home / ".gitconfig").write_text("[user]\n name = Ada\n email = ada@example.org\n")
        kept = {k: v for k, v in os.environ.items() if k not in ("TOUCHSTONE_HOME", "VIRTUAL_ENV")}
        self.environment = kept | {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TOUCHSTONE_PORT": str(free_ports()),
        }
        self.here = folder / "work"
        self.here.mkdir()

    def types(self, line: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        where = self.folder / "where"
        done = subprocess.run(
            ["bash", "-c", f'{line}\ncode=$?; pwd > "{where}"; exit $code'],
            cwd=self.here,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        self.here = Path(where.read_text().strip())
        return done.returncode, done.stdout

    def follows(self, lines: list[tuple[str, int]]) -> dict[str, str]:
        """Type every line; what each printed. Fails where one ends otherwise than promised."""
        printed = {}
        for line, expected in lines:
            code, said = self.types(line)
            assert code == expected, f"$ {line}\n{said}"
            printed[line] = printed.get(line, "") + said
        return printed


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.types("touchstone down")


def test_the_tutorial_does_what_it_says(shell: Shell) -> None:
    lines = commands(TUTORIAL)
    printed = shell.follows(lines[:-1])
    assert (
        "follow it: touchstone watch model-"
        in printed["git push ../.touchstone/git/model.git main"]
    )
    assert "nothing started: " in printed["git push ../.touchstone/git/model.git main:an-idea"]
    assert '"state": "failure"' in printed["git notes --ref=touchstone-status show"]
    assert "again: curl" in printed["touchstone predict diabetes-progression"]
    assert (shell.here.parent / "report" / "trust-report.html").exists()
    # A second model, beside the first: the platform still runs.
    shell.here = shell.here.parent
    printed = shell.follows(commands(SEVERAL))
    assert "follow it: touchstone watch fraud-" in printed["git push touchstone main"]
    assert "newest run  fraud-" in printed["touchstone model list"]
    shell.follows(lines[-1:])


def test_the_readmes_own_model_is_the_tutorials() -> None:
    tutorial = iter(line for line, _ in commands(TUTORIAL))
    for line, _ in commands(README, "Your own model"):
        assert line in tutorial, f"{line} is not typed in the tutorial, or in another order"


@pytest.mark.parametrize("heading", ["Any model, without a pipeline", "Any Tekton YAML"])
def test_what_the_readme_says_of_gates_and_tekton_works(shell: Shell, heading: str) -> None:
    lines = commands(README, heading)
    assert len(lines) > 2
    shell.follows(lines)
