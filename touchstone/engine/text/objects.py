"""Which Kubernetes objects come beside the Tekton YAML, and what do they hold?

They are kept in memory; a Secret's value reaches a file only where a step mounts it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.documents.yaml import Document

KINDS = ("ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount")

Contents = Mapping[str, bytes]
"""The keys of a ConfigMap or Secret with their values."""


@dataclass(frozen=True)
class Secret:
    """A Secret with what Tekton reads of it."""

    contents: Contents
    type: str = "Opaque"
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Objects:
    """The objects known to a run, by name."""

    configmaps: Mapping[str, Contents] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    accounts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The Secrets that each ServiceAccount names."""

    def find(self, kind: str, name: str) -> Contents | None:
        """What the object of that name among `secrets` or `configmaps` holds; None without one."""
        if kind == "secrets":
            return self.secrets[name].contents if name in self.secrets else None
        return self.configmaps.get(name)


def is_object(document: Document) -> bool:
    """Whether the document is one of the objects a run can use."""
    return document.body.get("apiVersion") == "v1" and document.kind in KINDS


def is_foreign(document: Document) -> bool:
    """Whether the document is neither Tekton's nor such an object: a Role, a Service …"""
    version = str(document.body.get("apiVersion", ""))
    return bool(version and document.kind) and not (
        version.startswith("tekton.dev/") or document.kind in KINDS
    )


def collect(documents: Iterable[Document]) -> Objects:
    """The objects among these documents. Raises ManifestError for data that is not base64."""
    configmaps: dict[str, Contents] = {}
    secrets: dict[str, Secret] = {}
    accounts: dict[str, tuple[str, ...]] = {}
    for document in documents:
        if not is_object(document):
            continue
        if document.kind == "ConfigMap":
            plain, binary = _table(document, "data"), _decoded(document, "binaryData")
            configmaps[document.name] = _bytes(plain) | binary
        elif document.kind == "Secret":
            # As in Kubernetes, stringData wins over data.
            contents = _decoded(document, "data") | _bytes(_table(document, "stringData"))
            annotations = document.body.get("metadata", {}).get("annotations", {})
            kind = str(document.body.get("type", "Opaque"))
            secrets[document.name] = Secret(contents, kind, annotations)
        elif document.kind == "ServiceAccount":
            named = document.body.get("secrets", [])
            accounts[document.name] = tuple(item["name"] for item in named if "name" in item)
    return Objects(configmaps, secrets, accounts)


def _table(document: Document, part: str) -> Mapping[str, Any]:
    value = document.body.get(part) or {}
    if not isinstance(value, Mapping):
        raise document.error("got something else, expected keys with values", (part,))
    for key, text in value.items():
        if not isinstance(text, str):
            raise document.error(
                f"got {text!r}, expected a string", (part, key), hint="put it in quotes"
            )
    return value


def _bytes(table: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode() for key, text in table.items()}


def _decoded(document: Document, part: str) -> dict[str, bytes]:
    found = {}
    for key, text in _table(document, part).items():
        try:
            found[key] = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise document.error(
                "got a value that is not base64", (part, key), hint="plain text goes to stringData"
            ) from None
    return found
