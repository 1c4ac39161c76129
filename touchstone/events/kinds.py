"""The kinds of triggers.tekton.dev as the API server takes them, unknown fields refused.

Fields that only a cluster acts on (`serviceAccountName`, `resources`, `cloudEventURI`) are read and
have no effect here; everything else is honored.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Frozen, named as in YAML, and strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """A field that is null is one that is not there, an object that is null an empty one."""
        if not isinstance(data, dict):
            return {} if data is None else data
        known = {field.alias for field in cls.model_fields.values()}
        return {
            name: value for name, value in data.items() if value is not None or name not in known
        }


class Metadata(Model):
    """What the listener reads of an object's metadata; the rest is the cluster's."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Requirement(Model):
    """One of a label selector's matchExpressions."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class LabelSelector(Model):
    """Which labels an object must have; all conditions hold together."""

    match_labels: dict[str, str] = {}
    match_expressions: list[Requirement] = []

    def matches(self, labels: dict[str, str]) -> bool:
        """As Kubernetes decides it; an empty selector matches everything."""
        wanted = all(labels.get(name) == value for name, value in self.match_labels.items())
        return wanted and all(_holds(item, labels) for item in self.match_expressions)


def _holds(requirement: Requirement, labels: dict[str, str]) -> bool:
    present = requirement.key in labels
    if requirement.operator in ("Exists", "DoesNotExist"):
        return present is (requirement.operator == "Exists")
    listed = present and labels[requirement.key] in requirement.values
    return listed is (requirement.operator == "In")


class NamespaceSelector(Model):
    """Which namespaces; `*` alone is all of them."""

    match_names: list[str] = []


class Selector(Model):
    """Which Trigger objects."""

    namespace_selector: NamespaceSelector = NamespaceSelector()
    label_selector: LabelSelector | None = None


class ObjectRef(Model):
    """The old webhook's Service."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    api_version: str = ""


class Header(Model):
    """A header that the old webhook form adds."""

    name: str
    value: str | list[str]


class Webhook(Model):
    """The old webhook form."""

    object_ref: ObjectRef | None = None
    url: str = ""
    header: list[Header] = []


class InterceptorParam(Model):
    """One param of an interceptor; its value is any JSON."""

    name: str
    value: Any


class InterceptorRef(Model):
    """Which interceptor."""

    name: str = ""
    kind: Literal["ClusterInterceptor", "NamespacedInterceptor"] = "ClusterInterceptor"
    api_version: str = ""


class TriggerInterceptor(Model):
    """One link of a chain."""

    name: str = ""
    ref: InterceptorRef = InterceptorRef()
    params: list[InterceptorParam] = []
    webhook: Webhook | None = None


class BindingRef(Model):
    """A binding: `ref`, or `name` and `value` in place."""

    name: str = ""
    value: str | None = None
    ref: str = ""
    kind: Literal["TriggerBinding", "ClusterTriggerBinding"] = "TriggerBinding"
    apiversion: str = Field(default="", alias="apiversion")


class ParamSpec(Model):
    """A param that a template declares."""

    name: str = ""
    description: str = ""
    default: str | None = None


class TemplateSpec(Model):
    """The objects that a trigger creates."""

    params: list[ParamSpec] = []
    resourcetemplates: list[dict[str, Any]] = Field(min_length=1, alias="resourcetemplates")


class TemplateRef(Model):
    """A template: `ref`, or `spec` in place."""

    ref: str | None = None
    apiversion: str = Field(default="", alias="apiversion")
    spec: TemplateSpec | None = None


class TriggerSpec(Model):
    """A Trigger."""

    bindings: list[BindingRef] = []
    template: TemplateRef
    name: str = ""
    interceptors: list[TriggerInterceptor] = []
    service_account_name: str = ""


class ListenerTrigger(Model):
    """A trigger within an EventListener, or a reference to one."""

    bindings: list[BindingRef] | None = None
    template: TemplateRef | None = None
    trigger_ref: str = ""
    name: str = ""
    interceptors: list[TriggerInterceptor] | None = None
    service_account_name: str = ""


class TriggerGroup(Model):
    """Triggers behind interceptors that they share."""

    name: str
    interceptors: list[TriggerInterceptor] = Field(min_length=1)
    trigger_selector: Selector


class Resources(Model):
    """The listener's own Pod and Service; only a cluster has them."""

    kubernetes_resource: dict[str, Any] | None = None
    custom_resource: dict[str, Any] | None = None


class ListenerSpec(Model):
    """An EventListener."""

    service_account_name: str = ""
    triggers: list[ListenerTrigger] = []
    trigger_groups: list[TriggerGroup] = []
    namespace_selector: NamespaceSelector = NamespaceSelector()
    label_selector: LabelSelector | None = None
    resources: Resources = Resources()
    cloud_event_uri: str = Field(default="", alias="cloudEventURI")


class BindingParam(Model):
    """One param of a (Cluster)TriggerBinding."""

    name: str = ""
    value: str = ""


class BindingSpec(Model):
    """A TriggerBinding or ClusterTriggerBinding."""

    params: list[BindingParam] = []


class Service(Model):
    """Where an interceptor answers within a cluster."""

    name: str
    namespace: str = ""
    path: str = ""
    port: int | None = None


class ClientConfig(Model):
    """Where an interceptor answers."""

    ca_bundle: str = ""
    url: str = ""
    service: Service | None = None


class InterceptorSpec(Model):
    """A ClusterInterceptor or Interceptor."""

    client_config: ClientConfig


_V1BETA1 = "triggers.tekton.dev/v1beta1"
_V1ALPHA1 = "triggers.tekton.dev/v1alpha1"

SPECS: dict[str, tuple[str, type[Model], bool]] = {
    "EventListener": (_V1BETA1, ListenerSpec, True),
    "Trigger": (_V1BETA1, TriggerSpec, True),
    "TriggerBinding": (_V1BETA1, BindingSpec, True),
    "TriggerTemplate": (_V1BETA1, TemplateSpec, True),
    "Interceptor": (_V1ALPHA1, InterceptorSpec, True),
    "ClusterTriggerBinding": (_V1BETA1, BindingSpec, False),
    "ClusterInterceptor": (_V1ALPHA1, InterceptorSpec, False),
}
"""Kind to its apiVersion, its spec, and whether it lives in a namespace."""
