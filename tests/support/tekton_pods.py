"""Which Pods does an installation lead to? As Tekton makes them, with none of its flags set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Object = dict[str, Any]


def of_kind(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    """The objects of that kind, by name."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def runs(objects: Sequence[Object]) -> dict[str, Object]:
    """What TriggerTemplates create, by the template's name."""
    return {
        name: template["spec"]["resourcetemplates"][0]
        for name, template in of_kind(objects, "TriggerTemplate").items()
    }


def pods(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Every Pod: of each TaskRun, of what holds a run on one node, and of each Deployment."""
    tasks = of_kind(objects, "Task")
    pipelines = of_kind(objects, "Pipeline")
    for template, run in runs(objects).items():
        spec = run["spec"]
        if run["kind"] == "TaskRun":
            own = {"template": spec.get("podTemplate"), "account": spec["serviceAccountName"]}
            bound = {place["name"]: place for place in spec.get("workspaces", [])}
            labels = run["metadata"]["labels"]
            yield template, _pod(tasks[spec["taskRef"]["name"]], bound, labels=labels, **own)
            continue
        pipeline = pipelines[spec["pipelineRef"]["name"]]
        given = {place["name"]: place for place in spec["workspaces"]}
        for entry in [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]:
            bound = {
                place["name"]: given[place["workspace"]]
                for place in entry["workspaces"]
                if place["workspace"] in given
            }
            labels = {
                **run["metadata"]["labels"],
                "tekton.dev/pipeline": spec["pipelineRef"]["name"],
                "tekton.dev/pipelineRun": f"{template}-run",
                "tekton.dev/pipelineTask": entry["name"],
            }
            pod = _pod(
                tasks[entry["taskRef"]["name"]], bound, labels=labels, **_own(spec, entry["name"])
            )
            yield f"{template}/{entry['name']}", pod
        yield f"{template} placeholder", _placeholder(spec)
    for name, item in of_kind(objects, "Deployment").items():
        yield (
            name,
            {
                "metadata": item["spec"]["template"]["metadata"],
                "spec": item["spec"]["template"]["spec"],
            },
        )


def _own(spec: Object, task: str) -> Object:
    template = spec["taskRunTemplate"]
    found = {"template": template["podTemplate"], "account": template["serviceAccountName"]}
    for one in spec["taskRunSpecs"]:
        if one["pipelineTaskName"] == task:
            found["template"] = {**found["template"], **one.get("podTemplate", {})}
            found["account"] = one.get("serviceAccountName", found["account"])
    return found


def _pod(task: Object, bound: Object, *, labels: Object, template: Object, account: str) -> Object:
    spec, common = task["spec"], task["spec"].get("stepTemplate", {})
    steps = []
    for step in spec["steps"]:
        context = {**common.get("securityContext", {}), **step.get("securityContext", {})}
        steps.append({**step, "name": f"step-{step['name']}", "securityContext": context})
    sidecars = [{**item, "name": f"sidecar-{item['name']}"} for item in spec.get("sidecars", [])]
    containers = [
        {
            **{key: value for key, value in container.items() if key != "computeResources"},
            "resources": container.get("computeResources", {}),
        }
        for container in [*steps, *sidecars]
    ]
    sources = [
        {key: value for key, value in place.items() if key != "name"} for place in bound.values()
    ]
    return {
        "metadata": {
            "labels": {**labels, "tekton.dev/task": task["metadata"]["name"]},
            "ownerReferences": [{"kind": "TaskRun", "controller": True}],
        },
        "spec": {
            **(template or {}),
            "serviceAccountName": account,
            "initContainers": [{"name": name} for name in ("prepare", "working-dir-initializer")],
            "containers": containers,
            "volumes": [*spec.get("volumes", []), *(_volume(source) for source in sources)],
        },
    }


def _volume(source: Object) -> Object:
    if "volumeClaimTemplate" in source:
        return {"persistentVolumeClaim": {"claimName": "of the run"}}
    return source


def _placeholder(spec: Object) -> Object:
    """The affinity assistant, which keeps the Pods of a run where its volume is."""
    template = spec["taskRunTemplate"]
    return {
        "metadata": {
            "labels": {"app.kubernetes.io/component": "affinity-assistant"},
            "ownerReferences": [{"kind": "StatefulSet", "controller": True}],
        },
        "spec": {
            "securityContext": template["podTemplate"]["securityContext"],
            "serviceAccountName": template["serviceAccountName"],
            "containers": [
                {
                    "name": "affinity-assistant",
                    "args": ["tekton_run_indefinitely"],
                    "securityContext": {},
                    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "100Mi"}},
                }
            ],
            "volumes": [{"persistentVolumeClaim": {"claimName": "of the run"}}],
        },
    }
