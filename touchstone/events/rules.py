"""What Triggers' admission webhook refuses, document by document.

Facts from pkg/apis/triggers/{v1beta1,v1alpha1}/*_validation.go of tektoncd/triggers v0.37.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from touchstone.documents.fits import check_shape
from touchstone.documents.naming import LABEL_VALUE, check_metadata, check_one_of, check_unique
from touchstone.documents.problems import By, Field, Problem
from touchstone.documents.shapes import Core
from touchstone.documents.yaml import Document
from touchstone.events import bindings, pod_rules, templates
from touchstone.events.headers import canonical
from touchstone.events.kinds import SPECS, Metadata, Model
from trust_gates import wording

GROUP = "triggers.tekton.dev/"
VALIDATION = "tekton.dev/payload-validation"
_LONGEST_LISTENER = 60


def checked(document: Document) -> tuple[list[Problem], Any, Any]:
    """What is wrong with a document, its metadata and its spec, both None where they are wrong."""
    field = Field(document, [], document.body)
    check_shape(field.at("metadata"), Core("ObjectMeta"))
    metadata = None if field.problems else parsed(field.at("metadata"), Metadata)
    version, model, _ = SPECS.get(document.kind, ("", None, False))
    if model is None or field.get("apiVersion") != version:
        wanted = f"{version} {document.kind}" if model else f"one of {list(SPECS)}"
        field.refuse(
            f"got {field.get('apiVersion')} {document.kind}, expected {wanted}",
            "kind",
            hint="the embedded listener reads no other version of Tekton Triggers",
            by="embedded",
        )
        return field.problems, None, None
    spec = parsed(field.at("spec"), model)
    if not field.problems:
        check_metadata(field)
        _RULES[document.kind](field)
    return field.problems, metadata, spec


def parsed(field: Field, model: type[Model]) -> Any:
    """The field as its model; None, and each problem noted, where it has not its shape."""
    try:
        return model.model_validate(field.value)
    except ValidationError as error:
        for problem in error.errors():
            field.refuse(_told(problem), *problem["loc"], by=_refuser(problem))
        return None


def _refuser(problem: Any) -> By:
    """Go has an empty text for one that is not there, and looks for an interceptor's kind later."""
    place, missing = problem["loc"], problem["type"] == "missing"
    if missing and place[-1] in ("name", "value") and "header" not in place:
        return "embedded"
    later = problem["type"] == "literal_error" and isinstance(problem["input"], str)
    return "embedded" if later and place[-2:] == ("ref", "kind") else "tekton"


