"""Which packages does a model repository need besides the toolkit's? What requirements.txt pins.

It is pip's format and no more than names: every package by its exact version and by the digests of
its wheels, as `touchstone packages lock` writes it. Nothing in it says where packages come from,
which is for whoever runs the platform to decide.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.errors import ManifestError
from trust_gates.visible import one_line

FILE_NAME = "requirements.txt"
LOCK = "touchstone packages lock"
"""The command that writes the file."""

_MODELS = Path(sys.prefix, "share", "touchstone", "models.lock")
"""What the image serves models with; the Containerfile writes it."""

MOST_PACKAGES = 500
_LONGEST = 1 << 20
_SHOWN = 80
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_OPTIONS = {
    "-r": "a file of its own",
    "--requirement": "a file of its own",
    "-c": "a file of its own",
    "--constraint": "a file of its own",
    "-e": "whatever lies in a folder",
    "--editable": "whatever lies in a folder",
}
"""Options that name packages in a way of their own; the others say how to get them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A package by its version and the digests of the wheels that it may be."""

    name: str
    """In its normal form: lower case, words joined by `-`."""

    version: str
    hashes: tuple[str, ...]
    extras: tuple[str, ...] = ()
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def text(self) -> str:
        """As a line of a requirements.txt."""
        return " ".join([str(self), *(f"--hash={one}" for one in self.hashes)])


@dataclass(frozen=True, slots=True)
class Asked:
    """What a requirements.txt says."""

    pins: tuple[Pinned, ...] = ()
    """Those meant for this machine and this Python, sorted by name."""

    problems: tuple[tuple[int, str], ...] = ()
    """What is wrong, each with its line."""

    @property
    def missing(self) -> tuple[Pinned, ...]:
        """Those that the toolkit has not, so that they must be installed."""
        return tuple(one for one in self.pins if one.name not in installed())


def require_plain(folder: Path) -> None:
    """Raise ManifestError where requirements.txt is a link, or anything else than a file.

    A store keeps a link as the file that it leads to: later nobody could tell.
    """
    try:
        with beneath.opened(folder, FILE_NAME):
            return
    except FileNotFoundError:
        return
    except NotPlainError as error:
        raise ManifestError(error.problem, location=FILE_NAME) from None


def read(folder: Path) -> Asked:
    """The requirements.txt of a model repository; one that is not there asks for nothing."""
    try:
        data = beneath.read(folder, FILE_NAME, limit=_LONGEST)
    except FileNotFoundError:
        return Asked()
    except NotPlainError as error:
        return Asked(problems=((1, error.problem),))
    if len(data) > _LONGEST:
        return Asked(problems=((1, f"got more than {_LONGEST} bytes, expected fewer"),))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Asked(problems=((1, f"got bytes that are no UTF-8 ({error.reason})"),))
    found: dict[str, Pinned] = {}
    problems: list[tuple[int, str]] = []
    for number, line in lines(text):
        try:
            pin = _pin(line, number)
            if pin is not None and (before := found.get(pin.name)):
                raise ValueError(f"got {pin.name} again, expected it once: line {before.line}")
            if pin is not None:
                _agrees(pin)
                found[pin.name] = pin
        except ValueError as error:
            problems.append((number, one_line(str(error))))
    if len(found) > MOST_PACKAGES:
        problems.append((1, f"got {len(found)} packages, expected at most {MOST_PACKAGES}"))
    return Asked(tuple(found[name] for name in sorted(found)), tuple(problems))


@lru_cache(maxsize=1)
def installed() -> Mapping[str, str]:
    """Version of each package that every model is run with, by its name in the normal form.

    What is installed here; in an image, which may have more or fewer, what models.lock says.
    """
    from packaging.utils import canonicalize_name

    if _MODELS.is_file():
        return locked(_MODELS.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for one in metadata.distributions():
        if name := one.metadata["Name"]:
            found.setdefault(canonicalize_name(name), one.version)
    return found


def locked(text: str) -> dict[str, str]:
    """Version of each package of a lock of ours, by its name in the normal form."""
    from packaging.utils import canonicalize_name

    found = [re.split(r"\s", line)[0].partition("==") for _, line in lines(text)]
    return {canonicalize_name(name): version for name, _, version in found}


def lacking(needed: Iterable[str], having: Mapping[str, str], extras: Iterable[str]) -> list[str]:
    """Which of a package's `Requires-Dist` are in none of the versions that are there.

    Args:
        having: versions by name, besides what the toolkit has.
        extras: of the package, as it was asked for.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = []
    for text in needed:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue  # as pip, which installs such a package
        if one.marker and not any(one.marker.evaluate({"extra": of}) for of in ("", *extras)):
            continue
        name = canonicalize_name(one.name)
        version = having.get(name) or installed().get(name)
        if version is None or not one.specifier.contains(version, prereleases=True):
            got = f"{name} {version}" if version else f"no {name}"
            found.append(f"{name}{one.specifier} (got {got})")
    return found


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, with their numbers; those that go on by a backslash are joined."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        start = start or number
        if bare.endswith("\\"):
            joined += bare[:-1] + " "
            continue
        if (joined + bare).strip():
            yield start, (joined + bare).strip()
        joined, start = "", 0
    if joined.strip():
        yield start, joined.strip()


