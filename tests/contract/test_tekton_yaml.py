"""The YAML under tekton/ and argocd/ is what a cluster gets, so the cluster's schemas judge it."""

import json
from pathlib import Path

import pytest
import yaml
from published_schemas import check, needs_schemas, schemas

from trust_gates import GATES

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("tekton/**/*.yaml"), *ROOT.glob("argocd/**/*.yaml")])
UNPUBLISHED = {
    *("cert-manager.io/v1", "gateway.envoyproxy.io/v1alpha1", "monitoring.coreos.com/v1"),
    "route.openshift.io/v1",
}
"""Asked for by an overlay of their users alone, and not among the CRDs at hand."""
TASKS = sorted({*ROOT.glob("tekton/tasks/*.yaml")} - {ROOT / "tekton/tasks/kustomization.yaml"})


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


@needs_schemas
@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_document_is_accepted_by_the_published_schema(file):
    for document in documents(file):
        if "kind" not in document:  # kustomize's own words, beside a kustomization
            continue
        kind = document["apiVersion"], document["kind"]
        if kind in schemas():
            check(document)
        elif kind[0] not in UNPUBLISHED:  # core Kubernetes kinds have no CRD
            group = kind[0].split("/")[0]
            assert "." not in group or group.endswith("k8s.io"), kind


@pytest.mark.parametrize("file", TASKS, ids=lambda path: path.stem)
def test_steps_are_command_and_args_and_run_as_non_root(file):
    (task,) = documents(file)
    spec = task["spec"]
    for step in spec["steps"]:
        assert "script" not in step
        assert step["command"]
        context = step.get("securityContext", spec.get("stepTemplate", {}).get("securityContext"))
        assert context["allowPrivilegeEscalation"] is False
        if step["command"] != ["/kaniko/executor"]:
            assert context["runAsNonRoot"] is True
        image = step["image"].rsplit("/", 1)[-1]
        assert ":" in image
        assert not image.endswith(":latest")


@pytest.mark.parametrize("file", TASKS, ids=lambda path: path.stem)
def test_no_step_takes_a_secret_into_the_environment_that_a_param_could_name(file):
    (task,) = documents(file)
    containers = [*task["spec"]["steps"], *task["spec"].get("sidecars", [])]
    for container in (*containers, task["spec"].get("stepTemplate", {})):
        sources = [item.get("valueFrom", {}) for item in container.get("env", [])]
        assert not any("secretKeyRef" in source for source in sources)
        assert not any("secretRef" in source for source in container.get("envFrom", []))


@pytest.mark.parametrize("file", TASKS, ids=lambda path: path.stem)
def test_everything_a_task_takes_or_gives_is_described(file):
    (task,) = documents(file)
    assert task["metadata"]["name"] == file.stem
    assert task["spec"]["description"]
    for kind in ("params", "workspaces", "results"):
        for item in task["spec"].get(kind, []):
            assert item["description"], item["name"]


@pytest.mark.parametrize("file", TASKS, ids=lambda path: path.stem)
def test_every_param_a_task_declares_is_used(file):
    (task,) = documents(file)
    steps = json.dumps(task["spec"]["steps"])
    for param in task["spec"].get("params", []):
        assert f"$(params.{param['name']}" in steps
    for result in task["spec"].get("results", []):
        assert f"$(results.{result['name']}.path)" in steps


def test_the_pipeline_gives_every_task_the_params_it_needs_and_no_other():
    (pipeline,) = documents(ROOT / "tekton/pipelines/model.yaml")
    tasks = {task["metadata"]["name"]: task["spec"] for file in TASKS for task in documents(file)}
    for entry in [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]:
        spec = tasks[entry["taskRef"]["name"]]
        given = {param["name"] for param in entry.get("params", [])}
        declared = {param["name"] for param in spec.get("params", [])}
        required = {param["name"] for param in spec.get("params", []) if "default" not in param}
        assert required <= given <= declared, entry["name"]
        assert {w["name"] for w in entry["workspaces"]} == {w["name"] for w in spec["workspaces"]}


@pytest.mark.parametrize(
    ("place", "task", "kinds"),
    [
        ("checkpoints", "train", {"volumeClaimTemplate"}),  # a volume of the run
        ("build-context", "build-image", {"emptyDir"}),  # one of the Pod
    ],
)
def test_a_place_whose_content_no_digest_names_is_one_tasks_alone(place, task, kinds):
    (pipeline,) = documents(ROOT / "tekton/pipelines/model.yaml")
    entries = [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]
    bound = {
        entry["name"]
        for entry in entries
        for workspace in entry["workspaces"]
        if workspace["workspace"] == place
    }
    assert bound == {task}
    found = []
    started = (ROOT / "tekton" / folder for folder in ("triggers", "sources"))
    for file in (file for folder in started for file in folder.glob("*.yaml")):
        for template in documents(file):
            for resource in template.get("spec", {}).get("resourcetemplates", []):
                if resource["spec"].get("pipelineRef", {}).get("name") == "model":
                    (one,) = [w for w in resource["spec"]["workspaces"] if w["name"] == place]
                    found.append(one.keys() - {"name"})
    assert found == [kinds] * 3  # a push, a pull request, a remedy


def test_no_step_is_told_a_path_of_the_store_but_the_store_itself():
    for file in TASKS:
        for step in documents(file)[0]["spec"]["steps"]:
            for word in step["args"]:
                if "workspaces.artifacts.path" in word:
                    assert word == "--store=$(workspaces.artifacts.path)", file.name


def test_the_pipeline_asks_every_gate_once_and_the_verdict_hears_them_all():
    (pipeline,) = documents(ROOT / "tekton/pipelines/model.yaml")
    tasks = {task["name"]: task for task in pipeline["spec"]["tasks"]}
    asked = [
        param["value"]
        for task in tasks.values()
        for param in task["params"]
        if task["taskRef"]["name"] == "gate" and param["name"] == "gate"
    ]
    assert asked == list(GATES)
    (heard,) = [p["value"] for p in tasks["verdict"]["params"] if p["name"] == "evidence"]
    assert heard == [
        f"{gate}=$(tasks.gate-{gate}.results.outcome)=$(tasks.gate-{gate}.results.evidence)"
        for gate in GATES
    ]


def test_a_gate_can_be_asked_alone():
    (task,) = documents(ROOT / "tekton/tasks/gate.yaml")
    required = [param["name"] for param in task["spec"]["params"] if "default" not in param]
    assert required == ["gate", "reads", "dataset", "model"]
    assert task["metadata"]["annotations"]["touchstone.dev/cache"] == "results"


@needs_schemas
def test_a_rule_of_a_published_schema_refuses_what_its_types_allow():
    (route, _) = documents(ROOT / "tekton/components/gateway/route.yaml")
    route["spec"]["rules"][0]["matches"][0]["path"]["value"] = "no slash"
    with pytest.raises(AssertionError, match="start with '/'"):
        check(route)
