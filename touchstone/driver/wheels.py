"""Wheels of an index, unpacked for a model's code: pip gets and unpacks them, confined.

Nothing that is installed here runs: wheels alone, no source archives, and what they bring for the
start of an interpreter is refused. pip sees its own requirements, a folder to write into and the
index; what it leaves is looked at from outside before anything is believed of it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from urllib.parse import urlsplit

from touchstone import beneath, confine
from touchstone.confine import Confinement, Limits
from touchstone.contract.requirements import FILE_NAME, LOCK, Pinned, lacking
from touchstone.errors import ManifestError, PlatformError, TouchstoneError, UsageError
from touchstone.home import PACKAGES
from trust_gates.kinds import kind
from trust_gates.visible import one_line

INDEX = "TOUCHSTONE_INDEX"
"""Environment variable: where packages come from, in place of PyPI; as `touchstone up --index`."""

PYPI = "https://pypi.org/simple"
MOST_FILES = 50_000
MOST_BYTES = 8 << 30
_LONGEST_METADATA = 4 << 20
_SHOWN = 400
_MOST_PROBLEMS = 50
_NAMES = 53
"""TCP port of name servers."""

_RELEASE = tuple(Path("/etc", one) for one in ("os-release", "lsb-release", "debian_version"))
"""What pip tells an index of the machine: where it is there it must be readable."""

_PORTS = {"https": 443, "http": 80}
_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_OF_NETWORK = (
    *("Retrying (", "Could not fetch URL", "Connection error", "Max retries", "Read timed out"),
    *("HTTP error", "ReadTimeoutError", "ProxyError", "SSLError"),
)
"""What pip says of an index that does not answer as one."""

_PIP = """\
import contextlib, os, runpy
chmod = os.chmod
def attempt(*given, **named):
    with contextlib.suppress(PermissionError):
        chmod(*given, **named)
os.chmod = attempt
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip, where modes cannot be changed: without namespaces no file's may be (`confine`)."""

_UNFORESEEN = 2
"""pip's exit code for an error that it has no words for."""

_OF_MACHINE = ("cannot confine a program here", "No space left on device", "No module named pip")
_AT_START = frozenset({"sitecustomize", "usercustomize"})
_NO_CODE = ("bin", "Scripts", "include", "etc", "share", "man")
"""What pip makes of a wheel's scripts, headers and data: no part of any module."""


class WheelsError(ManifestError):
    """The packages that are asked for cannot be had, or may not be used."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        # Names are a stranger's: of files in wheels, and of what they say that they need.
        told = [(name, one_line(words)[: 2 * _SHOWN]) for name, words in problems[:_MOST_PROBLEMS]]
        super().__init__("\n".join(words for _, words in told))
        self.problems = tuple(told)
        """Each with the name of the package, empty where none is known."""


def index() -> str:
    """Where packages come from: an address of pip's simple API, or a folder of wheels."""
    return os.environ.get(INDEX) or PYPI


def checked(source: str) -> str:
    """The index as steps are told it, who run in another folder.

    Raises:
        UsageError: it is no address and no folder.
    """
    if (place := folder(source)) is not None:
        return str(place)
    _port(source)
    return source


def folder(source: str) -> Path | None:
    """The folder of wheels that an index is; None where it is an address.

    Raises:
        UsageError: there is no such folder.
    """
    if "://" in source and not source.startswith("file:"):
        return None
    place = Path(urlsplit(source).path if "://" in source else source).resolve()
    if not place.is_dir():
        raise UsageError(f"got the index {place}, expected an address or a folder of wheels")
    return place


def options(source: str) -> list[str]:
    """How pip is told of it on the command line."""
    place = folder(source)
    return [] if place is None else ["--no-index", f"--find-links={place}"]


def told(source: str) -> dict[str, str]:
    """How pip is told of it in its environment: an address may hold a password."""
    return {} if folder(source) else {"PIP_INDEX_URL": source}


