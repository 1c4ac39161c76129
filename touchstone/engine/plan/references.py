"""Which Task or Pipeline does a taskRef or pipelineRef name?"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.documents.yaml import Document, FieldPath
from touchstone.engine.language.substitute import Key, Scope, Value, scope_of
from touchstone.engine.language.values import as_value
from touchstone.engine.rules import validate
from touchstone.engine.text.catalog import Catalog
from touchstone.engine.text.load import load_text
from touchstone.engine.text.remote import ResolutionError, fetch
from touchstone.runs.record import Json

_FIELDS = {"Task": "taskRef", "Pipeline": "pipelineRef", "StepAction": "ref"}
"""Where a reference to each kind stands."""


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
    """Finds what references name.

    What a remote reference gave is kept in the folder `keep`, so that a run which goes on after a
    kill goes on with the same text.
    """

    def __init__(self, catalog: Catalog, keep: Path | None = None) -> None:
        self._catalog, self._keep = catalog, keep
        self._fetched: dict[str, Definition] = {}

    def find(
        self, kind: str, reference: Mapping[str, Any], document: Document, path: FieldPath
    ) -> Definition:
        """What `reference`, which stands in the pipeline task or run at `path`, names.

        `kind` is Task, Pipeline or StepAction. Raises ManifestError at the reference where it names
        nothing.
        """
        field = _FIELDS[kind]
        name = reference.get("name")
        if "resolver" in reference:
            params = {item["name"]: str(item["value"]) for item in reference.get("params", [])}
            try:
                if reference["resolver"] != "cluster":
                    return self._fetch(kind, str(reference["resolver"]), params)
            except ResolutionError as error:
                raise document.error(str(error), (*path, field, "resolver")) from None
            name = self._in_cluster(kind, params)
        target = self._catalog.find(kind, name) if isinstance(name, str) else None
        if target is None:
            raise document.error(
                f"got {name!r}, expected the name of a {kind}",
                (*path, field, "name"),
                hint=f"known here: {', '.join(self._catalog.names(kind)) or 'none'}",
            )
        return Definition(target.name, target)

    def _in_cluster(self, kind: str, params: Mapping[str, str]) -> str:
        """The name a `cluster` reference gives; the local files are the cluster here."""
        return params.get("name", "") if params.get("kind", kind).lower() == kind.lower() else ""

    def _fetch(self, kind: str, resolver: str, params: Mapping[str, str]) -> Definition:
        key = json.dumps([kind, resolver, params], sort_keys=True)
        found = self._fetched.get(key) or self._kept(kind, key)
        if found is None:
            fetched = fetch(resolver, params)
            found = _definition(kind, fetched.text, fetched.source)
            if self._keep is not None:
                file = self._file(key)
                file.parent.mkdir(parents=True, exist_ok=True)
                partial = file.with_suffix(f".{threading.get_ident()}")
                partial.write_text(json.dumps({"text": fetched.text, "source": fetched.source}))
                partial.replace(file)
        self._fetched[key] = found
        return found

    def _kept(self, kind: str, key: str) -> Definition | None:
        if self._keep is None or not self._file(key).exists():
            return None
        kept = json.loads(self._file(key).read_text())
        return _definition(kind, kept["text"], kept["source"])

    def _file(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return (self._keep or Path()) / f"{name}.json"

    def pipeline_of(self, run: Document) -> Definition:
        """The Pipeline that a PipelineRun refers to. Raises as `find` does."""
        spec = run.body["spec"]
        given = {item["name"]: as_value(item["value"]) for item in spec.get("params", [])}
        contexts: dict[Key, Value] = {
            ("context", "pipelineRun", "name"): run.name,
            ("context", "pipelineRun", "namespace"): "default",
        }
        scope = scope_of(("params",), given).then(Scope(contexts))
        return self.find("Pipeline", replaced_reference(spec["pipelineRef"], scope), run, ("spec",))

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
            definition = self.pipeline_of(run)
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


def replaced_reference(reference: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """A reference to a Task, Pipeline or StepAction with those of `scope` replaced in it."""
    replaced = dict(reference)
    if isinstance(name := reference.get("name"), str):
        replaced["name"] = scope.text(name)
    if "params" in reference:
        replaced["params"] = [
            {**item, "value": scope.apply(item["value"])} for item in reference["params"]
        ]
    return replaced


def _tasks(document: Document, path: FieldPath) -> Iterator[tuple[FieldPath, dict[str, Any]]]:
    body: Any = document.body
    for part in path:
        body = body.get(part, {}) if isinstance(body, dict) else body[part]
    for section in ("tasks", "finally"):
        items = body.get(section) if isinstance(body, dict) else None
        for index, task in enumerate(items if isinstance(items, list) else []):
            if isinstance(task, dict):
                yield (*path, section, index), task


def _definition(kind: str, text: str, source: Json) -> Definition:
    """The one object of `kind` in a fetched text, held to the same rules as a local one."""
    place = "/".join(str(source[part]) for part in ("uri", "entryPoint") if part in source)
    documents = [item for item in load_text(text, place) if item.kind == kind]
    if len(documents) != 1:
        raise ResolutionError(f"{place}: got {len(documents)} {kind}s, expected one")
    validate(documents)
    return Definition(documents[0].name, documents[0], source)


def _known(reference: Any) -> bool:
    """Whether a reference can be followed before anything ran."""
    return isinstance(reference, dict) and "$(" not in str(reference)


def not_found(kind: str, reference: Mapping[str, Any]) -> str:
    """What the API server says of an object that is not there; empty where a resolver is asked."""
    name = reference.get("name")
    return "" if "resolver" in reference else f'{kind.lower()}s.tekton.dev "{name}" not found'