def _told(problem: Any) -> str:
    """What is wrong with a field, its own name left out."""
    match problem["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "got nothing, expected it to be there"
        case "too_short":
            return "got none, expected at least one"
    return wording.told(problem)


def _check_listener(document: Field) -> None:
    spec, name = document.at("spec"), document.document.name
    if len(name) > _LONGEST_LISTENER:  # its Service is called el-NAME
        document.refuse(
            f"got {name!r}, expected at most {_LONGEST_LISTENER} characters", "metadata", "name"
        )
    validation = document.at("metadata", "annotations", VALIDATION)
    if validation.value not in (None, "true", "false"):
        validation.refuse(f"got {validation.value!r}, expected 'true' or 'false'")
    selects = spec.at("namespaceSelector").get("matchNames")
    if not (
        selects
        or spec.get("labelSelector") is not None
        or spec.get("triggers")
        or spec.get("triggerGroups")
    ):
        spec.refuse(
            "got no labelSelector, namespaceSelector, triggerGroups or triggers, expected one"
        )
    for index, entry in enumerate(spec.get("triggers", [])):
        if entry is None:
            spec.refuse("got nothing, expected a trigger", "triggers", index)
    for trigger in spec.each("triggers"):
        inline = [
            name
            for name in ("template", "bindings", "interceptors")
            if trigger.get(name) is not None
        ]
        if trigger.get("triggerRef") and inline:
            trigger.refuse(
                f"got triggerRef and {' and '.join(inline)}, expected triggerRef alone",
                "triggerRef",
            )
        elif not trigger.get("triggerRef") and trigger.get("template") is None:
            trigger.refuse("got neither template nor triggerRef, expected one")
        if not LABEL_VALUE.fullmatch(trigger.get("name", "")):
            trigger.refuse(
                f"got {trigger.get('name')!r}, expected the value of a label: letters, digits, -, _"
                " and ., at most 63",
                "name",
            )
        _check_trigger(trigger)
    for group in spec.each("triggerGroups"):
        chosen = group.at("triggerSelector")
        names = chosen.at("namespaceSelector").get("matchNames")
        if chosen.get("labelSelector") is None and not names:
            chosen.refuse("got neither labelSelector nor namespaceSelector, expected one")
        _check_interceptors(group)
    pod_rules.check_resources(spec.at("resources"))


def _check_trigger(trigger: Field) -> None:
    for binding in trigger.each("bindings"):
        named = bool(binding.get("name"))
        if bool(binding.get("ref")) == named or (named and binding.get("value") is None):
            binding.refuse(f"got {dict(binding.value)}, expected either ref, or name and value")
        _check_value(binding)
    template = trigger.at("template")
    if template.value is not None:
        check_one_of(template, "ref", "spec")
        if template.get("ref") == "":
            template.refuse("got no name, expected that of a TriggerTemplate", "ref")
        if template.get("apiversion", "v1beta1") not in ("", "v1alpha1", "v1beta1"):
            template.refuse(
                f"got {template.get('apiversion')!r}, expected v1alpha1 or v1beta1", "apiversion"
            )
        if template.get("spec") is not None:
            _check_template(template.at("spec"))
    _check_interceptors(trigger)


def _check_interceptors(holder: Field) -> None:
    for item in holder.each("interceptors"):
        webhook = item.at("webhook")
        if webhook.value is not None:
            _check_webhook(webhook)
        elif not item.at("ref").get("name"):
            item.refuse("got an interceptor without ref.name, expected which one it is")


def _check_webhook(webhook: Field) -> None:
    """The old form names a v1 Service, and headers as Go writes them."""
    service = webhook.at("objectRef")
    for name, wanted in (("kind", "Service"), ("apiVersion", "v1")):
        if service.get(name) != wanted:
            service.refuse(f"got {service.get(name)!r}, expected {wanted}", name)
    for header in webhook.each("header"):
        name = header.get("name", "")
        if not name or canonical(name) != name:
            header.refuse(
                f"got {name!r}, expected a name such as {canonical(name or 'x-name')}", "name"
            )
        if not header.get("value"):
            header.refuse("got no value, expected one", "value")


def _check_template(template: Field) -> None:
    declared = template.names("params")
    if not template.get("resourcetemplates"):
        template.refuse("got none, expected at least one object", "resourcetemplates")
    for resource in template.each("resourcetemplates"):
        given = (resource.get("apiVersion"), resource.get("kind"))
        if not all(part and isinstance(part, str) for part in given):
            resource.refuse("got an object without one of them, expected apiVersion and kind")
        for name in sorted(templates.params_used(resource.value) - set(declared)):
            resource.refuse(f"got $(tt.params.{name}), expected a param declared by the template")


def _check_binding(document: Field) -> None:
    spec = document.at("spec")
    if not spec.get("params"):
        spec.refuse("got nothing, expected params")
    check_unique(spec.each("params"))
    for param in spec.each("params"):
        _check_value(param)


def _check_value(param: Field) -> None:
    """Every $( is closed; what no event can have is refused by this listener alone."""
    value = param.get("value") or ""
    try:
        bindings.check(value)
    except ValueError as error:
        # The webhook looks for an expression that another begins in; it knows no JSONPath.
        pieces = value.split("$(")[1:-1]
        open_ones = [piece for piece in pieces if not list(bindings.expressions(f"$({piece}"))]
        by: By = "tekton" if open_ones else "embedded"
        param.refuse(str(error), "value", by=by)


def _check_interceptor(document: Field) -> None:
    config = document.at("spec", "clientConfig")
    service = config.at("service")
    if service.value is None:
        return
    if config.get("url"):
        config.refuse("got url and service, expected one of them", "service")
    for name in ("name", "namespace"):
        if not service.get(name):
            service.refuse(f"got no {name}, expected one")


_RULES: dict[str, Callable[[Field], None]] = {
    "EventListener": _check_listener,
    "Trigger": lambda document: _check_trigger(document.at("spec")),
    "TriggerBinding": _check_binding,
    "ClusterTriggerBinding": _check_binding,
    "TriggerTemplate": lambda document: _check_template(document.at("spec")),
    "Interceptor": _check_interceptor,
    "ClusterInterceptor": _check_interceptor,
}
