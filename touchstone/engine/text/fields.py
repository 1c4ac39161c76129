"""Which fields Tekton's objects have, of what shape, and which of them the engine honours.

A shape is a leaf, a list, a map or a table of fields. `Inert` fields are accepted and said to have
no effect; `Refused` fields are known to Tekton but cannot be honoured by local processes.
"""

from __future__ import annotations

from dataclasses import replace

from touchstone.documents.shapes import (
    ANY,
    FLAG,
    NUMBER,
    TEXT,
    TEXTS,
    VALUE,
    Choice,
    Core,
    Inert,
    Leaf,
    ListOf,
    MapOf,
    Open,
    Refused,
    Shape,
    Table,
)
from touchstone.engine.language import durations
from touchstone.engine.text.fields_pod import (
    FIELD_REF,
    METADATA,
    OBJECT_KINDS,
    POD_TEMPLATE,
    PROBE,
    SECURITY_CONTEXT,
    VOLUME,
    VOLUME_MOUNT,
    VOLUME_SOURCES,
    part,
)

DEVICES = Refused("there is no storage driver on this machine", ListOf(Core("VolumeDevice")))
RESOURCES = Inert(Core("ResourceRequirements"))


def _duration(text: str) -> str:
    if text.startswith("-"):
        return f"got {text!r}, expected 0 or more"
    if "$(" in text:
        return f"got {text!r}, expected a duration: no reference is replaced in one"
    try:
        durations.seconds(text)
    except ValueError as error:
        return str(error)
    return ""


