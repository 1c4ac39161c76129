"""Would a rebuild get the same bytes: base images by digest, packages by exact version?"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from trust_gates.integrity import tree

_BUILD = ("Containerfile", "Dockerfile")
_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_REQUIREMENTS = re.compile(r"requirements[\w.-]*\.(txt|lock|in)$")


def unpinned(source: Path) -> tuple[list[str], int]:
    """What is not pinned in a model repository, as `file:line: what`, and the files examined."""
    found, examined = [], 0
    for path in tree.walk(source, hidden=False).files:
        name = path.relative_to(source)
        if path.name in _BUILD or path.suffix in {f".{kind}" for kind in _BUILD}:
            wrong = _images(_lines(path))
        elif _REQUIREMENTS.fullmatch(path.name):
            wrong = _packages(_lines(path))
        else:
            continue
        examined += 1
        found += [f"{name}:{line}: {what}" for line, what in wrong]
    return found, examined


def packages(source: Path) -> set[str]:
    """Names of the packages that a model repository's requirements pin."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = set()
    for path in tree.walk(source, hidden=False).files:
        for _, line in _lines(path) if _REQUIREMENTS.fullmatch(path.name) else ():
            with suppress(InvalidRequirement):
                if not _packages([(0, line)]):
                    found.add(Requirement(_requirement(line)).name)
    return found


def _images(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    stages: set[str] = set()
    wrong = []
    for number, line in lines:
        match = _FROM.match(line)
        if not match:
            continue
        image, stage = match[1], match[2]
        if image != "scratch" and image.lower() not in stages and not _DIGEST.search(image):
            wrong.append((number, f"the image {image} is named without its digest"))
        if stage:
            stages.add(stage.lower())
    return wrong


def _packages(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    wrong = []
    for number, line in lines:
        text = _requirement(line)
        if text.startswith(("-e", "--editable")):
            wrong.append((number, f"{text} is whatever lies there"))
        if text.startswith("-"):
            continue  # other files are read themselves; an index names no package
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            wrong.append((number, f"{text} names no package and version"))
            continue
        exact = any(s.operator in ("==", "===") and "*" not in s.version for s in wanted.specifier)
        by_hash = wanted.url is not None and re.search(r"sha256[=:][0-9a-f]{64}", wanted.url)
        if not exact and not by_hash:
            wrong.append((number, f"{wanted.name} has no exact version"))
    return wrong


def _requirement(line: str) -> str:
    return re.split(r"\s+(?:#|--hash)", line)[0]


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines without comments and blank ones; those that go on are joined."""
    joined, start = "", 0
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        start = start or number
        joined += line.rstrip().removesuffix("\\")
        if line.rstrip().endswith("\\"):
            continue
        if joined.strip():
            lines.append((start, joined.strip()))
        joined, start = "", 0
    return lines
