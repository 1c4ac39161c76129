"""A store in a folder of this machine: files under their digests, safe for many writers at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from touchstone import beneath
from touchstone.beneath import NotPlainError, Readable
from touchstone.errors import PlatformError

_CHUNK = 1 << 20


class Folder:
    """Blobs as `blobs/sha256/<hex>` and references as `refs/<name>`, below one folder."""

    at_once = 1
    remote = ""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def blob(self, digest: str) -> Path:
        """Where the file of a blob is, or would be."""
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def contains(self, digest: str) -> bool:
        return self.blob(digest).exists()

    @contextmanager
    def opened(self, digest: str) -> Iterator[Readable]:
        """Raises PlatformError for what never was a blob, FileNotFoundError for what is absent."""
        path = self.blob(digest)
        try:
            with beneath.opened(path.parent, path.name) as stream:
                yield stream
        except NotPlainError as error:
            raise PlatformError(
                f"artifact {digest}: {error.problem}", hint=f"remove {path}"
            ) from None

    def put(self, digest: str, source: Readable, size: int) -> None:
        self._write(self.blob(digest), source)

    def bind(self, digest: str, parts: Iterable[str]) -> None:
        """Nothing to do: only `touchstone gc` removes, and it follows digests by itself."""

    def ref(self, name: str) -> str | None:
        try:
            return (self.root / "refs" / name).read_text()
        except FileNotFoundError:
            return None

    def set_ref(self, name: str, digest: str) -> None:
        self._write(self.root / "refs" / name, BytesIO(digest.encode()))

    def refs(self, under: str) -> Iterator[str]:
        base = self.root / "refs"
        for path in sorted((base / under).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(base).as_posix()

    def remedy(self, digest: str) -> str:
        return f"remove {self.blob(digest)}"

    def _write(self, target: Path, source: Readable) -> None:
        # A rename is atomic: a reader sees the whole blob or none, also after a kill.
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".partial-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                shutil.copyfileobj(source, stream, _CHUNK)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