DURATION = Leaf("duration", (str,), _duration)
TYPES = Choice(("string", "array", "object"))

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
KEY_REF = part("key reference", "SecretKeySelector", ("name", "key"))
ENV = part(
    "environment variable",
    "EnvVar",
    ("name",),
    valueFrom=part(
        "valueFrom",
        "EnvVarSource",
        refused={
            "resourceFieldRef": "there is no container with resource limits",
            "fileKeyRef": "use a secretKeyRef or configMapKeyRef",
        },
        secretKeyRef=KEY_REF,
        configMapKeyRef=KEY_REF,
        fieldRef=FIELD_REF,
    ),
)
ENV_FROM = part(
    "envFrom",
    "EnvFromSource",
    configMapRef=part("configMapRef", "ConfigMapEnvSource", ("name",)),
    secretRef=part("secretRef", "SecretEnvSource", ("name",)),
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
    "imagePullPolicy": Inert(TEXT),
    "computeResources": RESOURCES,
    "securityContext": SECURITY_CONTEXT,
    "volumeMounts": ListOf(VOLUME_MOUNT),
    "volumeDevices": DEVICES,
}
_USED_WORKSPACES = ListOf(Table("step workspace", {"name": TEXT, "mountPath": TEXT}, ("name",)))
OUTPUT = Table("output", {"path": TEXT})
SIDECAR = Table(
    "sidecar",
    {
        **_CONTAINER,
        "name": TEXT,
        "script": TEXT,
        "workspaces": _USED_WORKSPACES,
        "readinessProbe": PROBE,
        "startupProbe": PROBE,
        "livenessProbe": Inert(Core("Probe")),
        "lifecycle": Refused(
            "start and end the process in the sidecar's own script", Core("Lifecycle")
        ),
        "restartPolicy": Inert(TEXT),
        "ports": Inert(ListOf(Core("ContainerPort"))),
        "terminationMessagePath": Inert(TEXT),
        "terminationMessagePolicy": Inert(TEXT),
        "stdin": Inert(FLAG),
        "stdinOnce": Inert(FLAG),
        "tty": Inert(FLAG),
    },
)
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
        "workspaces": _USED_WORKSPACES,
        "ref": Table(
            "StepAction reference", {"name": TEXT, "resolver": TEXT, "params": ListOf(PARAM)}
        ),
        "params": ListOf(PARAM),
        "stdoutConfig": OUTPUT,
        "stderrConfig": OUTPUT,
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
                    "mountPath": TEXT,
                    "optional": FLAG,
                    "readOnly": FLAG,
                },
                ("name",),
            )
        ),
        "sidecars": ListOf(SIDECAR),
        "volumes": Open(ListOf(VOLUME)),
    },
    ("steps",),
)
CUSTOM = "custom tasks need their own controller"
LABELED = Table("metadata", {"labels": MapOf(TEXT), "annotations": MapOf(TEXT)})
EMBEDDED_TASK = Table(
    "taskSpec",
    {
        **TASK_SPEC.fields,
        "metadata": LABELED,
        "apiVersion": Refused(CUSTOM, TEXT),
        "kind": Refused(CUSTOM, TEXT),
        "spec": Refused(CUSTOM, ANY),
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
    },
)
PIPELINE_TASK = Table(
    "pipeline task",
    {
        "name": TEXT,
        "displayName": TEXT,
        "description": TEXT,
        "taskRef": TASK_REF,
        "taskSpec": Open(EMBEDDED_TASK),
        "params": ListOf(PARAM),
        "runAfter": TEXTS,
        "retries": NUMBER,
        "timeout": DURATION,
        "onError": TEXT,
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
    },
)
PIPELINE_SPEC = Table(
    "Pipeline spec",
    {
        "description": TEXT,
        "displayName": TEXT,
        "params": ListOf(PARAM_SPEC),
        "workspaces": ListOf(
            Table(
                "workspace",
                {"name": TEXT, "description": TEXT, "optional": FLAG},
                ("name",),
                strict=True,
            )
        ),
        "tasks": ListOf(PIPELINE_TASK),
        "finally": ListOf(PIPELINE_TASK),
        "results": ListOf(
            Table(
                "result",
                {"name": TEXT, "type": TEXT, "description": TEXT, "value": VALUE},
                ("name", "value"),
            )
        ),
    },
)
BINDING = Table(
    "workspace binding",
    {
        "name": TEXT,
        "subPath": TEXT,
        "volumeClaimTemplate": Open(Core("PersistentVolumeClaim")),
        **{
            name: replace(source, strict=True) if isinstance(source, Table) else source
            for name, source in VOLUME_SOURCES.items()
        },
    },
    ("name",),
)
TASK_RUN_TEMPLATE = Table(
    "taskRunTemplate", {"serviceAccountName": TEXT, "podTemplate": POD_TEMPLATE}
)
SPECS = Inert(ListOf(Table("spec", {"name": TEXT, "computeResources": RESOURCES})))
# A pipeline inside a pipeline has the same shape at any depth.
PIPELINE_TASK.fields.update(pipelineRef=PIPELINE_REF, pipelineSpec=Open(PIPELINE_SPEC))
PIPELINE_RUN_SPEC = Table(
    "PipelineRun spec",
    {
        "pipelineRef": PIPELINE_REF,
        "pipelineSpec": Open(PIPELINE_SPEC),
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
                    "serviceAccountName": TEXT,
                    "podTemplate": POD_TEMPLATE,
                    "computeResources": RESOURCES,
                    "metadata": Inert(LABELED),
                    "stepSpecs": SPECS,
                    "sidecarSpecs": SPECS,
                },
                ("pipelineTaskName",),
            )
        ),
        "status": Choice(
            ("Cancelled", "CancelledRunFinally", "StoppedRunFinally", "PipelineRunPending", "")
        ),
        "managedBy": Refused("the embedded engine is the only controller", TEXT),
    },
)
TASK_RUN_SPEC = Table(
    "TaskRun spec",
    {
        "taskRef": TASK_REF,
        "taskSpec": Open(EMBEDDED_TASK),
        "params": ListOf(PARAM),
        "workspaces": ListOf(BINDING),
        "timeout": DURATION,
        "retries": NUMBER,
        "serviceAccountName": TEXT,
        "podTemplate": POD_TEMPLATE,
        "computeResources": RESOURCES,
        "stepSpecs": SPECS,
        "sidecarSpecs": SPECS,
        "debug": Table(
            "debug",
            {
                "breakpoints": Table(
                    "breakpoints", {"onFailure": Choice(("enabled",)), "beforeSteps": TEXTS}
                )
            },
        ),
        "status": Choice(("TaskRunCancelled", "TaskRunPending", "")),
        "statusMessage": TEXT,
        "managedBy": Refused("the embedded engine is the only controller", TEXT),
    },
)


STEP_ACTION_SPEC = Table(
    "StepAction spec",
    {
        **{key: _CONTAINER[key] for key in ("image", "command", "args", "env", "workingDir")},
        "description": TEXT,
        "script": TEXT,
        "params": ListOf(PARAM_SPEC),
        "results": ListOf(STEP_RESULT),
        "securityContext": SECURITY_CONTEXT,
        "volumeMounts": ListOf(VOLUME_MOUNT),
    },
)


def _kind(name: str, spec: Table, *versions: str) -> Table:
    fields: dict[str, Shape] = {
        "apiVersion": Choice(tuple(f"tekton.dev/{version}" for version in versions or ("v1",))),
        "kind": TEXT,
        "metadata": METADATA,
        "spec": spec,
    }
    if name.endswith("Run"):
        fields["status"] = Inert(MapOf(ANY))
    return Table(name, fields, ("apiVersion", "metadata", "spec"))


KINDS: dict[str, Table] = {
    "Task": _kind("Task", TASK_SPEC),
    "Pipeline": _kind("Pipeline", PIPELINE_SPEC),
    "PipelineRun": _kind("PipelineRun", PIPELINE_RUN_SPEC),
    "TaskRun": _kind("TaskRun", TASK_RUN_SPEC),
    "StepAction": _kind("StepAction", STEP_ACTION_SPEC, "v1beta1", "v1alpha1"),
    **OBJECT_KINDS,
}
