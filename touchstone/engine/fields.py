"""Which fields Tekton's objects have, of what shape, and which of them the engine honours.

A shape is a leaf, a list, a map or a table of fields. `Inert` fields are accepted and said to have
no effect; `Refused` fields are known to Tekton but cannot be honoured by local processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value: `kind` is string, integer, boolean, duration, value or anything."""

    kind: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A string out of a fixed set."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    of: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    of: Shape


@dataclass(frozen=True, slots=True)
class Inert:
    """Confinement, scheduling and documentation of the cluster: no effect on a local process."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Known to Tekton, not honoured here; `why` ends the sentence 'cannot be honoured here: '."""

    why: str


@dataclass(frozen=True)
class Table:
    """An object: its fields by name, and which of them must be there."""

    title: str
    fields: dict[str, Shape]
    required: tuple[str, ...] = ()


Shape: TypeAlias = "Leaf | Choice | ListOf | MapOf | Inert | Refused | Table"

TEXT = Leaf("string")
NUMBER = Leaf("integer")
FLAG = Leaf("boolean")
DURATION = Leaf("duration")
VALUE = Leaf("value")
ANY = Leaf("anything")
TEXTS = ListOf(TEXT)
INERT = Inert()
MOUNTS = Refused(
    "steps share this machine's file system; use a workspace and $(workspaces.NAME.path)"
)
SIDECARS = Refused("only one process tree a step runs here; sidecars have nothing to run in")
TYPES = Choice(("string", "array", "object"))