def _pin(line: str, number: int) -> Pinned | None:
    """The package of a line; None where it is meant for another machine.

    Raises:
        ValueError: it is more, or less, than a package by version and hash.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    # Of what pip takes for options, whatever it is quoted or spelled with, only hashes are known.
    words = re.split(r"\s+(?=-)", line)
    wanted, options = words[0], words[1:]
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
    if wanted.startswith("-"):
        option = re.split(r"[\s=]", wanted)[0]
        kind = _OPTIONS.get(option, "where packages come from, which the platform decides")
        raise ValueError(
            f"got {shown}, which names {kind}; expected NAME==VERSION --hash=sha256:… alone"
        )
    for option in options:
        if not _HASH.fullmatch(option):
            raise ValueError(f"got the option {option[:_SHOWN]}, expected --hash=sha256:… alone")
    try:
        found = Requirement(wanted)
    except InvalidRequirement:
        raise ValueError(
            f"got {shown}, expected NAME==VERSION --hash=sha256:…: a package of an index, no path"
            f" and no address; `{LOCK}` writes the line"
        ) from None
    name = canonicalize_name(found.name)
    if found.url is not None:
        raise ValueError(f"got {name} at an address, expected {name}==VERSION --hash=sha256:…")
    if found.marker is not None and not found.marker.evaluate():
        return None
    (version,) = [one.version for one in found.specifier if one.operator == "=="] or [""]
    if not version or version.endswith(".*") or len(found.specifier) != 1:
        raise ValueError(
            f"got {name}{found.specifier}, expected {name}==VERSION --hash=sha256:…;"
            f" `{LOCK}` writes the line"
        )
    hashes = sorted({one.removeprefix("--hash=") for one in options})
    pin = Pinned(
        name=name,
        version=version,
        hashes=tuple(hashes),
        extras=tuple(sorted(found.extras)),
        line=number,
    )
    if not hashes:
        raise ValueError(
            f"got {pin} without a hash, expected --hash=sha256:… of each of its wheels;"
            f" `{LOCK}` writes them"
        )
    return pin


def _agrees(pin: Pinned) -> None:
    """Raise ValueError where the toolkit has another version, which would be imported."""
    from packaging.version import InvalidVersion, Version

    have = installed().get(pin.name)
    try:
        if have is None or Version(have).public == Version(pin.version).public:
            return
    except InvalidVersion:
        raise ValueError(f"got {pin}, expected a version such as 1.2.3") from None
    raise ValueError(
        f"got {pin}, but Touchstone has {pin.name} {have}, which every model is run with: expected"
        f" that version, or no such line; `{LOCK}` leaves it out"
    )
