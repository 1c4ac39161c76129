"""Which store does a path or URI name? One table of schemes, and the Secret that names a store.

On a cluster the workspace of the artifacts is a volume, or a Secret whose `uri` names an object
store or registry and whose other keys are its options and credentials. A Secret is mounted
read-only, and so is told from a volume by that: whoever writes into a volume must not be able to
send others elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from touchstone.artifacts import objects, registry
from touchstone.artifacts.backend import Backend
from touchstone.artifacts.folder import Folder
from touchstone.errors import ManifestError, UsageError

URI = "uri"
"""The Secret's key that names the store."""

_LONGEST = 1 << 20


def backend(uri: str) -> Backend:
    """What keeps the bytes of the store that `uri` names; `open_store` says what that may be."""
    if uri.startswith("/"):
        folder = Path(uri)
        return _of_secret(folder) if is_secret(folder) else Folder(folder)
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Folder(Path(unquote(parts.path)))
    if parts.scheme not in _SCHEMES:
        raise UsageError(
            f"got store {uri!r}, expected {_EXPECTED}",
            hint="docs/reference/stores.md has them all",
        )
    return _opened(uri, {}, UsageError)


def is_secret(folder: Path) -> bool:
    """Whether the folder is the Secret of a store elsewhere, and no store itself."""
    return (
        (folder / URI).is_file()
        and not os.access(folder, os.W_OK)
        and not (folder / "blobs").exists()  # a volume, of which this process may only read
    )


def options_of(folder: Path) -> dict[str, str]:
    """The keys of a mounted Secret and their values, without the newline that an editor leaves.

    Raises:
        ManifestError: one cannot be read, or is no text.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("..") or not path.is_file():  # ..data, as the kubelet lays it out
            continue
        try:
            with path.open(encoding="utf-8") as stream:
                found[path.name] = stream.read(_LONGEST).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"got key {path.name} of the Secret in {folder}, which cannot be read: {error}",
                hint="docs/reference/stores.md has the keys of a store's Secret",
            ) from None
    return found


def check(scheme: str, options: Mapping[str, str], uri: str) -> None:
    """Hold the keys of the Secret for `uri` to those that its scheme has.

    Raises:
        ManifestError: there is another one, or a switch that is neither on nor off.
    """
    known = {*_SCHEMES[scheme][0], "ca.crt"}
    if unknown := sorted(set(options) - known):
        raise ManifestError(
            f"got {', '.join(unknown)} in the Secret for {uri}, expected of"
            f" {', '.join(sorted(known))}",
            hint="docs/reference/stores.md has the keys of each kind of store",
        )
    for key in {"anonymous", "virtual-hosted", "plain-http"} & set(options):
        if options[key] not in ("true", "false"):
            raise ManifestError(
                f"got {key}: {options[key]!r} in the Secret for {uri}, expected true or false"
            )


def _of_secret(folder: Path) -> Backend:
    options = options_of(folder)
    return _opened(options.pop(URI), options, ManifestError)


def _opened(
    uri: str, options: Mapping[str, str], wrong: type[UsageError] | type[ManifestError]
) -> Backend:
    try:
        parts = urlsplit(uri)
        where, host = parts.path.strip("/"), parts.netloc
    except ValueError:
        parts, where, host = urlsplit(""), "", ""
    if parts.scheme not in _SCHEMES or not host or "@" in host or parts.query or parts.fragment:
        said = uri.rpartition("@")[2].partition("?")[0]  # no credential gets into a message
        raise wrong(
            f"got store {said!r}, expected {_EXPECTED}",
            hint="credentials are keys of their own in the Secret: docs/reference/stores.md",
        )
    check(parts.scheme, options, uri)
    return _SCHEMES[parts.scheme][1](parts.scheme, host, where, options)


def _object_store(scheme: str, host: str, path: str, options: Mapping[str, str]) -> Backend:
    return objects.Objects(scheme, host, path, options)


def _registry(scheme: str, host: str, path: str, options: Mapping[str, str]) -> Backend:
    return registry.Registry(host, path, options)


_Make = Callable[[str, str, str, Mapping[str, str]], Backend]
_SCHEMES: Mapping[str, tuple[Collection[str], _Make]] = {
    **{scheme: (keys, _object_store) for scheme, keys in objects.KEYS.items()},
    "oci": (registry.KEYS, _registry),
}
"""The keys that a Secret of this kind may have, and what opens it. A new kind is one line here."""

_EXPECTED = (
    "/an/absolute/folder or its file:// URI, s3://bucket/prefix, gs://bucket/prefix,"
    " az://container/prefix or oci://registry/repository"
)
