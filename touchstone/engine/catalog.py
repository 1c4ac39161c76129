"""Which Tasks and Pipelines can be referred to by name?"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from touchstone.engine.load import Document, FieldPath, load_files
from touchstone.engine.objects import Objects, collect, is_object

_API = "tekton.dev/"


class Catalog:
    """The Tasks, Pipelines and objects under some folders; read again when a file changed."""

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

    def objects(self) -> Objects:
        """The ConfigMaps, Secrets and ServiceAccounts among the files. Raises ManifestError."""
        with self._lock:
            self._refresh()
            return collect(self._documents.values())

    def step_action(self, name: str) -> Mapping[str, Any] | None:
        """The spec of the StepAction of that name; None where there is none."""
        found = self.find("StepAction", name)
        return found.body.get("spec") if found else None

    def needed_by(self, run: Document) -> dict[tuple[str, str], Document]:
        """Everything a PipelineRun or TaskRun refers to, by kind and name.

        Raises ManifestError at the reference that names nothing.
        """
        spec = run.body.get("spec", {})
        if not isinstance(spec, dict):
            return {}  # validation says so
        found: dict[tuple[str, str], Document] = {}
        if "taskRef" in spec:
            self._follow(run, "Task", ("spec", "taskRef"), found)
        pipeline, path = run, ("spec", "pipelineSpec")
        if "pipelineRef" in spec:
            pipeline = self._follow(run, "Pipeline", ("spec", "pipelineRef"), found)
            path = ("spec",)  # type: ignore[assignment]
        body = _at(pipeline.body, path)
        for section in ("tasks", "finally"):
            for index, task in enumerate(_list(body.get(section))):
                if isinstance(task, dict) and "taskRef" in task:
                    self._follow(pipeline, "Task", (*path, section, index, "taskRef"), found)
        return found

    def _follow(
        self,
        document: Document,
        kind: str,
        path: FieldPath,
        found: dict[tuple[str, str], Document],
    ) -> Document:
        reference = _at(document.body, path)
        name = reference.get("name") if isinstance(reference, dict) else None
        target = self.find(kind, name) if isinstance(name, str) else None
        if target is None and "resolver" not in reference:
            known = sorted(key[1] for key in self._documents if key[0] == kind)
            raise document.error(
                f"got {name!r}, expected the name of a {kind}",
                (*path, "name"),
                hint=f"known here: {', '.join(known) or 'none'}",
            )
        if target is None:
            return document  # validation refuses resolvers with their reason
        found[kind, target.name] = target
        return target

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


def _at(body: Any, path: FieldPath) -> Any:
    for part in path:
        body = body.get(part, {}) if isinstance(body, dict) else body[part]
    return body


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
