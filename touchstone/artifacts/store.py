"""Content-addressed store: what a stage reads and writes, named by its SHA-256 digest.

A blob is a file's bytes. A tree is a folder, stored as a JSON blob that lists every file with
its digest and executable bit, so equal folders have equal digests on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, TypeVar

from touchstone import beneath
from touchstone.artifacts import places
from touchstone.artifacts.backend import Backend, local_only
from touchstone.artifacts.folder import Folder
from touchstone.beneath import NotPlainError, Readable
from touchstone.errors import PlatformError, UsageError
from trust_gates.digests import TREE_TYPE

_CHUNK = 1 << 20
_SEARCHED = 4 << 20
_TREE_START = b'{"entries":'
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_T = TypeVar("_T")
_R = TypeVar("_R")


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
    """Files and folders by digest, in a folder or wherever else a backend keeps them.

    Safe for several processes writing at once. What is read is compared with its digest, so nobody
    who may write where the bytes are kept can put others in their place unseen.
    """

    def __init__(self, place: Path | Backend) -> None:
        self._backend: Backend = Folder(place) if isinstance(place, Path) else place

    def __str__(self) -> str:
        return str(self._backend)

    @property
    def remote(self) -> str:
        """The URI by which other machines reach it; empty of a store in a folder."""
        return self._backend.remote

    @property
    def root(self) -> Path:
        """The folder of a store that is in one.

        Raises:
            PlatformError: it is elsewhere.
        """
        if not isinstance(self._backend, Folder):
            raise local_only(self._backend, "what works on its files")
        return self._backend.root

    def put_bytes(self, data: bytes) -> str:
        """Store `data`; return its digest. Storing the same bytes twice is free."""
        digest = digest_bytes(data)
        if self._put(digest, BytesIO(data), len(data)):
            self._backend.bind(digest, ())
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
            PlatformError: a file changed while it was stored, or the place cannot take it.
        """
        try:
            if path.is_symlink() or not path.is_dir():
                digest = self._put_file(path.parent.resolve(), path.name)[0]
                self._backend.bind(digest, ())
                return digest
            names = {}
            for name, real in _files(path):
                if leave_out(name):
                    continue
                if re.search("[\ud800-\udfff]", name):  # bytes, as Python keeps them
                    raise NotPlainError(ascii(name), "a file of that name", "a name in UTF-8")
                names[name] = real
            entries: dict[str, dict[str, Any]] = {}
            stored = self._each(names.values(), lambda real: self._put_file(path, real))
            for name, (digest, executable) in zip(names, stored, strict=True):
                entries[name] = {"digest": digest, "executable": executable}
        except FileNotFoundError:
            raise UsageError(f"got {path}, expected an existing file or folder to store") from None
        except NotPlainError as error:
            raise UsageError(f"{path}: {error}", hint="only files and folders are stored") from None
        data = _canonical({"type": TREE_TYPE, "entries": entries})
        tree = digest_bytes(data)
        self._put(tree, BytesIO(data), len(data))
        self._backend.bind(tree, [entry["digest"] for entry in entries.values()])
        return tree

    def get_bytes(self, digest: str) -> bytes:
        """The blob's bytes, checked against its digest.

        Raises:
            PlatformError: the blob is absent, or its bytes do not match (tampered or torn).
        """
        with self._opened(digest) as stream:
            return _all(stream)

    def get_json(self, digest: str) -> Any:
        """The JSON document stored under `digest`."""
        return json.loads(self.get_bytes(digest))

    def get(self, digest: str, destination: Path) -> Path:
        """Write the file or tree named `digest` to `destination`, every byte verified.

        A file is moved by chunks, and is there whole or not at all.

        Raises:
            PlatformError: something of it is absent, does not match its digest or would go
                through a link.
        """
        with self._opened(digest) as stream:
            entries = None
            whole: bytes | Readable = stream
            if stream.begins(_TREE_START):
                whole = _all(stream)
                entries = _tree_entries(whole)
            if entries is None:
                destination.parent.mkdir(parents=True, exist_ok=True)
                beneath.write(destination.parent.resolve(), destination.name, whole)
                return destination
        destination.mkdir(parents=True, exist_ok=True)

        def write(name: str) -> None:
            entry = entries[name]
            mode = 0o755 if entry["executable"] else 0o644
            try:
                with self._opened(entry["digest"]) as stream:
                    beneath.write(destination, name, stream, mode=mode)
            except NotPlainError as error:
                raise PlatformError(
                    f"tree {digest} names {name!r}, which leaves its folder: {error.problem}"
                ) from None

        list(self._each(entries, write))
        return destination

    def set_ref(self, name: str, digest: str) -> None:
        """Let `name` (parts of letters, digits, `.`, `_`, `-`, joined by `/`) point to `digest`."""
        _checked(digest)  # a reference to a malformed digest helps nobody
        self._backend.set_ref(_named_well(name), digest)

    def ref(self, name: str) -> str | None:
        """The digest that `name` points to, or None."""
        return self._backend.ref(_named_well(name))

    def refs(self, under: str) -> list[str]:
        """The names of all references below `under`, in order: `records/team` finds every run's."""
        return sorted(self._backend.refs(_named_well(under)))

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
        return self._backend.contains(_checked(digest))

    @contextmanager
    def _opened(self, digest: str) -> Iterator[_Verified]:
        """The blob for reading; whoever reads to its end has read what its digest names."""
        try:
            with self._backend.opened(_checked(digest)) as stream:
                yield _Verified(stream, digest, self._tampered)
        except FileNotFoundError:
            raise PlatformError(
                f"artifact {digest} is not in {self}",
                hint="run the stage that makes it again, or point --store at its store",
            ) from None

    def _tampered(self, digest: str, got: str) -> PlatformError:
        return PlatformError(
            f"artifact {digest} has other bytes than its name says ({got})",
            hint=f"{self._backend.remedy(digest)} and run the stage that makes it again",
        )

    def _searched(self, digest: str) -> bytes:
        with self._backend.opened(digest) as stream:
            start = stream.read(_SEARCHED + 1)
            if start[:1] not in (b"{", b"[") and len(start) > _SEARCHED:
                return b""
            return start + stream.read()

    def _put_file(self, base: Path, name: str) -> tuple[str, bool]:
        """The digest of a file below `base`, and whether it can be executed."""
        with beneath.opened(base, name) as stream:
            digest = digest_stream(stream)
            stream.seek(0)
            found = os.fstat(stream.fileno())
            self._put(digest, stream, found.st_size)
            return digest, bool(found.st_mode & 0o111)

    def _put(self, digest: str, source: Readable, size: int) -> bool:
        """Whether it was stored now; a file that changes meanwhile is not stored."""
        if self._backend.contains(digest):
            return False
        self._backend.put(digest, _Verified(source, digest, _changed), size)
        return True

    def _each(self, items: Iterable[_T], work: Callable[[_T], _R]) -> Iterable[_R]:
        """What `work` makes of each, in order; as many at once as the place takes."""
        if self._backend.at_once == 1:
            return map(work, items)
        pool = ThreadPoolExecutor(self._backend.at_once)
        try:
            return list(pool.map(work, items))
        finally:
            pool.shutdown(cancel_futures=True)


