"""Which versions and hashes make a requirements.txt that a model repository can be run with?

pip resolves what is wanted against the packages that the toolkit has, so that only the others are
written; of each all wheels of the version, so that the file holds on other machines too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.artifacts.store import digest_file
from touchstone.contract.requirements import FILE_NAME, LOCK, installed
from touchstone.driver import wheels
from touchstone.errors import ManifestError, PlatformError, UsageError

if TYPE_CHECKING:
    from packaging.tags import Tag

_HEAD = f"# Written by `{LOCK}`; Touchstone's own packages are not in it.\n"
_JSON = "application/vnd.pypi.simple.v1+json"
_PATIENCE = 30


@dataclass(frozen=True, slots=True)
class Locked:
    """A requirements.txt, and what it holds."""

    text: str
    versions: Mapping[str, str]
    own: Sequence[str]
    """What was wanted and the toolkit has."""


def lock(folder: Path, wanted: Sequence[str], *, source: str) -> Locked:
    """What is wanted, and what the requirements.txt in `folder` names already, with all they need.

    Args:
        wanted: requirements such as `lightgbm` or `lightgbm>=4`.
        source: as `wheels.index`.

    Raises:
        UsageError: something that is wanted is no requirement.
        ManifestError: a line of the file is none, or the toolkit has another version than is asked.
        PlatformError: pip found no such set of wheels.
    """
    asked, own = _asked(folder, wanted)
    if not asked:
        return Locked(_HEAD, {}, own)
    found = resolved(asked, installed(), source=source)
    lines = [
        line(name, version, hashes(name, version, known, source=source))
        for name, (version, known) in sorted(found.items())
    ]
    versions = {name: version for name, (version, _) in found.items()}
    return Locked(_HEAD + "".join(lines), versions, own)


def line(name: str, version: str, digests: Sequence[str]) -> str:
    """A package as pip reads it from a requirements file."""
    return " \\\n    --hash=".join([f"{name}=={version}", *digests]) + "\n"


def _asked(folder: Path, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """What pip is to find, and what the toolkit has of it."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Requirement] = {}
    for place, text in [*_written(folder), *(("", one) for one in wanted)]:
        try:
            one = Requirement(text)
        except InvalidRequirement as error:
            problem = f"got {text!r}, expected a package such as lightgbm or lightgbm==4.6.0"
            if place:
                raise ManifestError(problem, location=place) from None
            raise UsageError(problem) from error
        found[canonicalize_name(one.name)] = one
    own = [name for name in found if name in installed()]
    for name in own:
        one = found.pop(name)
        if not one.specifier.contains(installed()[name], prereleases=True):
            raise ManifestError(
                f"got {one}, but Touchstone has {name} {installed()[name]}, which every model is"
                " run with",
                hint="take a version that fits it, or leave it out",
            )
    return [str(one) for one in found.values()], own


def _written(folder: Path) -> Iterator[tuple[str, str]]:
    """Each requirement of the file without its hashes, with its place."""
    from touchstone.contract.requirements import lines

    path = folder / FILE_NAME
    if path.is_file():
        for number, line in lines(path.read_text(encoding="utf-8")):
            yield f"{path}:{number}", re.split(r"\s+--hash", line)[0]


def resolved(
    asked: Sequence[str], versions: Mapping[str, str], *, source: str, anew: bool = False
) -> dict[str, tuple[str, str]]:
    """Version and hash of the wheel for this machine of all that is to be got, by name.

    Args:
        versions: that packages must have where they are needed.
        source: as `wheels.index`.
        anew: also what is installed here is to be got.

    Raises:
        PlatformError: pip found no such set of wheels.
    """
    from packaging.utils import canonicalize_name

    with tempfile.TemporaryDirectory() as name:
        report, held = Path(name, "report.json"), Path(name, "constraints.txt")
        held.write_text("".join(f"{n}=={v}\n" for n, v in versions.items()), encoding="utf-8")
        words = [
            *(sys.executable, "-P", "-m", "pip", "install", "--dry-run", "--only-binary=:all:"),
            *("--quiet", "--no-input", "--disable-pip-version-check", "--no-color"),
            *("--progress-bar=off", f"--report={report}", f"--constraint={held}"),
            *(["--ignore-installed"] if anew else []),
            *wheels.options(source),
            *("--", *asked),
        ]
        done = subprocess.run(
            words,
            env={**os.environ, **wheels.told(source)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no reason"]
            raise PlatformError(
                f"pip finds no wheels for {', '.join(asked)} beside Touchstone's packages: "
                + wheels.shown(said[-1].removeprefix("ERROR: ")),
                hint="take another version, or one that has wheels for this Python",
            )
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        canonicalize_name(one["metadata"]["name"]): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in chosen
    }


def hashes(
    name: str,
    version: str,
    known: str,
    *,
    source: str,
    fits: Callable[[frozenset[Tag]], bool] = bool,
) -> list[str]:
    """Of all wheels of the version; of this machine's alone where the index lists none.

    Args:
        fits: whether wheels with these tags are meant.
    """
    found = {f"sha256:{known}"}
    if (folder := wheels.folder(source)) is not None:
        found |= {
            digest_file(path)
            for path in folder.glob("*.whl")
            if _is(path.name, name, version, fits)
        }
    else:
        found |= set(_listed(name, version, source, fits))
    return sorted(found)


def _listed(
    name: str, version: str, source: str, fits: Callable[[frozenset[Tag]], bool]
) -> Iterator[str]:
    """As the index says them (PEP 691)."""
    import httpx

    try:
        answer = httpx.get(
            f"{source.rstrip('/')}/{name}/",
            headers={"Accept": _JSON},
            follow_redirects=True,
            timeout=_PATIENCE,
        )
        files = answer.json()["files"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return
    for one in files:
        digest = one.get("hashes", {}).get("sha256", "")
        if _is(one.get("filename", ""), name, version, fits) and re.fullmatch(
            "[0-9a-f]{64}", digest
        ):
            yield f"sha256:{digest}"


def _is(file: str, name: str, version: str, fits: Callable[[frozenset[Tag]], bool]) -> bool:
    """Whether it is a wheel of that version that is meant."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import Version

    try:
        of, its, _, tags = parse_wheel_filename(file)
    except (InvalidWheelFilename, ValueError):
        return False
    return of == name and its == Version(version) and fits(tags)
