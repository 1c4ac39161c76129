"""What Pod Security restricted finds in a Pod, and what a ValidatingAdmissionPolicy says to it.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/, written
again here, so that the policy is held against something that it was not made from.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from touchstone.documents.cel_host import cel, environment, plain

_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of the Pod, whatever kind."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [item for kind in kinds for item in pod["spec"].get(kind, [])]


def violations(pod: dict[str, Any]) -> set[tuple[str, str]]:
    """(container, rule) of all that restricted refuses; the Pod itself is the container ""."""
    found = set()
    common = pod["spec"].get("securityContext", {})
    for container in containers(pod):
        own = container.get("securityContext", {})
        whole = {**common, **own}
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.add((name, "privileges"))
        asked = own.get("capabilities", {})
        if "ALL" not in asked.get("drop", []) or set(asked.get("add", [])) - {"NET_BIND_SERVICE"}:
            found.add((name, "capabilities"))
        if whole.get("runAsNonRoot") is not True or whole.get("runAsUser") == 0:
            found.add((name, "root"))
        if whole.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            found.add((name, "seccomp"))
    for volume in pod["spec"].get("volumes", []):
        if not volume.keys() & _VOLUMES:
            found.add(("", "volume"))
    return found


@cache
def _compiled(expression: str) -> cel.Expression:
    kinds = {"object": cel.Type.DYN, "variables": cel.Type.DYN}
    return environment(variables=kinds, libraries=["optional", "strings"]).compile(expression)


def refused(policy: dict[str, Any], pod: dict[str, Any]) -> list[str]:
    """What the policy says against the Pod; nothing where it is admitted."""
    variables: dict[str, Any] = {}

    def value(expression: str) -> Any:
        return plain(_compiled(expression).eval(data={"object": pod, "variables": variables}))

    for item in policy["spec"]["variables"]:
        variables[item["name"]] = value(item["expression"])
    return [
        value(rule["messageExpression"]) if "messageExpression" in rule else rule["message"]
        for rule in policy["spec"]["validations"]
        if value(rule["expression"]) is not True
    ]
