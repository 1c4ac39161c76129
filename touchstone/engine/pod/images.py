"""What stands for a container image on this machine?"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from touchstone.home import SHIPPED

_MAP = Path(__file__).with_name("images.yaml")

_IN_IMAGE = "/opt/touchstone/"
"""Where Touchstone's images hold what a checkout has at its top."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """What runs in place of an image."""

    path: tuple[str, ...]
    """Folders searched for programs before the host's."""

    known: bool
    """Whether the map names the image; an unknown one runs on the host's tools."""

    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Programs of the image with the command that does their work here."""

    entrypoint: tuple[str, ...] = ()
    """What the image starts where a step gives no command; empty where that is not known."""

    passes: bool = False
    """Whether the entrypoint runs its arguments as a command where they are one."""

    shipped: bool = False
    """Whether the image holds Touchstone's own files below /opt/touchstone."""

    def command(self, words: Sequence[str]) -> list[str]:
        """A step's command, with what stands here for the image's programs and files."""
        words = [*self.programs.get(words[0], words[:1]), *words[1:]]
        if not self.shipped:
            return words
        return [
            str(SHIPPED / word.removeprefix(_IN_IMAGE)) if word.startswith(_IN_IMAGE) else word
            for word in words
        ]

    def default_command(self, args: Sequence[str], search: str) -> list[str]:
        """What a step with these arguments and no command starts; nothing where not known."""
        if (
            self.passes
            and args
            and not args[0].startswith("-")
            and shutil.which(args[0], 1, search)
        ):
            return list(args)
        return [*self.entrypoint, *args] if self.entrypoint else []


@lru_cache(maxsize=256)
def stand_in_for(image: str) -> StandIn:
    """The stand-in for an image reference; an empty one, as in a step without image, is known."""
    if not image:
        return StandIn((), known=True)
    name = repository(image)
    for entry in _entries():
        globs = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
        if any(fnmatchcase(name, glob) for glob in globs):
            ours = entry["tools"] == "touchstone"
            return StandIn(
                interpreter_path() if ours else (),
                known=True,
                shipped=ours,
                programs={key: tuple(words) for key, words in entry.get("programs", {}).items()},
                entrypoint=tuple(entry.get("entrypoint", ())),
                passes=entry.get("passes", False),
            )
    return StandIn((), known=False)


def repository(image: str) -> str:
    """The image's name without tag and digest."""
    name = image.split("@", 1)[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.split(":", 1)[0]


def interpreter_path() -> tuple[str, ...]:
    """The folder in which `python` is the interpreter that runs Touchstone."""
    return (str(Path(sys.executable).parent),)


@lru_cache(maxsize=1)
def _entries() -> tuple[dict[str, Any], ...]:
    return tuple(yaml.load(_MAP.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))
