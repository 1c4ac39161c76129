"""Content-addressed store: what a stage reads and writes, named by its SHA-256 digest.

A blob is a file's bytes. A tree is a folder, stored as a JSON blob that lists every file with
its digest and executable bit, so equal folders have equal digests on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.errors import PlatformError, UsageError
from trust_gates.digests import TREE_TYPE

_CHUNK = 1 << 20
_SEARCHED = 4 << 20
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


def digest_bytes(data: bytes) -> str:
    """`sha256:<64 hex digits>` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """`sha256:<64 hex digits>` of the file's bytes, read in chunks."""
    with path.open("rb") as stream:
        return digest_stream(stream)


def digest_stream(stream: BufferedReader) -> str:
    """`sha256:<64 hex digits>` of what is left to read of an open file."""
    return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


class Store:
    """A store in a local folder, safe for several processes writing at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _blob(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise UsageError(
                f"got digest {digest!r}, expected sha256:<64 hex digits>",
                hint="pass the digest that an earlier stage gave as its result",
            )
        return self.root / "blobs" / "sha256" / value

    def put_bytes(self, data: bytes) -> str:
        """Store `data`; return its digest. Storing the same bytes twice is free."""
        digest = digest_bytes(data)
        target = self._blob(digest)
        if not target.exists():
            self._write(target, data)
        return digest

    def put_json(self, document: Any) -> str:
        """Store a JSON document in canonical form (sorted keys); NaN is refused."""
        return self.put_bytes(_canonical(document))

    def put(self, path: Path, *, leave_out: Callable[[str], bool] = lambda name: False) -> str:
        """Store a file, or a folder as a tree; return the digest.

        A link to a file of the same folder is stored as that file. Files of the folder whose names
        `leave_out` holds for are not stored.

        Raises:
            UsageError: `path` is absent or a symbolic link, or a folder holds a link that leads
                elsewhere, something else than files and folders, or a name that is no UTF-8.
        """
        try:
            if path.is_symlink() or not path.is_dir():
                return self._put_file(path.parent.resolve(), path.name)[0]
            entries = {}
            for name, real in _files(path):
                if leave_out(name):
                    continue
                if re.search("[\ud800-\udfff]", name):  # bytes, as Python keeps them
                    raise NotPlainError(ascii(name), "a file of that name", "a name in UTF-8")
                digest, executable = self._put_file(path, real)
                entries[name] = {"digest": digest, "executable": executable}
        except FileNotFoundError:
            raise UsageError(f"got {path}, expected an existing file or folder to store") from None
        except NotPlainError as error:
            raise UsageError(f"{path}: {error}", hint="only files and folders are stored") from None
        return self.put_json({"type": TREE_TYPE, "entries": entries})

    def get_bytes(self, digest: str) -> bytes:
        """The blob's bytes, checked against its digest.

        Raises:
            PlatformError: the blob is absent, or its bytes do not match (tampered or torn).
        """
        path = self._blob(digest)
        try:
            with self._opened(digest) as stream:
                data = stream.read()
        except FileNotFoundError:
            raise PlatformError(
                f"artifact {digest} is not in {self.root}",
                hint="run the stage that makes it again, or point --store at its store",
            ) from None
        if digest_bytes(data) != digest:
            raise PlatformError(
                f"artifact {digest} has other bytes than its name says ({digest_bytes(data)})",
                hint=f"remove {path} and run the stage that makes it again",
            )
        return data

    def get_json(self, digest: str) -> Any:
        """The JSON document stored under `digest`."""
        return json.loads(self.get_bytes(digest))

    def get(self, digest: str, destination: Path) -> Path:
        """Write the file or tree named `digest` to `destination`, every byte verified.

        Raises:
            PlatformError: something of it is absent, does not match its digest or would go
                through a link.
        """
        data = self.get_bytes(digest)
        entries = _tree_entries(data)
        if entries is None:
            destination.parent.mkdir(parents=True, exist_ok=True)
            beneath.write(destination.parent.resolve(), destination.name, data)
            return destination
        destination.mkdir(parents=True, exist_ok=True)
        for name, entry in entries.items():
            mode = 0o755 if entry["executable"] else 0o644
            try:
                beneath.write(destination, name, self.get_bytes(entry["digest"]), mode=mode)
            except NotPlainError as error:
                raise PlatformError(
                    f"tree {digest} names {name!r}, which leaves its folder: {error.problem}"
                ) from None
        return destination

    def set_ref(self, name: str, digest: str) -> None:
        """Let `name` (parts of letters, digits, `.`, `_`, `-`, joined by `/`) point to `digest`."""
        self._blob(digest)  # a reference to a malformed digest helps nobody
        self._write(self._ref(name), digest.encode())

    def ref(self, name: str) -> str | None:
        """The digest that `name` points to, or None."""
        try:
            return self._ref(name).read_text()
        except FileNotFoundError:
            return None

    def _ref(self, name: str) -> Path:
        if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", name, re.ASCII):
            raise UsageError(f"got reference {name!r}, expected parts such as runs/model-1/verdict")
        return self.root / "refs" / name

    def reach(self, texts: Iterable[bytes]) -> set[str]:
        """Digests of all blobs here that the digests named in `texts` lead to, through any depth.

        A blob leads to whatever digest stands in it; one above 4 MiB that is no JSON is taken for
        data and not searched.
        """
        reached: set[str] = set()
        waiting = {digest for text in texts for digest in _named(text)}
        while waiting:
            digest = waiting.pop()
            if digest in reached or digest not in self:
                continue
            reached.add(digest)
            waiting |= _named(self._searched(digest)) - reached
        return reached

    def __contains__(self, digest: str) -> bool:
        return self._blob(digest).exists()

    @contextmanager
    def _opened(self, digest: str) -> Iterator[BufferedReader]:
        """The blob for reading. Raises PlatformError for what never was one."""
        path = self._blob(digest)
        try:
            with beneath.opened(path.parent, path.name) as stream:
                yield stream
        except NotPlainError as error:
            raise PlatformError(
                f"artifact {digest}: {error.problem}", hint=f"remove {path}"
            ) from None

    def _searched(self, digest: str) -> bytes:
        with self._opened(digest) as stream:
            start = stream.read(1)
            if start not in (b"{", b"[") and os.fstat(stream.fileno()).st_size > _SEARCHED:
                return b""
            return start + stream.read()

    def _put_file(self, base: Path, name: str) -> tuple[str, bool]:
        """The digest of a file below `base`, and whether it can be executed."""
        with beneath.opened(base, name) as stream:
            digest = digest_stream(stream)
            target = self._blob(digest)
            if not target.exists():
                stream.seek(0)
                self._write(target, stream)
            return digest, bool(os.fstat(stream.fileno()).st_mode & 0o111)

    def _write(self, target: Path, source: bytes | BinaryIO) -> None:
        # A rename is atomic: a reader sees the whole blob or none, also after a kill.
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".partial-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                if isinstance(source, bytes):
                    stream.write(source)
                else:
                    shutil.copyfileobj(source, stream, _CHUNK)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def open_store(uri: str) -> Store:
    """The store that `uri` names: `file:///folder`, or the folder itself, as a workspace's path.

    Raises:
        UsageError: the scheme is another one.
    """
    if uri.startswith("/"):
        return Store(Path(uri))
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise UsageError(
            f"got store {uri!r}, expected /an/absolute/folder or its file:// URI",
            hint="on a cluster mount a PersistentVolumeClaim and name its path",
        )
    return Store(Path(unquote(parts.path)))


def _named(text: bytes) -> set[str]:
    return {match.decode() for match in _DIGEST.findall(text)}


def _canonical(document: Any) -> bytes:
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """The name of each file and link, and of the file that it is or leads to."""
    base = folder.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            real = path.resolve()
            if not real.is_relative_to(base):
                raise UsageError(
                    f"{path} is a symbolic link that leaves {folder}",
                    hint="replace it by the file it points to",
                )
            yield name, real.relative_to(base).as_posix()
        elif not path.is_dir():
            yield name, name


def _tree_entries(data: bytes) -> dict[str, dict[str, Any]] | None:
    if not data.startswith(b'{"entries":'):
        return None
    try:
        document = json.loads(data)
    except ValueError:
        return None
    if document.get("type") != TREE_TYPE:
        return None
    entries: dict[str, dict[str, Any]] = document["entries"]
    return entries