METADATA = Table(
    "metadata",
    {
        "name": TEXT,
        "generateName": TEXT,
        "namespace": TEXT,
        "labels": MapOf(TEXT),
        "annotations": MapOf(TEXT),
        "uid": TEXT,
        "creationTimestamp": ANY,
    },
)
PROPERTIES = MapOf(Table("property", {"type": TYPES}))
PARAM_SPEC = Table(
    "param",
    {
        "name": TEXT,
        "type": TYPES,
        "description": TEXT,
        "default": VALUE,
        "enum": TEXTS,
        "properties": PROPERTIES,
    },
    ("name",),
)
PARAM = Table("param", {"name": TEXT, "value": VALUE}, ("name", "value"))
WHEN = Table(
    "when expression",
    {
        "input": TEXT,
        "operator": Choice(("in", "notin")),
        "values": ListOf(TEXT),
        "cel": TEXT,
    },
)
_REF: dict[str, Shape] = {"name": TEXT, "optional": FLAG}
KEY_REF = Table("key reference", {"name": TEXT, "key": TEXT, "optional": FLAG}, ("name", "key"))
ENV = Table(
    "environment variable",
    {
        "name": TEXT,
        "value": TEXT,
        "valueFrom": Table(
            "valueFrom",
            {
                "secretKeyRef": KEY_REF,
                "configMapKeyRef": KEY_REF,
                "fieldRef": Refused("there is no Pod whose fields could be read"),
                "resourceFieldRef": Refused("there is no container with resource limits"),
                "fileKeyRef": MOUNTS,
            },
        ),
    },
    ("name",),
)
ENV_FROM = Table(
    "envFrom",
    {
        "prefix": TEXT,
        "configMapRef": Table("configMapRef", _REF, ("name",)),
        "secretRef": Table("secretRef", _REF, ("name",)),
    },
)
STEP_RESULT = Table(
    "result",
    {"name": TEXT, "type": TYPES, "description": TEXT, "properties": PROPERTIES},
    ("name",),
)
_CONTAINER: dict[str, Shape] = {
    "image": TEXT,
    "command": TEXTS,
    "args": TEXTS,
    "env": ListOf(ENV),
    "envFrom": ListOf(ENV_FROM),
    "workingDir": TEXT,
    "imagePullPolicy": INERT,
    "computeResources": INERT,
    "securityContext": INERT,
    "volumeMounts": MOUNTS,
    "volumeDevices": MOUNTS,
}
STEP = Table(
    "step",
    {
        **_CONTAINER,
        "name": TEXT,
        "displayName": TEXT,
        "script": TEXT,
        "timeout": DURATION,
        "onError": TEXT,
        "results": ListOf(STEP_RESULT),
        "when": ListOf(WHEN),
        "workspaces": ListOf(
            Table("step workspace", {"name": TEXT, "mountPath": MOUNTS}, ("name",))
        ),
        "ref": Refused("StepActions are not resolved here; write the step out"),
        "params": Refused("StepActions are not resolved here; write the step out"),
        "stdoutConfig": Refused("a step's output goes to its log; redirect it in the step"),
        "stderrConfig": Refused("a step's output goes to its log; redirect it in the step"),
    },
)
STEP_TEMPLATE = Table("stepTemplate", dict(_CONTAINER))
TASK_SPEC = Table(
    "Task spec",
    {
        "description": TEXT,
        "displayName": TEXT,
        "params": ListOf(PARAM_SPEC),
        "results": ListOf(
            Table("result", {**STEP_RESULT.fields, "value": VALUE}, ("name",)),
        ),
        "steps": ListOf(STEP),
        "stepTemplate": STEP_TEMPLATE,
        "workspaces": ListOf(
            Table(
                "workspace",
                {
                    "name": TEXT,
                    "description": TEXT,
                    "mountPath": MOUNTS,
                    "optional": FLAG,
                    "readOnly": FLAG,
                },
                ("name",),
            )
        ),
        "sidecars": SIDECARS,
        "volumes": MOUNTS,
    },
    ("steps",),
)
EMBEDDED_TASK = Table(
    "taskSpec",
    {
        **TASK_SPEC.fields,
        "metadata": METADATA,
        "apiVersion": Refused("custom tasks need their own controller"),
        "kind": Refused("custom tasks need their own controller"),
        "spec": Refused("custom tasks need their own controller"),
    },
    ("steps",),
)
TASK_REF = Table(
    "taskRef",
    {
        "name": TEXT,
        "kind": TEXT,
        "apiVersion": TEXT,
        "resolver": TEXT,
        "params": ListOf(PARAM),
        "bundle": Refused("v1 has no such field any more; use resolver: bundles"),
    },
)
PIPELINE_TASK = Table(
    "pipeline task",
    {
        "name": TEXT,
        "displayName": TEXT,
        "description": TEXT,
        "taskRef": TASK_REF,
        "taskSpec": EMBEDDED_TASK,
        "params": ListOf(PARAM),
        "runAfter": TEXTS,
        "retries": NUMBER,
        "timeout": DURATION,
        "onError": Choice(("continue", "stopAndFail")),
        "when": ListOf(WHEN),
        "workspaces": ListOf(
            Table("workspace", {"name": TEXT, "workspace": TEXT, "subPath": TEXT}, ("name",))
        ),
        "matrix": Table(
            "matrix",
            {
                "params": ListOf(PARAM),
                "include": ListOf(Table("include", {"name": TEXT, "params": ListOf(PARAM)})),
            },
        ),
    },
    ("name",),
)
PIPELINE_REF = Table(
    "pipelineRef",
    {
        "name": TEXT,
        "apiVersion": Choice(("tekton.dev/v1",)),
        "resolver": TEXT,
        "params": ListOf(PARAM),
        "bundle": Refused("v1 has no such field any more; use resolver: bundles"),
    },
)
PIPELINE_SPEC = Table(
    "Pipeline spec",
    {
        "description": TEXT,
        "displayName": TEXT,
        "params": ListOf(PARAM_SPEC),
        "workspaces": ListOf(
            Table("workspace", {"name": TEXT, "description": TEXT, "optional": FLAG}, ("name",))
        ),
        "tasks": ListOf(PIPELINE_TASK),
        "finally": ListOf(PIPELINE_TASK),
        "results": ListOf(
            Table(
                "result",
                {"name": TEXT, "type": TYPES, "description": TEXT, "value": VALUE},
                ("name", "value"),
            )
        ),
    },
    ("tasks",),
)
_ITEMS = ListOf(Table("item", {"key": TEXT, "path": TEXT, "mode": INERT}, ("key", "path")))
BINDING = Table(
    "workspace binding",
    {
        "name": TEXT,
        "subPath": TEXT,
        "emptyDir": Table("emptyDir", {"medium": INERT, "sizeLimit": INERT}),
        "volumeClaimTemplate": ANY,
        "persistentVolumeClaim": Table(
            "persistentVolumeClaim", {"claimName": TEXT, "readOnly": FLAG}, ("claimName",)
        ),
        "secret": Table(
            "secret",
            {"secretName": TEXT, "items": _ITEMS, "optional": FLAG, "defaultMode": INERT},
            ("secretName",),
        ),
        "configMap": Table(
            "configMap",
            {"name": TEXT, "items": _ITEMS, "optional": FLAG, "defaultMode": INERT},
            ("name",),
        ),
        "projected": Refused("bind a secret or a configMap of its own"),
        "csi": Refused("there is no storage driver on this machine"),
    },
    ("name",),
)
TASK_RUN_TEMPLATE = Table("taskRunTemplate", {"serviceAccountName": INERT, "podTemplate": INERT})
# A pipeline inside a pipeline has the same shape at any depth.
PIPELINE_TASK.fields.update(pipelineRef=PIPELINE_REF, pipelineSpec=PIPELINE_SPEC)
PIPELINE_RUN_SPEC = Table(
    "PipelineRun spec",
    {
        "pipelineRef": PIPELINE_REF,
        "pipelineSpec": PIPELINE_SPEC,
        "params": ListOf(PARAM),
        "workspaces": ListOf(BINDING),
        "timeouts": Table(
            "timeouts", {"pipeline": DURATION, "tasks": DURATION, "finally": DURATION}
        ),
        "taskRunTemplate": TASK_RUN_TEMPLATE,
        "taskRunSpecs": ListOf(
            Table(
                "taskRunSpec",
                {
                    "pipelineTaskName": TEXT,
                    "timeout": DURATION,
                    "serviceAccountName": INERT,
                    "podTemplate": INERT,
                    "computeResources": INERT,
                    "metadata": INERT,
                    "stepSpecs": INERT,
                    "sidecarSpecs": INERT,
                },
                ("pipelineTaskName",),
            )
        ),
        "status": Choice(
            ("Cancelled", "CancelledRunFinally", "StoppedRunFinally", "PipelineRunPending", "")
        ),
        "managedBy": Refused("the embedded engine is the only controller"),
    },
)
TASK_RUN_SPEC = Table(
    "TaskRun spec",
    {
        "taskRef": TASK_REF,
        "taskSpec": EMBEDDED_TASK,
        "params": ListOf(PARAM),
        "workspaces": ListOf(BINDING),
        "timeout": DURATION,
        "retries": NUMBER,
        "serviceAccountName": INERT,
        "podTemplate": INERT,
        "computeResources": INERT,
        "stepSpecs": INERT,
        "sidecarSpecs": INERT,
        "debug": Refused("breakpoints need a Pod to open a shell in"),
        "status": Choice(("TaskRunCancelled", "")),
        "statusMessage": TEXT,
        "managedBy": Refused("the embedded engine is the only controller"),
    },
)


def _kind(name: str, spec: Table) -> Table:
    fields: dict[str, Shape] = {
        "apiVersion": Choice(("tekton.dev/v1",)),
        "kind": TEXT,
        "metadata": METADATA,
        "spec": spec,
    }
    if name.endswith("Run"):
        fields["status"] = INERT
    return Table(name, fields, ("apiVersion", "metadata", "spec"))


KINDS: dict[str, Table] = {
    "Task": _kind("Task", TASK_SPEC),
    "Pipeline": _kind("Pipeline", PIPELINE_SPEC),
    "PipelineRun": _kind("PipelineRun", PIPELINE_RUN_SPEC),
    "TaskRun": _kind("TaskRun", TASK_RUN_SPEC),
}