class _Verified:
    """A stream whose end is reached only where all its bytes have this digest."""

    def __init__(
        self, source: Readable, digest: str, differs: Callable[[str, str], PlatformError]
    ) -> None:
        self._source = source
        self._digest = digest
        self._differs = differs
        self._hash = hashlib.sha256()
        self._start = b""

    def begins(self, start: bytes) -> bool:
        """Whether these are the first bytes; asked before anything is read."""
        self._start = self._source.read(len(start))
        return self._start == start

    def read(self, size: int = -1, /) -> bytes:
        """Raises what `differs` makes of the digests, in place of an end that is none."""
        data, self._start = self._start, b""
        data = data + self._source.read(size) if size < 0 or not data else data
        self._hash.update(data)
        if size < 0 or (size > 0 and not data):
            got = "sha256:" + self._hash.hexdigest()
            if got != self._digest:
                raise self._differs(self._digest, got)
        return data


def open_store(uri: str) -> Store:
    """The store that `uri` names: a folder, its `file://` URI, `s3://bucket/prefix` and others.

    A folder that this process may not write to and that holds a file `uri` is a Secret that names
    another store (`touchstone.artifacts.places`).

    Raises:
        UsageError: the scheme is another one.
        ManifestError: the Secret is not as documented.
        PlatformError: the store cannot be opened.
    """
    return Store(places.backend(uri))


def _all(stream: Readable) -> bytes:
    return b"".join(iter(lambda: stream.read(_CHUNK), b""))


def _changed(digest: str, got: str) -> PlatformError:
    return PlatformError(
        f"got {got}, expected {digest}: a file changed while it was stored",
        hint="store it when nothing writes to it any more",
    )


def _checked(digest: str) -> str:
    if not re.fullmatch(_DIGEST.pattern.decode(), digest):
        raise UsageError(
            f"got digest {digest!r}, expected sha256:<64 hex digits>",
            hint="pass the digest that an earlier stage gave as its result",
        )
    return digest


def _named_well(name: str) -> str:
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", name, re.ASCII):
        raise UsageError(f"got reference {name!r}, expected parts such as runs/model-1/verdict")
    return name


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
    try:
        document = json.loads(data)
    except ValueError:
        return None
    if document.get("type") != TREE_TYPE:
        return None
    entries: dict[str, dict[str, Any]] = document["entries"]
    return entries
