"""What may things be called, do names differ, and what is a name of elsewhere called here?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from touchstone.documents.problems import By, Field

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS-1123 label."""

MODEL = r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?"
"""A model's or its repository's name: it begins the names of runs, which are labels."""

LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IMAGE = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_LONGEST = 63
_LONGEST_IMAGE = 100
_LONGEST_RUN = 42
"""As long as a model's name: the suffix that makes it unique, and a stage's name, follow."""
SHORTEST = 7
"""Digits that a shortened commit, version or digest has at least, as git shows them."""
_SUFFIX = "xxxxx"
"""As long as what the API server appends to a generateName."""


def check_metadata(document: Field) -> None:
    """An object's name is a DNS-1123 subdomain of at most 63 characters (apis/validate)."""
    metadata = document.at("metadata")
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if not name and not (prefix and document.get("kind", "").endswith("Run")):
        metadata.refuse("got no name, expected one", by="embedded" if prefix else "tekton")
    full = name or prefix[: _LONGEST - len(_SUFFIX)] + _SUFFIX
    if not is_name(full):
        metadata.refuse(
            f"got {name or prefix!r}, expected lower case letters, digits, - and ., at most"
            f" {_LONGEST}",
            "name" if name else "generateName",
        )
    for part in ("labels", "annotations"):
        for key, value in (metadata.get(part) or {}).items():
            if not is_qualified(key if part == "labels" else key.lower()):
                metadata.refuse(
                    f"got the key {key!r}, expected letters, digits, -, _ and ., at most 63, after"
                    " a DNS name and / or without",
                    part,
                    key,
                )
            if part == "labels" and not LABEL_VALUE.fullmatch(value):
                metadata.refuse(
                    f"got {value!r}, expected the value of a label: letters, digits, -, _ and .,"
                    " at most 63",
                    part,
                    key,
                )


def is_qualified(key: str) -> bool:
    """Whether a label, annotation or referred-to object may be called so (IsQualifiedName)."""
    prefix, slash, name = key.rpartition("/")
    fits = len(prefix) <= 253 and bool(_SUBDOMAIN.fullmatch(prefix))
    return bool(_QUALIFIED.fullmatch(name)) and (fits or not slash)


def is_name(text: str) -> bool:
    """Whether an object may be called so; such a name is also one folder's, whoever chose it."""
    return len(text) <= _LONGEST and bool(_SUBDOMAIN.fullmatch(text))


def shortens(given: str, full: str) -> bool:
    """Whether the digits that a person typed begin the full ones, which may be shortened too."""
    digits = re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", given) is not None
    return digits and bool(full) and (full.startswith(given) or given.startswith(full))


def image_name(text: str) -> str:
    """A name of elsewhere as the last part of an image's name, the same for the same text.

    Lower case letters and digits with single separators between, as distribution/reference has it.
    Where letters are lost, a digest keeps two names apart.
    """
    lower = text.lower()
    if _IMAGE.fullmatch(lower) and len(lower) <= _LONGEST_IMAGE:
        return lower
    legal = re.sub(r"[^a-z0-9]+", "-", lower)[:_LONGEST_IMAGE].strip("-")
    if legal and text.isascii() and len(text) <= _LONGEST_IMAGE:
        return legal
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{legal or 'model'}-{digest}"


def run_name(text: str) -> str:
    """A name of elsewhere as the beginning of a run's name, which is a label's value too."""
    return re.sub(r"[^a-z0-9]+", "-", image_name(text))[:_LONGEST_RUN].strip("-")


def check_label(field: Field) -> None:
    """The `name` of a step or pipeline task is a DNS-1123 label."""
    name = field.get("name", "")
    if not LABEL.fullmatch(name):
        field.refuse(
            f"got {name!r}, expected a DNS label: lower case letters, digits and -, at most 63",
            "name",
        )


def check_unique(
    items: Iterable[Field], *, fold: bool = False, seen: set[str] | None = None, by: By = "tekton"
) -> None:
    """The names of these objects differ, also from those `seen` before.

    With `fold` they differ in more than upper and lower case.
    """
    seen = set() if seen is None else seen
    for item in items:
        name = str(item.get("name", ""))
        key = name.lower() if fold else name
        if key and key in seen:
            item.refuse(f"got {name!r} twice, expected names to differ", "name", by=by)
        seen.add(key)


def check_one_of(field: Field, *wanted: str) -> None:
    """Exactly one of these fields is there."""
    found = [name for name in wanted if name in (field.value or {})]
    if len(found) != 1:
        field.refuse(
            f"got {' and '.join(found) or 'none'} of {', '.join(wanted)}, expected exactly one",
            *found[1:2],
        )
