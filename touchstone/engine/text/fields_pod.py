"""Which fields the parts of a Pod have that a Task writes out: volumes, mounts, probes, users."""

from __future__ import annotations

from touchstone.engine.text.shapes import (
    ANY,
    FLAG,
    INERT,
    NUMBER,
    TEXT,
    TEXTS,
    ListOf,
    MapOf,
    Refused,
    Shape,
    Table,
)

_ITEMS = ListOf(Table("item", {"key": TEXT, "path": TEXT, "mode": NUMBER}, ("key", "path")))
_SECRET: dict[str, Shape] = {
    "secretName": TEXT, "items": _ITEMS, "optional": FLAG, "defaultMode": NUMBER,
}  # fmt: skip
_CONFIG_MAP: dict[str, Shape] = {
    "name": TEXT, "items": _ITEMS, "optional": FLAG, "defaultMode": NUMBER,
}  # fmt: skip
FIELD_REF = Table("fieldRef", {"fieldPath": TEXT, "apiVersion": INERT}, ("fieldPath",))
_DOWNWARD: Shape = Table(
    "downwardAPI",
    {
        "defaultMode": NUMBER,
        "items": ListOf(
            Table(
                "item",
                {
                    "path": TEXT,
                    "mode": NUMBER,
                    "fieldRef": FIELD_REF,
                    "resourceFieldRef": Refused("there is no container with resource limits"),
                },
                ("path", "fieldRef"),
            )
        ),
    },
)
_NO_API = Refused("there is no Kubernetes API here that could fill it")
_NO_DRIVER = Refused("there is no storage driver on this machine")

VOLUME_SOURCES: dict[str, Shape] = {
    "emptyDir": Table("emptyDir", {"medium": INERT, "sizeLimit": INERT}),
    "persistentVolumeClaim": Table(
        "persistentVolumeClaim", {"claimName": TEXT, "readOnly": FLAG}, ("claimName",)
    ),
    "secret": Table("secret", _SECRET, ("secretName",)),
    "configMap": Table("configMap", _CONFIG_MAP, ("name",)),
    "projected": Table(
        "projected",
        {
            "defaultMode": NUMBER,
            "sources": ListOf(
                Table(
                    "projected source",
                    {
                        "secret": Table("secret", {**_CONFIG_MAP}, ("name",)),
                        "configMap": Table("configMap", _CONFIG_MAP, ("name",)),
                        "serviceAccountToken": _NO_API,
                        "downwardAPI": _DOWNWARD,
                        "clusterTrustBundle": _NO_API,
                        "podCertificate": _NO_API,
                    },
                )
            ),
        },
    ),
    "csi": _NO_DRIVER,
}
VOLUME = Table(
    "volume",
    {
        "name": TEXT,
        **VOLUME_SOURCES,
        "hostPath": Refused("it reaches into the cluster's nodes; use a workspace"),
        "downwardAPI": _DOWNWARD,
        "ephemeral": _NO_DRIVER,
        **dict.fromkeys(
            (
                "awsElasticBlockStore",
                "azureDisk",
                "azureFile",
                "cephfs",
                "cinder",
                "fc",
                "flexVolume",
                "flocker",
                "gcePersistentDisk",
                "gitRepo",
                "glusterfs",
                "image",
                "iscsi",
                "nfs",
                "photonPersistentDisk",
                "portworxVolume",
                "quobyte",
                "rbd",
                "scaleIO",
                "storageos",
                "vsphereVolume",
            ),
            _NO_DRIVER,
        ),
    },
    ("name",),
)
VOLUME_MOUNT = Table(
    "volume mount",
    {
        "name": TEXT,
        "mountPath": TEXT,
        "subPath": TEXT,
        "readOnly": FLAG,
        "subPathExpr": Refused("write the path out as subPath"),
        "mountPropagation": INERT,
        "recursiveReadOnly": INERT,
    },
    ("name", "mountPath"),
)
SECURITY_CONTEXT = Table(
    "securityContext",
    {
        "runAsUser": NUMBER,
        "runAsGroup": NUMBER,
        "runAsNonRoot": INERT,
        "allowPrivilegeEscalation": INERT,
        "privileged": INERT,
        "readOnlyRootFilesystem": INERT,
        "capabilities": INERT,
        "seccompProfile": INERT,
        "appArmorProfile": INERT,
        "seLinuxOptions": INERT,
        "procMount": INERT,
        "windowsOptions": Refused("this is not a Windows machine"),
    },
)
POD_TEMPLATE = Table(
    "podTemplate",
    {
        "env": ListOf(Table("variable", {"name": TEXT, "value": TEXT, "valueFrom": ANY})),
        "volumes": ListOf(VOLUME),
        "securityContext": Table(
            "securityContext",
            {
                **SECURITY_CONTEXT.fields,
                "fsGroup": INERT,
                "fsGroupChangePolicy": INERT,
                "supplementalGroups": INERT,
                "supplementalGroupsPolicy": INERT,
                "sysctls": INERT,
            },
        ),
        **dict.fromkeys(
            (
                "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy",
                "enableServiceLinks", "hostAliases", "hostNetwork", "hostUsers",
                "imagePullSecrets", "nodeSelector", "priorityClassName", "runtimeClassName",
                "schedulerName", "tolerations", "topologySpreadConstraints",
            ),
            INERT,
        ),
    },
)  # fmt: skip
PROBE = Table(
    "probe",
    {
        "exec": Table("exec", {"command": TEXTS}, ("command",)),
        "httpGet": Table(
            "httpGet",
            {"host": TEXT, "port": ANY, "path": TEXT, "scheme": TEXT, "httpHeaders": ANY},
            ("port",),
        ),
        "tcpSocket": Table("tcpSocket", {"host": TEXT, "port": ANY}, ("port",)),
        "grpc": Refused("use exec, httpGet or tcpSocket"),
        "initialDelaySeconds": NUMBER,
        "periodSeconds": NUMBER,
        "timeoutSeconds": NUMBER,
        "failureThreshold": NUMBER,
        "successThreshold": INERT,
        "terminationGracePeriodSeconds": INERT,
    },
)
_OBJECT_METADATA = Table(
    "metadata",
    {
        "name": TEXT,
        "generateName": TEXT,
        "namespace": TEXT,
        "labels": MapOf(TEXT),
        "annotations": MapOf(TEXT),
    },
)
_OBJECTS: dict[str, dict[str, Shape]] = {
    "ConfigMap": {"data": ANY, "binaryData": ANY, "immutable": INERT},
    "Secret": {"data": ANY, "stringData": ANY, "type": TEXT, "immutable": INERT},
    "PersistentVolumeClaim": {"spec": INERT, "status": INERT},
    "ServiceAccount": {
        "secrets": ListOf(Table("secret", {"name": TEXT})),
        "imagePullSecrets": INERT,
        "automountServiceAccountToken": INERT,
    },
}
OBJECT_KINDS: dict[str, Table] = {
    name: Table(
        name,
        {"apiVersion": TEXT, "kind": TEXT, "metadata": _OBJECT_METADATA, **fields},
        ("apiVersion", "metadata"),
    )
    for name, fields in _OBJECTS.items()
}
