"""Which fields of its own Pod may an EventListener set? (event_listener_validation.go)"""

from __future__ import annotations

from touchstone.documents.problems import Field

_POD = {
    "serviceAccountName", "containers", "tolerations", "nodeSelector", "affinity",
    "topologySpreadConstraints", "imagePullSecrets", "securityContext",
}  # fmt: skip
_CONTAINER = {"resources", "env", "securityContext"}
_PROBES = {"livenessProbe", "readinessProbe", "startupProbe"}
_TLS = {"TLS_CERT", "TLS_KEY"}


def check_resources(resources: Field) -> None:
    """A kubernetesResource or a customResource, not both; some fields of its Pod alone."""
    own, custom = resources.at("kubernetesResource"), resources.at("customResource")
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


def _check_pod(pod: Field, container_fields: set[str]) -> None:
    _check_fields(pod, _POD)
    containers = list(pod.each("containers"))
    for container in containers[1:]:
        container.refuse("got a second container, expected one")
    for container in containers[:1]:
        _check_fields(container, container_fields)
        for variable in container.each("env"):
            _check_fields(variable, {"name", "valueFrom"})
            _check_fields(variable.at("valueFrom"), {"secretKeyRef"})
        if len(found := _TLS & set(container.names("env"))) == 1:
            container.refuse(
                f"got {found.pop()} alone, expected TLS_CERT and TLS_KEY together", "env"
            )


def _check_fields(field: Field, allowed: set[str]) -> None:
    for name in field.value if isinstance(field.value, dict) else ():
        if name not in allowed:
            field.refuse(f"got {name}, expected only {', '.join(sorted(allowed))}", name)
