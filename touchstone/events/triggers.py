"""tekton/triggers/*.yaml as typed objects, checked as a whole before anything listens.

Fields that only a cluster acts on (the listener's service account and its Pod) are accepted and
have no effect here. Any other field that the embedded listener does not honour is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from touchstone.errors import ManifestError
from touchstone.events import bindings, templates
from touchstone.events.documents import Document, read
from touchstone.events.interceptors import Interceptor, build

_GROUP = "triggers.tekton.dev/"
_VERSION = "triggers.tekton.dev/v1beta1"
_CREATED = (("tekton.dev/v1", "PipelineRun"), ("tekton.dev/v1", "TaskRun"))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Named(_Model):
    name: str
    value: str


class _InterceptorParam(_Model):
    name: str
    value: Any


class _InterceptorRef(_Model):
    name: str
    kind: Literal["ClusterInterceptor"] = "ClusterInterceptor"
    apiVersion: str = ""  # noqa: N815  Tekton's spelling


class _Interceptor(_Model):
    name: str = ""
    ref: _InterceptorRef
    params: list[_InterceptorParam] = []


class _Binding(_Model):
    ref: str = ""
    kind: Literal["TriggerBinding"] = "TriggerBinding"
    name: str = ""
    value: str = ""


class _Template(_Model):
    ref: str


class _Trigger(_Model):
    name: str
    interceptors: list[_Interceptor] = []
    bindings: list[_Binding] = []
    template: _Template


class _ListenerSpec(_Model):
    serviceAccountName: str = ""  # noqa: N815
    resources: dict[str, Any] = {}
    triggers: list[_Trigger] = Field(min_length=1)


class _BindingSpec(_Model):
    params: list[_Named] = []


class _ParamSpec(_Model):
    name: str
    description: str = ""
    default: str | None = None


class _TemplateSpec(_Model):
    params: list[_ParamSpec] = []
    resourcetemplates: list[dict[str, Any]] = Field(min_length=1)


_SPECS: dict[str, type[_Model]] = {
    "EventListener": _ListenerSpec,
    "TriggerBinding": _BindingSpec,
    "TriggerTemplate": _TemplateSpec,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger with everything it refers to."""

    name: str
    interceptors: tuple[Interceptor, ...]
    bindings: dict[str, str]
    """Param name to its value, expressions not yet resolved."""
    defaults: dict[str, str]
    """The template's defaults."""
    resources: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """An EventListener: its name and its triggers."""

    name: str
    triggers: tuple[Trigger, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    document: Document
    spec: Any


def load_triggers(paths: Sequence[Path]) -> Triggers:
    """Read the EventListener, and what it refers to, from files and folders (`*.yaml` in them).

    Documents of other API groups, a kustomization or roles, are left to the cluster.

    Raises:
        ManifestError: a document is wrong, something referred to is absent, or there is not
            exactly one EventListener. The message begins with file:line:column.
    """
    loaded: dict[tuple[str, str], _Loaded] = {}
    for path in paths:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        for document in (document for file in files for document in read(file)):
            if str(document.content.get("apiVersion", "")).startswith(_GROUP):
                key, value = _load(document)
                if key in loaded:
                    raise ManifestError(
                        f"got a second {key[0]} {key[1]!r}, expected one",
                        location=document.location(("metadata", "name")),
                    )
                loaded[key] = value
    listeners = [(name, value) for (kind, name), value in loaded.items() if kind == "EventListener"]
    if len(listeners) != 1:
        raise ManifestError(
            f"got {len(listeners)} EventListeners, expected exactly one",
            location=", ".join(str(path) for path in paths),
        )
    name, listener = listeners[0]
    triggers = tuple(
        _trigger(loaded, listener.document, index, trigger)
        for index, trigger in enumerate(listener.spec.triggers)
    )
    return Triggers(name=name, triggers=triggers)


def _load(document: Document) -> tuple[tuple[str, str], _Loaded]:
    content = document.content
    kind = content.get("kind")
    model = _SPECS.get(str(kind))
    if content["apiVersion"] != _VERSION or model is None:
        raise ManifestError(
            f"got {content['apiVersion']} {kind}, expected {_VERSION} and one of {list(_SPECS)}",
            location=document.location(("kind",)),
            hint="the embedded listener reads no other kind of Tekton Triggers",
        )
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise ManifestError(
            f"got no name, expected metadata.name of the {kind}",
            location=document.location(("metadata",)),
        )
    try:
        spec = model.model_validate(content.get("spec"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ("spec", *first["loc"])
        problem = first["msg"]
        if first["type"] == "extra_forbidden":
            problem = "the embedded listener does not honour this field"
        raise ManifestError(
            f"{'.'.join(str(step) for step in place)}: {problem}",
            location=document.location(place),
        ) from None
    return (str(kind), name), _Loaded(document, spec)


def _trigger(
    loaded: dict[tuple[str, str], _Loaded], document: Document, index: int, trigger: _Trigger
) -> Trigger:
    here = ("spec", "triggers", index)
    template = loaded.get(("TriggerTemplate", trigger.template.ref))
    if template is None:
        raise ManifestError(
            f"got no TriggerTemplate {trigger.template.ref!r}, expected it in the same files",
            location=document.location((*here, "template", "ref")),
        )
    interceptors = []
    for number, interceptor in enumerate(trigger.interceptors):
        place = (*here, "interceptors", number)
        params = {param.name: param.value for param in interceptor.params}
        try:
            interceptors.append(build(interceptor.ref.name, params))
        except ValueError as error:
            raise ManifestError(str(error), location=document.location(place)) from None
    values = _binding_values(loaded, document, here, trigger)
    defaults = {
        spec.name: spec.default for spec in template.spec.params if spec.default is not None
    }
    _check_template(template, set(values) | set(defaults))
    return Trigger(
        name=trigger.name,
        interceptors=tuple(interceptors),
        bindings=values,
        defaults=defaults,
        resources=tuple(template.spec.resourcetemplates),
    )


def _binding_values(
    loaded: dict[tuple[str, str], _Loaded],
    document: Document,
    here: tuple[str | int, ...],
    trigger: _Trigger,
) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, binding in enumerate(trigger.bindings):
        location = document.location((*here, "bindings", number))
        found = loaded.get(("TriggerBinding", binding.ref))
        if bool(binding.ref) == bool(binding.name):
            raise ManifestError("expected either ref, or name and value", location=location)
        if binding.ref and found is None:
            raise ManifestError(
                f"got no TriggerBinding {binding.ref!r}, expected it in the same files",
                location=location,
            )
        pairs = found.spec.params if found else [binding]
        for position, pair in enumerate(pairs):
            if found:
                location = found.document.location(("spec", "params", position))
            if pair.name in values:
                raise ManifestError(
                    f"got the param {pair.name!r} twice, expected once", location=location
                )
            try:
                bindings.check(pair.value)
            except ValueError as error:
                raise ManifestError(str(error), location=location) from None
            values[pair.name] = pair.value
    return values


def _check_template(template: _Loaded, given: set[str]) -> None:
    declared = {spec.name for spec in template.spec.params}
    for index, resource in enumerate(template.spec.resourcetemplates):
        location = template.document.location(("spec", "resourcetemplates", index))
        if (resource.get("apiVersion"), resource.get("kind")) not in _CREATED:
            raise ManifestError(
                f"got {resource.get('apiVersion')} {resource.get('kind')}, expected a tekton.dev/v1"
                " PipelineRun or TaskRun",
                location=location,
            )
        metadata = resource.get("metadata")
        if not isinstance(metadata, dict) or not ({"name", "generateName"} & set(metadata)):
            raise ManifestError(
                "got no name, expected metadata.generateName or metadata.name", location=location
            )
        used = templates.params_used(resource)
        if missing := sorted(used - declared):
            raise ManifestError(
                f"got $(tt.params.{missing[0]}), expected a param declared by the template",
                location=location,
            )
        if missing := sorted(used - given):
            raise ManifestError(
                f"got no value for the param {missing[0]!r}, expected a binding or a default",
                location=location,
            )
