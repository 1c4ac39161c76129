"""How do a table's bytes become checked data? Fetched, held to their digest, read confined.

No code of the model repository takes part. What is fetched is anyone's all the same: a process of
its own reads it, which sees nothing but the file and has no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from touchstone import beneath, confine
from touchstone.beneath import NotPlainError
from touchstone.confine import Confinement, Limits
from touchstone.home import SHIPPED
from touchstone.training import raised
from touchstone.training.tables.asked import ADDRESSES, Data, check_place, is_inside
from touchstone.training.tables.frame import MOST_BYTES, Problem
from touchstone.training.tables.frame import TableError as TableError
from trust_gates.visible import one_line, visible
from trust_gates.wording import alike

_MEMORY = 12 << 30
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
_S3 = (*_KEYS, "AWS_ENDPOINT_URL_S3")
"""Environment variables that say who asks an object store, and which, where no Secret does."""

_MOST, _LONGEST = 50, 4000


class LateError(Exception):
    """The table was not read in the time that there was."""


def load(
    data: Data,
    repository: Path,
    output: Path,
    *,
    uri: str = "",
    show: Sequence[Path] = (),
    patience: float | None = None,
    options: Mapping[str, str] | None = None,
) -> None:
    """Write the raw data of a table into the empty folder `output`.

    Args:
        data: a table's.
        uri: in place of the data's own, and then held to no digest.
        show: folders that a file:// may lie in.
        patience: seconds to read it in.
        options: keys of the Secret by which an object store is asked.

    Raises:
        TableError: it cannot be had, has another digest, or cannot be read as it should.
        LateError: it took longer.
        PlatformError: nothing can be confined here.
    """
    wanted = uri or data.uri
    try:
        check_place(wanted)
    except ValueError as error:
        raise TableError((str(error), ("uri",))) from None
    with tempfile.TemporaryDirectory() as own:
        place = Path(own) / "table"
        place.mkdir(mode=0o755)
        file = place / "table"
        digest = _fetch(wanted, repository, file, show, options or {})
        if not uri and data.digest not in ("", digest):
            raise TableError(
                (
                    f"got {digest} from {one_line(wanted)}, expected {data.digest}: the data"
                    " changed; review them, then write the new digest into touchstone.yaml",
                    ("digest",),
                )
            )
        _read(
            file,
            wanted if is_inside(wanted) else Path(urlsplit(wanted).path).name,
            data,
            output,
            patience,
        )


def is_address(uri: str) -> bool:
    """Whether it takes a network."""
    return urlsplit(uri).scheme in ADDRESSES


def _fetch(
    uri: str, repository: Path, file: Path, show: Sequence[Path], options: Mapping[str, str]
) -> str:
    """Copy what is at `uri` to `file`; its digest."""
    if is_address(uri):
        download(uri, file, options)
        with file.open("rb") as found:
            return _copied(found, None, uri)
    base, path = repository, uri
    if not is_inside(uri):
        whole = Path(unquote(urlsplit(uri).path)).resolve()
        shown = next((one for one in show if whole.is_relative_to(one.resolve())), None)
        if shown is None:
            raise TableError(
                (
                    f"got {one_line(uri)}, which lies in no folder that models are shown; expected"
                    " one of `touchstone up --data FOLDER` (here: `validate --data FOLDER`)",
                    ("uri",),
                )
            )
        base, path = shown.resolve(), str(whole.relative_to(shown.resolve()))
    try:
        with beneath.opened(base, path) as found:
            return _copied(found, file, uri)
    except FileNotFoundError:
        there = [
            str(one.relative_to(base))
            for suffix in (".csv", ".parquet")
            for one in sorted(base.glob(f"*{suffix}"))
        ]
        where = "the repository" if is_inside(uri) else str(base)
        raise TableError(
            (
                f"got no file {one_line(path)} in {where}, expected the table{alike(path, there)}",
                ("uri",),
            )
        ) from None
    except NotPlainError as error:
        raise TableError((f"{one_line(path)}: {error.problem}", ("uri",))) from None


def _copied(stream: BinaryIO, file: Path | None, uri: str) -> str:
    """The digest of what a stream holds, which is copied to `file`."""
    digest, size = hashlib.sha256(), 0
    with open(os.devnull if file is None else file, "wb") as copy:  # noqa: PTH123 (one of two)
        while part := stream.read(1 << 20):
            size += len(part)
            if size > MOST_BYTES:
                raise TableError(
                    (
                        f"got more than {MOST_BYTES:,} bytes from {one_line(uri)}, expected less:"
                        " leave out what is not needed, or load it by load_data of a ModelSpec",
                        ("uri",),
                    )
                )
            digest.update(part)
            copy.write(part)
    if file is not None:
        file.chmod(0o644)
    return f"sha256:{digest.hexdigest()}"


def download(uri: str, file: Path, options: Mapping[str, str], *, most: int = MOST_BYTES) -> None:
    """Copy what is at an address to `file`, which a process of its own does; one byte too many of
    what is larger than `most`.

    Args:
        options: keys of the Secret by which an object store is asked; its endpoint's port is open.

    Raises:
        TableError: it cannot be had.
    """
    file.parent.chmod(0o700)
    port = urlsplit(options.get("endpoint", "")).port
    known = {name: os.environ[name] for name in _S3 if name in os.environ}
    code, _, said = _run(
        [sys.executable, "-P", SHIPPED / "training" / "download.py", uri, file, str(most)],
        Confinement(
            write=[file.parent],
            network="host",
            ports=[*confine.data_ports(), *([port] if port else [])],
        ),
        None,
        {"TOUCHSTONE_DATA_OPTIONS": json.dumps(dict(options))} if options else known,
    )
    if code or not file.is_file() or file.is_symlink():
        raise TableError((f"{one_line(uri)} cannot be fetched: {one_line(said)[:500]}", ("uri",)))


def _read(file: Path, name: str, data: Data, output: Path, patience: float | None) -> None:
    code, out, said = _run(
        [
            *(sys.executable, "-P", SHIPPED / "training" / "load_table.py"),
            *(file, name, data.model_dump_json(by_alias=True), output),
        ],
        Confinement(
            read=[file.parent],
            write=[output],
            limits=Limits(memory=min(_MEMORY, Limits().memory)),
        ),
        patience,
    )
    if problems := _told(out):
        raise TableError(*problems)
    if code:
        raise TableError(f"{one_line(name)}: reading it ended with exit code {code}: {said}")


def _run(
    words: Sequence[str | Path],
    confinement: Confinement,
    patience: float | None,
    extra: dict[str, str] | None = None,
) -> tuple[int, bytes, str]:
    """Run a program of ours, confined: its exit code, what it wrote, and its last error."""
    with (
        tempfile.TemporaryFile() as out,
        confine.started(words, confinement, extra, stdout=out, stderr=subprocess.PIPE) as process,
    ):
        try:
            _, errors = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            raise LateError from None
        out.seek(0)
        written = out.read(1 << 20)
    return process.returncode, written, raised.last_words(errors.decode(errors="replace"))


def _told(out: bytes) -> list[Problem]:
    """The problems that the reader told, as far as they have the form that they should."""
    try:
        said = json.loads(out or b"[]")
    except (ValueError, RecursionError):
        return []
    found: list[Problem] = []
    for one in said[:_MOST] if isinstance(said, list) else []:
        match one:
            case [str(words), list(at)] if all(isinstance(part, str | int) for part in at):
                path = tuple(one_line(p) if isinstance(p, str) else p for p in at)
                found.append((visible(" ".join(words.split()))[:_LONGEST], path))
    return found