def install(pins: Sequence[Pinned], target: Path, *, source: str) -> Path:
    """Unpack the wheels of `pins`, and nothing else, into a new folder `target`.

    Args:
        source: as `index` has it.

    Raises:
        WheelsError: an index has no such wheel, it has another hash, it would take the place of
            something of ours, or it needs what is not among `pins`.
        PlatformError: the index cannot be reached, or pip cannot be confined here.
    """
    with tempfile.TemporaryDirectory(prefix="packages-") as own:
        asked, work = Path(own, "asked"), Path(own, "work")
        asked.mkdir()
        work.mkdir()
        Path(own).chmod(0o755)  # whom the superuser confines is nobody
        file = asked / FILE_NAME
        file.write_text("".join(f"{one.text}\n" for one in pins), encoding="utf-8")
        said, code = _pip(file, work, source)
        if code:
            raise _refused(said.replace(f"{work}/", ""), code, pins, source)
        if problems := _problems(work / "target", pins):
            raise WheelsError(problems)
        shutil.copytree(work / "target", target, copy_function=shutil.copy)
    return target


def _pip(file: Path, work: Path, source: str) -> tuple[str, int]:
    words: list[str | Path] = [
        *(sys.executable, "-I", "-c", _PIP, "install"),
        *("--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile"),
        *("--no-cache-dir", "--no-input", "--no-color", "--progress-bar=off", "--quiet"),
        *("--disable-pip-version-check", "--retries=2", "--timeout=30"),
        *(f"--target={work / 'target'}", "--requirement", file),
    ]
    extra = {"TMPDIR": str(work / "tmp"), "PIP_CONFIG_FILE": os.devnull}
    (work / "tmp").mkdir()
    read, ports = [file.parent, *(one for one in _RELEASE if one.is_file())], []
    words += options(source)
    extra |= told(source)
    if (place := folder(source)) is not None:
        read.append(place)
    else:
        ports = [_NAMES, _port(source)]
        for name in _PROXIES:
            if value := os.environ.get(name) or os.environ.get(name.lower()):
                extra[name] = value
                ports += [] if name == "NO_PROXY" else [_port(value)]
        for name in _CERTIFICATES:
            if (value := os.environ.get(name)) and Path(value).is_file():
                read.append(Path(value))
                extra["PIP_CERT"] = value
                break
    confinement = Confinement(
        read=read,
        write=[work],
        network="host" if ports else "none",
        ports=ports,
        limits=Limits(disk=MOST_BYTES),
    )
    with confine.started(
        words, confinement, extra, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        said = confine.tail(process.stdout).decode(errors="replace")
    return said, process.returncode


def _port(address: str) -> int:
    parts = urlsplit(address)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise UsageError(
            f"got the index {shown(address)}, expected https://…, http://… or a folder"
        ) from None
    return port


def shown(source: str) -> str:
    """Addresses without their passwords."""
    return re.sub(r"//[^/@]*@", "//", source)


def _refused(said: str, code: int, pins: Sequence[Pinned], source: str) -> TouchstoneError:
    """What pip's words come to; they may be of an index or a wheel that somebody else made."""
    lines = [one_line(line) for line in said.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "")
    last = shown(last.removeprefix("ERROR: "))[:_SHOWN] or f"it said nothing, exit code {code}"
    if any(sign in line for line in lines for sign in _OF_NETWORK):
        asked = next(line for line in lines if any(sign in line for sign in _OF_NETWORK))
        return PlatformError(
            f"the index {shown(source)} cannot be asked: {shown(asked)[:_SHOWN]}",
            hint="touchstone up --index takes another one, or a folder of wheels",
        )
    if code == _UNFORESEEN or any(sign in line for line in lines for sign in _OF_MACHINE):
        return PlatformError(f"no package can be got here: {lines[-1] if lines else last}")
    by_name = {str(one): one for one in pins}
    for line in lines:
        if match := re.search(r"No matching distribution found for (\S+)", line):
            pin = by_name.get(match[1])
            words = (
                f"got no wheel of {match[1]} for CPython {platform.python_version()} on"
                f" {platform.machine()} at {shown(source)}, expected one: a source archive is"
                " never built here, as that would run its code"
            )
            return WheelsError([(pin.name if pin else "", words)])
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        wrong = next(
            (p for p in pins if any(f"{p} from" in ln or ln == str(p) for ln in lines)), None
        )
        got = next((line.split()[-1] for line in lines if line.startswith("Got ")), "another")
        words = (
            f"got {wrong or 'a package'} with the hash sha256:{got} from {shown(source)}, expected"
            f" one of those in the file: was it exchanged? if it is right, `{LOCK}` writes it"
        )
        return WheelsError([(wrong.name if wrong else "", words)])
    return WheelsError([("", f"the packages cannot be unpacked: {last}")])


def _problems(target: Path, pins: Sequence[Pinned]) -> list[tuple[str, str]]:
    """What is wrong with what was unpacked; scripts and data, which no module is, are removed."""
    wrong = next(_irregular(target), None)
    if wrong is not None:
        return [("", wrong)]
    for name in _NO_CODE:
        if not (target / name / "__init__.py").exists():
            shutil.rmtree(target / name, ignore_errors=True)
    having = {one.name: one.version for one in pins}
    extras = {one.name: one.extras for one in pins}
    owners = dict(_owners(target))
    found = []
    for name, words in _shadows(target):
        of = owners.get(name, "")
        found.append((of, f"got {of or 'a package'} with {words}"))
    for info in sorted(target.glob("*.dist-info")):
        one = _distribution(info)
        for need in lacking(one.requires or (), having, extras.get(_name(one), ())):
            words = f"{_name(one)} {one.version} needs {need}; `{LOCK}` writes all that is needed"
            found.append((_name(one), words))
    return found


def _irregular(target: Path) -> Iterator[str]:
    """What no wheel should leave: too much, or anything else than files and folders."""
    files = size = 0
    waiting = [target]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))
            elif not stat.S_ISREG(status.st_mode):
                name = Path(entry.path).relative_to(target)
                yield one_line(f"got {name}, {kind(status.st_mode)}, expected files and folders")
            files, size = files + 1, size + status.st_size
            if files > MOST_FILES or size > MOST_BYTES:
                yield f"got more than {MOST_FILES} files or {MOST_BYTES >> 30} GiB, expected less"


