"""Which Tasks, Pipelines and StepActions can be referred to by name?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from touchstone.documents.yaml import Document
from touchstone.engine.text.load import load_files
from touchstone.engine.text.objects import Objects, collect, is_object

_API = "tekton.dev/"


class Catalog:
    """The Tasks, Pipelines, StepActions and objects in some folders; read again on a change."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._lock = threading.Lock()
        self._signature: Any = None
        self._documents: dict[tuple[str, str], Document] = {}

    def find(self, kind: str, name: str) -> Document | None:
        """The document, or None where nothing of that kind has that name."""
        with self._lock:
            self._refresh()
            return self._documents.get((kind, name))

    def names(self, kind: str) -> list[str]:
        """The names of everything of that kind, sorted."""
        with self._lock:
            self._refresh()
            return sorted(name for found, name in self._documents if found == kind)

    def objects(self) -> Objects:
        """The ConfigMaps, Secrets and ServiceAccounts among the files. Raises ManifestError."""
        with self._lock:
            self._refresh()
            return collect(self._documents.values())

    def _refresh(self) -> None:
        signature = [
            (str(file), stat.st_mtime_ns, stat.st_size)
            for path in self._paths
            for file in (sorted(path.rglob("*.y*ml")) if path.is_dir() else [path])
            for stat in [file.stat()]
        ]
        if signature == self._signature:
            return
        self._documents = {
            (document.kind, document.name): document
            for document in load_files(self._paths)
            if (
                document.kind in {"Task", "Pipeline", "StepAction"}
                and str(document.body.get("apiVersion", "")).startswith(_API)
            )
            or is_object(document)
        }
        self._signature = signature
