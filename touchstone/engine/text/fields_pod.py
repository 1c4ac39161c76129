"""Which parts of a Pod that a Task writes out are honored here: volumes, mounts, probes, users?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from touchstone.documents import core_types
from touchstone.documents.shapes import (
    ANY,
    FLAG,
    TEXT,
    Core,
    Inert,
    ListOf,
    MapOf,
    Open,
    Refused,
    Shape,
    Table,
)

_NO_API = "there is no Kubernetes API here that could fill it"
_NO_DRIVER = "there is no storage driver on this machine"
_NO_LIMITS = "there is no container with resource limits"


def part(
    title: str,
    kind: str,
    required: tuple[str, ...] = (),
    *,
    inert: Iterable[str] = (),
    refused: Mapping[str, str] | None = None,
    **own: Shape,
) -> Table:
    """The table of one of Kubernetes' types, of which some fields are not simply honored.

    Args:
        title: what messages call it.
        kind: the type.
        required: the fields that must be there.
        inert: fields without effect.
        refused: fields that cannot be honored, with the reason.
        own: fields with a table of their own.
    """
    fields = core_types.table(kind).fields
    quiet = {name: Inert(fields[name]) for name in inert}
    loud = {name: Refused(why, fields[name]) for name, why in (refused or {}).items()}
    return Table(title, {**fields, **quiet, **loud, **own}, required)


_ITEMS = ListOf(part("item", "KeyToPath", ("key", "path")))
FIELD_REF = part("fieldRef", "ObjectFieldSelector", ("fieldPath",), inert=["apiVersion"])
_DOWNWARD_ITEM = part(
    "item", "DownwardAPIVolumeFile", ("path", "fieldRef"),
    refused={"resourceFieldRef": _NO_LIMITS}, fieldRef=FIELD_REF,
)  # fmt: skip
_DOWNWARD = part("downwardAPI", "DownwardAPIVolumeSource", items=ListOf(_DOWNWARD_ITEM))
_SOURCE = part(
    "projected source",
    "VolumeProjection",
    refused=dict.fromkeys(("serviceAccountToken", "clusterTrustBundle", "podCertificate"), _NO_API),
    secret=part("secret", "SecretProjection", ("name",), items=_ITEMS),
    configMap=part("configMap", "ConfigMapProjection", ("name",), items=_ITEMS),
    downwardAPI=part("downwardAPI", "DownwardAPIProjection", items=ListOf(_DOWNWARD_ITEM)),
)
VOLUME_SOURCES: dict[str, Shape] = {
    "emptyDir": part("emptyDir", "EmptyDirVolumeSource", inert=["medium", "sizeLimit"]),
    "persistentVolumeClaim": part(
        "persistentVolumeClaim", "PersistentVolumeClaimVolumeSource", ("claimName",)
    ),
    "secret": part("secret", "SecretVolumeSource", ("secretName",), items=_ITEMS),
    "configMap": part("configMap", "ConfigMapVolumeSource", ("name",), items=_ITEMS),
    "projected": part("projected", "ProjectedVolumeSource", sources=ListOf(_SOURCE)),
    "csi": Refused(_NO_DRIVER, Core("CSIVolumeSource")),
}
_OTHER_SOURCES = core_types.table("Volume").fields.keys() - {"name", "downwardAPI", "hostPath"}
_VOLUME = part(
    "volume",
    "Volume",
    refused={
        "hostPath": "it reaches into the cluster's nodes; use a workspace",
        **dict.fromkeys(_OTHER_SOURCES, _NO_DRIVER),
    },
    downwardAPI=_DOWNWARD,
)
VOLUME = Table("volume", {**_VOLUME.fields, **VOLUME_SOURCES}, ("name",))
VOLUME_MOUNT = part(
    "volume mount",
    "VolumeMount",
    ("name", "mountPath"),
    inert=["mountPropagation", "recursiveReadOnly"],
    refused={"subPathExpr": "write the path out as subPath"},
)


def _security_context(kind: str) -> Table:
    honored = {"runAsUser", "runAsGroup", "windowsOptions"}
    quiet = core_types.table(kind).fields.keys() - honored
    refused = {"windowsOptions": "this is not a Windows machine"}
    return part("securityContext", kind, inert=quiet, refused=refused)


SECURITY_CONTEXT = _security_context("SecurityContext")
_POD_TEMPLATE = core_types.table("PodTemplate").fields
POD_TEMPLATE = part(
    "podTemplate",
    "PodTemplate",
    inert=_POD_TEMPLATE.keys() - {"env", "volumes", "securityContext"},
    affinity=Inert(Open(Core("Affinity"))),
    volumes=Open(ListOf(VOLUME)),
    securityContext=Open(_security_context("PodSecurityContext")),
)
PROBE = part(
    "probe",
    "Probe",
    inert=["successThreshold", "terminationGracePeriodSeconds"],
    refused={"grpc": "use exec, httpGet or tcpSocket"},
    exec=part("exec", "ExecAction", ("command",)),
    httpGet=part("httpGet", "HTTPGetAction", ("port",)),
    tcpSocket=part("tcpSocket", "TCPSocketAction", ("port",)),
)
_READ = {"name", "generateName", "namespace", "labels", "annotations", "uid", "creationTimestamp"}
METADATA = part(
    "metadata", "ObjectMeta", inert=core_types.table("ObjectMeta").fields.keys() - _READ
)
_OBJECTS: dict[str, dict[str, Shape]] = {
    "ConfigMap": {"data": MapOf(TEXT), "binaryData": MapOf(ANY), "immutable": Inert(FLAG)},
    "Secret": {
        "data": MapOf(ANY), "stringData": MapOf(TEXT), "type": TEXT, "immutable": Inert(FLAG),
    },
    "PersistentVolumeClaim": {
        "spec": Inert(Core("PersistentVolumeClaimSpec")), "status": Inert(ANY),
    },
    "ServiceAccount": {
        "secrets": ListOf(part("secret", "ObjectReference")),
        "imagePullSecrets": Inert(ListOf(Core("LocalObjectReference"))),
        "automountServiceAccountToken": Inert(FLAG),
    },
}  # fmt: skip
OBJECT_KINDS: dict[str, Table] = {
    name: Table(
        name,
        {"apiVersion": TEXT, "kind": TEXT, "metadata": METADATA, **fields},
        ("apiVersion", "metadata"),
    )
    for name, fields in _OBJECTS.items()
}
