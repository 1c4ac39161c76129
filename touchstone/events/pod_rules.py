"""Which fields of its own Pod may an EventListener set? (event_listener_validation.go)"""

from __future__ import annotations

from collections.abc import Mapping

from touchstone.documents import core_types
from touchstone.documents.fits import check_shape
from touchstone.documents.problems import Field
from touchstone.documents.shapes import ANY, INT32, TEXT, Core, ListOf, MapOf, Shape, Table

_TEMPLATE = core_types.table("PodTemplate").fields
_POD: dict[str, Shape] = {
    "serviceAccountName": TEXT,
    "containers": ListOf(MapOf(ANY)),
    **{
        name: _TEMPLATE[name]
        for name in (
            "tolerations", "nodeSelector", "affinity", "topologySpreadConstraints",
            "imagePullSecrets", "securityContext",
        )
    },
}  # fmt: skip
_CONTAINER: dict[str, Shape] = {
    "resources": Core("ResourceRequirements"),
    "env": ListOf(Core("EnvVar")),
    "securityContext": Core("SecurityContext"),
}
_PROBES: dict[str, Shape] = dict.fromkeys(
    ("livenessProbe", "readinessProbe", "startupProbe"), Core("Probe")
)
_KUBERNETES = Table(
    "kubernetesResource",
    {
        "replicas": INT32,
        "serviceType": TEXT,
        "serviceLoadBalancerClass": TEXT,
        "servicePort": INT32,
        "spec": Table(
            "spec",
            {"template": Table("template", {"metadata": Core("ObjectMeta"), "spec": MapOf(ANY)})},
        ),
    },
)
_TLS = {"TLS_CERT", "TLS_KEY"}


def check_resources(resources: Field) -> None:
    """A kubernetesResource or a customResource, not both; some fields of its Pod alone."""
    own, custom = resources.at("kubernetesResource"), resources.at("customResource")
    if own.value is not None:
        check_shape(own, _KUBERNETES)
    if own.value is not None and custom.value is not None:
        resources.refuse(
            "got kubernetesResource and customResource, expected one of them", "customResource"
        )
    elif own.value is not None:
        replicas = own.get("replicas")
        if isinstance(replicas, int) and replicas < 0:
            own.refuse(f"got {replicas}, expected 0 or more", "replicas")
        balanced = own.get("serviceType") == "LoadBalancer"
        if own.get("serviceLoadBalancerClass") is not None and not balanced:
            own.refuse(
                "got a class, expected it with serviceType: LoadBalancer only",
                "serviceLoadBalancerClass",
            )
        _check_pod(own.at("spec", "template", "spec"), _CONTAINER | _PROBES)
    elif custom.value is not None:
        _check_pod(custom.at("spec", "template", "spec"), _CONTAINER)


def _check_pod(pod: Field, container_fields: Mapping[str, Shape]) -> None:
    _check_fields(pod, _POD)
    containers = list(pod.each("containers"))
    for container in containers[1:]:
        container.refuse("got a second container, expected one")
    for container in containers[:1]:
        _check_fields(container, container_fields)
        for variable in container.each("env"):
            _check_fields(variable, {"name": ANY, "valueFrom": ANY})
            _check_fields(variable.at("valueFrom"), {"secretKeyRef": ANY})
        if len(found := _TLS & set(container.names("env"))) == 1:
            container.refuse(
                f"got {found.pop()} alone, expected TLS_CERT and TLS_KEY together", "env"
            )


def _check_fields(field: Field, allowed: Mapping[str, Shape]) -> None:
    for name in field.value if isinstance(field.value, dict) else ():
        if name in allowed:
            check_shape(field.at(name), allowed[name])
        else:
            field.refuse(f"got {name}, expected only {', '.join(sorted(allowed))}", name)