def _shadows(target: Path) -> Iterator[tuple[str, str]]:
    """Names that the toolkit's own modules have, or that an interpreter looks for at its start."""
    places = [Path(one) for one in sys.path if Path(one).is_dir() and Path(one) != target]
    ours = {one.stem for one in PACKAGES}
    for path in sorted(target.iterdir()):
        name = _module(path)
        if path.suffix == ".pth":
            yield path.name, f"{path.name}, which would run at the start of Python"
        elif name in _AT_START:
            yield path.name, f"the module {name}, which Python runs at its start"
        elif name in sys.stdlib_module_names or name in ours:
            yield path.name, f"the module {name}, which Python or Touchstone has"
        elif not path.name.endswith((".dist-info", ".libs")):
            for shown in _same(path, places):
                yield path.name, f"{shown}, which Touchstone has and imports in its place"


def _same(path: Path, places: Sequence[Path]) -> Iterator[str]:
    """What of a module is in one of the places too; folders without a module of their own join."""
    waiting = [(path, places, path.name)]
    while waiting:
        here, above, shown = waiting.pop()
        name = _module(here)
        others = [o for place in above for o in place.iterdir() if _module(o) == name]
        if not others:
            continue
        joins = here.is_dir() and all(one.is_dir() for one in others)
        if joins and not any((one / "__init__.py").exists() for one in (here, *others)):
            waiting += [(one, others, f"{shown}/{one.name}") for one in sorted(here.iterdir())]
        else:
            yield shown


def _module(path: Path) -> str:
    """The module that a file or folder is imported as; of other files their name."""
    for suffix in (*EXTENSION_SUFFIXES, ".py", ".pyc", ".pyi"):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def _owners(target: Path) -> Iterator[tuple[str, str]]:
    """Which package brought each name at the top."""
    for info in sorted(target.glob("*.dist-info")):
        one = _distribution(info)
        for file in one.files or ():
            yield file.parts[0], _name(one)


class _Bounded(metadata.Distribution):
    """A dist-info folder whose files are read up to a limit, and through no link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_text(self, filename: str) -> str | None:
        try:
            data = beneath.read(self._folder, filename, limit=_LONGEST_METADATA)
        except (FileNotFoundError, beneath.NotPlainError):
            return None
        return data.decode("utf-8", "replace")

    def locate_file(self, path: object) -> Path:
        return self._folder.parent / str(path)


def _distribution(info: Path) -> metadata.Distribution:
    return _Bounded(info)


def _name(one: metadata.Distribution) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(one.metadata["Name"] or "")
