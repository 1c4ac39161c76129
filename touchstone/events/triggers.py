"""EventListeners with everything they refer to, checked as a whole before anything listens.

A listener's triggers are those it selects by label and namespace, then its own, then those of its
groups behind the group's interceptors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.documents.problems import Problem
from touchstone.documents.yaml import Document, FieldPath
from touchstone.errors import ManifestError
from touchstone.events import templates
from touchstone.events.interceptors.interceptor import Interceptor
from touchstone.events.interceptors.registry import build, build_webhook
from touchstone.events.kinds import (
    BindingRef,
    ListenerTrigger,
    Selector,
    TemplateRef,
    TemplateSpec,
    TriggerInterceptor,
    TriggerSpec,
)
from touchstone.events.rules import VALIDATION
from touchstone.events.trigger_catalog import Catalog, Object, load, read

_OLD_ESCAPE = "triggers.tekton.dev/old-escape-quotes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One interceptor of a chain and what it is called."""

    name: str
    interceptor: Interceptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger with everything it refers to."""

    name: str
    namespace: str
    group: str
    """Of which trigger group; empty for none."""
    links: tuple[Link, ...]
    bindings: dict[str, str]
    """Param name to its value, expressions not yet resolved."""
    defaults: dict[str, str]
    """The template's defaults."""
    resources: tuple[dict[str, Any], ...]
    old_escape: bool
    """Whether quotes within values are escaped, as the template's annotation asks."""

    @property
    def secrets_used(self) -> frozenset[tuple[str, str]]:
        """Secrets that prove who sent the event; empty where anyone may send it."""
        return frozenset(s for link in self.links for s in link.interceptor.secrets_used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """An EventListener: its name and its triggers."""

    name: str
    namespace: str
    triggers: tuple[Trigger, ...]
    forms: bool
    """Whether bodies that are no JSON are taken (annotation tekton.dev/payload-validation)."""


def load_triggers(paths: Sequence[Path]) -> Triggers:
    """The one EventListener of the files. Raises ManifestError as `load_listeners`."""
    found = load_listeners(paths)
    if len(found) != 1:
        raise ManifestError(
            f"got {len(found)} EventListeners, expected exactly one",
            location=", ".join(str(path) for path in paths),
        )
    return found[0]


def load_listeners(paths: Sequence[Path]) -> tuple[Triggers, ...]:
    """Every EventListener of the files, in their order.

    Documents of other API groups, a kustomization or roles, are left to the cluster.

    Raises:
        ManifestError: a document is wrong, or something referred to is absent. The message begins
            with file:line:column.
    """
    catalog = load(paths)
    return tuple(_listener(catalog, item) for item in catalog.all("EventListener"))


def find(documents: Sequence[Document]) -> list[Problem]:
    """What is wrong with these objects: all of each; else the first of each EventListener."""
    objects, problems = [], []
    for document in documents:
        item, found = read(document)
        problems += found
        objects += [item] if item else []
    if problems:
        return problems
    try:
        catalog = Catalog(objects)
    except ManifestError as error:
        return [Problem.of(error, "embedded")]
    for item in catalog.all("EventListener"):
        try:
            _listener(catalog, item)
        except ManifestError as error:
            problems.append(Problem.of(error, "embedded"))
    return problems


def _listener(catalog: Catalog, listener: Object) -> Triggers:
    spec, document = listener.spec, listener.document
    builder = _Builder(catalog, listener)
    selector = Selector.model_construct(
        namespace_selector=spec.namespace_selector, label_selector=spec.label_selector
    )
    triggers = [builder.of_object(item) for item in builder.selected(selector)]
    for index, entry in enumerate(spec.triggers):
        triggers.append(builder.of_entry(entry, ("spec", "triggers", index)))
    for index, group in enumerate(spec.trigger_groups):
        here: FieldPath = ("spec", "triggerGroups", index)
        links = builder.links(group.interceptors, document, here, listener.namespace)
        for item in builder.selected(group.trigger_selector):
            triggers.append(builder.of_object(item, group=group.name, before=links))
    return Triggers(
        name=listener.name,
        namespace=listener.namespace,
        triggers=tuple(triggers),
        forms=listener.annotations.get(VALIDATION) == "false",
    )


class _Builder:
    """Puts triggers together from the objects that they refer to."""

    def __init__(self, catalog: Catalog, listener: Object) -> None:
        self._catalog = catalog
        self._listener = listener

    def selected(self, selector: Selector) -> list[Object]:
        """The Trigger objects that it selects; none where it selects by nothing."""
        names = selector.namespace_selector.match_names
        labels = selector.label_selector
        if not names and labels is None:
            return []
        wanted = names or [self._listener.namespace]
        return [
            item
            for item in self._catalog.all("Trigger")
            if (wanted == ["*"] or item.namespace in wanted)
            and (labels is None or labels.matches(dict(item.labels)))
        ]

    def of_object(self, item: Object, *, group: str = "", before: tuple[Link, ...] = ()) -> Trigger:
        """A Trigger object, behind the interceptors of its group."""
        return self._trigger(
            item.spec,
            name=item.name,
            document=item.document,
            here=("spec",),
            namespace=item.namespace,
            group=group,
            before=before,
        )

    def of_entry(self, entry: ListenerTrigger, here: FieldPath) -> Trigger:
        """An entry of the listener's own triggers."""
        document = self._listener.document
        if entry.trigger_ref:
            found = self._catalog.get("Trigger", entry.trigger_ref, self._listener.namespace)
            if found is None:
                raise ManifestError(
                    f"got no Trigger {entry.trigger_ref!r}, expected it in the same files",
                    location=document.location((*here, "triggerRef")),
                )
            return self.of_object(found)
        spec = TriggerSpec.model_construct(
            bindings=entry.bindings or [],
            template=entry.template,
            interceptors=entry.interceptors or [],
        )
        return self._trigger(
            spec,
            name=entry.name,
            document=document,
            here=here,
            namespace=self._listener.namespace,
        )

    def links(
        self,
        interceptors: Sequence[TriggerInterceptor],
        document: Document,
        here: FieldPath,
        namespace: str,
    ) -> tuple[Link, ...]:
        """A chain of interceptors."""
        links = []
        for number, item in enumerate(interceptors):
            location = document.location((*here, "interceptors", number))
            try:
                built = self._interceptor(item, namespace)
            except ValueError as error:
                raise ManifestError(str(error), location=location) from None
            links.append(Link(name=item.name or item.ref.name or "webhook", interceptor=built))
        return tuple(links)

    def _interceptor(self, item: TriggerInterceptor, namespace: str) -> Interceptor:
        if item.webhook is not None:
            return build_webhook(item.webhook, namespace=namespace)
        params = {param.name: param.value for param in item.params}
        if item.ref.kind == "NamespacedInterceptor":
            found = self._catalog.get("Interceptor", item.ref.name, self._listener.namespace)
            if found is None:
                raise ValueError(f"got no Interceptor {item.ref.name!r}, expected it in the files")
        else:
            found = self._catalog.get("ClusterInterceptor", item.ref.name)
        config = found.spec.client_config if found else None
        return build(item.ref.name, params, config=config, namespace=namespace)

    def _trigger(
        self,
        spec: TriggerSpec,
        *,
        name: str,
        document: Document,
        here: FieldPath,
        namespace: str,
        group: str = "",
        before: tuple[Link, ...] = (),
    ) -> Trigger:
        template, old_escape, origin, place = self._template(
            spec.template, document, here, namespace
        )
        values = self._values(spec.bindings, document, here, namespace)
        defaults = {item.name: item.default for item in template.params if item.default is not None}
        _check_template(template, origin, place, set(values) | set(defaults))
        return Trigger(
            name=name,
            namespace=namespace,
            group=group,
            links=(*before, *self.links(spec.interceptors, document, here, namespace)),
            bindings=values,
            defaults=defaults,
            resources=tuple(template.resourcetemplates),
            old_escape=old_escape,
        )

    def _template(
        self, wanted: TemplateRef, document: Document, here: FieldPath, namespace: str
    ) -> tuple[TemplateSpec, bool, Document, FieldPath]:
        if wanted.spec is not None:
            return wanted.spec, False, document, (*here, "template", "spec")
        found = self._catalog.get("TriggerTemplate", wanted.ref or "", namespace)
        if found is None:
            raise ManifestError(
                f"got no TriggerTemplate {wanted.ref!r}, expected it in the same files",
                location=document.location((*here, "template", "ref")),
            )
        return found.spec, _OLD_ESCAPE in found.annotations, found.document, ("spec",)

    def _values(
        self, wanted: Sequence[BindingRef], document: Document, here: FieldPath, namespace: str
    ) -> dict[str, str]:
        values: dict[str, str] = {}
        for number, binding in enumerate(wanted):
            location = document.location((*here, "bindings", number))
            for name, value, place in self._pairs(binding, location, namespace):
                if name in values:
                    raise ManifestError(
                        f"got the param {name!r} twice, expected once", location=place
                    )
                values[name] = value
        return values

    def _pairs(
        self, binding: BindingRef, location: str, namespace: str
    ) -> list[tuple[str, str, str]]:
        if binding.name:
            return [(binding.name, binding.value or "", location)]
        found = self._catalog.get(binding.kind, binding.ref, namespace)
        if found is None:
            raise ManifestError(
                f"got no {binding.kind} {binding.ref!r}, expected it in the same files",
                location=location,
            )
        return [
            (param.name, param.value, found.document.location(("spec", "params", position)))
            for position, param in enumerate(found.spec.params)
        ]


def _check_template(
    template: TemplateSpec, document: Document, here: FieldPath, given: set[str]
) -> None:
    for index, resource in enumerate(template.resourcetemplates):
        location = document.location((*here, "resourcetemplates", index))
        metadata = resource.get("metadata")
        if not isinstance(metadata, dict) or not ({"name", "generateName"} & set(metadata)):
            raise ManifestError(
                "got no name, expected metadata.generateName or metadata.name", location=location
            )
        if missing := sorted(templates.params_used(resource) - given):
            raise ManifestError(
                f"got no value for the param {missing[0]!r}, expected a binding or a default",
                location=location,
            )
