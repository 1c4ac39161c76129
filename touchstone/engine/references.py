"""Which Task or Pipeline does a taskRef or pipelineRef name?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.engine.catalog import Catalog
from touchstone.engine.load import Document, FieldPath
from touchstone.engine.record import Json


@dataclass(frozen=True, slots=True)
class Definition:
    """A Task or Pipeline that a reference names."""

    name: str
    document: Document
    source: Json | None = None
    """Tekton's refSource, where it was fetched: uri, digest, entryPoint."""

    @property
    def spec(self) -> Mapping[str, Any]:
        return dict(self.document.body["spec"])


class References:
    """Finds what references name."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def find(
        self, kind: str, reference: Mapping[str, Any], document: Document, path: FieldPath
    ) -> Definition:
        """What `reference`, which stands in the pipeline task or run at `path`, names.

        Raises ManifestError at the reference where it names nothing.
        """
        field = f"{kind.lower()}Ref"
        name = reference.get("name")
        target = self._catalog.find(kind, name) if isinstance(name, str) else None
        if target is None:
            raise document.error(
                f"got {name!r}, expected the name of a {kind}",
                (*path, field, "name"),
                hint=f"known here: {', '.join(self._catalog.names(kind)) or 'none'}",
            )
        return Definition(target.name, target)

    def needed_by(self, run: Document) -> list[Definition]:
        """Every Task and Pipeline that a run refers to, as far as it is known before it runs.

        Raises ManifestError at the reference that names nothing, and at a Pipeline that contains
        itself.
        """
        spec = run.body.get("spec", {})
        if not isinstance(spec, dict):
            return []  # validation says so
        found: dict[int, Definition] = {}
        if isinstance(spec.get("taskRef"), dict):
            self._add(self.find("Task", spec["taskRef"], run, ("spec",)), found)
        if isinstance(spec.get("pipelineRef"), dict):
            definition = self.find("Pipeline", spec["pipelineRef"], run, ("spec",))
            self._add(definition, found)
            self._follow(definition.document, ("spec",), found, (definition.name,))
        elif isinstance(spec.get("pipelineSpec"), dict):
            self._follow(run, ("spec", "pipelineSpec"), found, ())
        return list(found.values())

    def _follow(
        self,
        document: Document,
        path: FieldPath,
        found: dict[int, Definition],
        ancestors: tuple[str, ...],
    ) -> None:
        for where, task in _tasks(document, path):
            if _known(task.get("taskRef")):
                self._add(self.find("Task", task["taskRef"], document, where), found)
            if isinstance(task.get("pipelineSpec"), dict):
                self._follow(document, (*where, "pipelineSpec"), found, ancestors)
            if _known(task.get("pipelineRef")):
                inner = self.find("Pipeline", task["pipelineRef"], document, where)
                if inner.name in ancestors:
                    raise document.error(
                        f"detected cycle in pipeline-in-pipeline: pipeline {inner.name!r} is"
                        f" already running in ancestor chain [{' '.join(ancestors)}]",
                        (*where, "pipelineRef"),
                    )
                self._add(inner, found)
                self._follow(inner.document, ("spec",), found, (*ancestors, inner.name))

    @staticmethod
    def _add(definition: Definition, found: dict[int, Definition]) -> None:
        found[id(definition.document)] = definition


def _tasks(document: Document, path: FieldPath) -> Iterator[tuple[FieldPath, dict[str, Any]]]:
    body: Any = document.body
    for part in path:
        body = body.get(part, {}) if isinstance(body, dict) else body[part]
    for section in ("tasks", "finally"):
        items = body.get(section) if isinstance(body, dict) else None
        for index, task in enumerate(items if isinstance(items, list) else []):
            if isinstance(task, dict):
                yield (*path, section, index), task


def _known(reference: Any) -> bool:
    """Whether a reference can be followed before anything ran."""
    return isinstance(reference, dict) and "$(" not in str(reference)
