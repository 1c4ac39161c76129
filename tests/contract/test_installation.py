"""What does each overlay of tekton/ install? Judged as kustomize builds and Tekton runs it."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from kubectl import built
from pod_security import containers, refused, violations
from published_schemas import check, needs_schemas, schemas
from tekton_pods import of_kind, pods, runs

ROOT = Path(__file__).parents[2]
TEKTON = ROOT / "tekton"
OVERLAYS = ["minimal", "s3", "gpu", "openshift", "multi-tenant"]
STORED = ["model", "model-check", "remedy"]
"""The TriggerTemplates whose runs use the store."""

CLUSTER_WIDE = {
    *("ClusterRole", "ClusterRoleBinding", "Namespace"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
}
REQUESTS = {
    ("triggers.tekton.dev", "triggertemplates", ("model", "model-check"), ("get",)),
    ("tekton.dev", "pipelineruns", (), ("create", "get", "list", "patch")),
}
TRIGGERS = {
    *(
        ("triggers.tekton.dev", kind, (), ("get", "list", "watch"))
        for kind in (
            *("eventlisteners", "interceptors", "triggerbindings", "triggers", "triggertemplates"),
            *("clusterinterceptors", "clustertriggerbindings"),
        )
    ),
    ("tekton.dev", "pipelineruns", (), ("create",)),
    ("tekton.dev", "taskruns", (), ("create",)),
}
RECORDER = {
    ("tekton.dev", "pipelineruns", (), ("get", "list", "watch")),
    ("tekton.dev", "taskruns", (), ("get", "list", "watch")),
    ("", "pods", (), ("get", "list", "watch")),
    ("", "pods/log", (), ("get",)),
}
RIGHTS = {
    "touchstone-requests": REQUESTS,
    "touchstone-triggers": TRIGGERS,
    "touchstone-recorder": RECORDER,
}
"""(group, resource, names, verbs) of everything that an account may ask of the Kubernetes API."""

ADDED = {"prepare", "place-scripts", "working-dir-initializer", "affinity-assistant"}
"""Containers of Tekton's own, which say nothing of privileges and capabilities."""


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return built(TEKTON / "overlays" / request.param)


def policy(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = of_kind(objects, "ValidatingAdmissionPolicy").values()
    return found


def test_every_folder_with_a_kustomization_belongs_to_an_overlay_or_is_a_component():
    for file in TEKTON.rglob("kustomization.yaml"):
        kind = yaml.safe_load(file.read_text())["kind"]
        place = file.parent.relative_to(TEKTON).parts[:1]
        assert (kind == "Component") is (place == ("components",)), file
    assert {path.name for path in (TEKTON / "overlays").iterdir()} == set(OVERLAYS)


def test_an_object_is_installed_once_in_the_namespace_of_its_installation(overlay):
    (namespace,) = of_kind(overlay, "Namespace")
    names = Counter((item["kind"], item["metadata"]["name"]) for item in overlay)
    assert names.most_common(1)[0][1] == 1
    for item in overlay:
        own = item["metadata"].get("namespace")
        if item["kind"] in CLUSTER_WIDE:  # kustomize names it for those that it does not know
            assert own in {None, namespace}
        else:
            assert own == namespace, item["metadata"]["name"]
        for subject in item.get("subjects", []):
            assert subject["namespace"] == namespace


@needs_schemas
def test_every_object_and_every_run_is_accepted_by_the_published_schema(overlay):
    for item in [*overlay, *runs(overlay).values()]:
        if (item["apiVersion"], item["kind"]) in schemas():
            check(item)


def test_nothing_but_policies_of_the_cluster_is_shared_by_two_teams():
    first = built(TEKTON / "overlays" / "multi-tenant" / "example")
    (namespace,) = of_kind(first, "Namespace")
    assert not {item["kind"] for item in first} & {
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole")
    }
    (binding,) = of_kind(first, "ClusterRoleBinding")
    assert binding.endswith(namespace)  # the next team's has another name


def test_every_account_may_do_exactly_this(overlay):
    roles = {**of_kind(overlay, "Role"), **of_kind(overlay, "ClusterRole")}
    rights: dict[str, set[Any]] = {}
    for binding in [item for item in overlay if item["kind"].endswith("RoleBinding")]:
        name = binding["roleRef"]["name"]
        if name.startswith("system:openshift:scc:"):  # which user a Pod may be, no right of its own
            continue
        if binding["roleRef"]["kind"] == "Role":
            rules = of_kind(overlay, "Role")[name]["rules"]
        else:
            rules = of_kind(overlay, "ClusterRole")[name]["rules"]
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            assert subject["name"] in of_kind(overlay, "ServiceAccount")
            rights.setdefault(subject["name"], set()).update(
                (
                    group,
                    resource,
                    tuple(rule.get("resourceNames", ())),
                    tuple(sorted(rule["verbs"])),
                )
                for rule in rules
                for group in rule["apiGroups"]
                for resource in rule["resources"]
            )
    assert rights == RIGHTS
    assert not any("*" in str(role["rules"]) for role in roles.values())


def test_every_pod_is_admitted_and_restricted_but_for_the_builder(overlay):
    seen = dict(pods(overlay))
    assert len(seen) > 50
    for name, pod in seen.items():
        assert refused(policy(overlay), pod) == [], name
        for container, rule in violations(pod):
            if name.endswith("/build-image") and container == "step-build":
                assert rule in {"root", "capabilities"}
            else:
                assert container in ADDED and rule in {"privileges", "capabilities"}, (name, rule)


def _pod(**changes: Any) -> dict[str, Any]:
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "metadata": {},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {**context, **changes}}],
        },
    }


OF_A_TASKRUN = {"ownerReferences": [{"kind": "TaskRun", "controller": True}]}
BUILDER = {**OF_A_TASKRUN, "labels": {"tekton.dev/task": "build-image"}}


def _builder(**changes: Any) -> dict[str, Any]:
    pod = _pod(runAsUser=0, runAsNonRoot=False)
    pod["metadata"] = BUILDER
    pod["spec"]["serviceAccountName"] = "touchstone-builder"
    pod["spec"]["containers"][0] |= {"name": "step-build", **changes}
    return pod


def _with_first(name: str, metadata: dict[str, Any], **context: Any) -> dict[str, Any]:
    pod = _pod()
    pod["metadata"] = metadata
    first = {"name": name, **({"securityContext": context} if context else {})}
    pod["spec"]["initContainers"] = [first]
    return pod


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (_pod(), ""),
        (_pod(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}), ""),
        (_pod(allowPrivilegeEscalation=True), "gain privileges (c)"),
        (_pod(capabilities={"drop": ["NET_RAW"]}), "keep capabilities (c)"),
        (_pod(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}), "keep capabilities (c)"),
        (_pod(runAsNonRoot=False), "run as root (c)"),
        (_pod(runAsUser=0), "run as root (c)"),
        (_pod(seccompProfile={"type": "Unconfined"}), "seccomp profile (c)"),
        ({"metadata": {}, "spec": {"containers": [{"name": "c"}]}}, "run as root (c)"),
        (_with_first("prepare", OF_A_TASKRUN), ""),
        (_with_first("prepare", {}), "gain privileges (prepare)"),
        (_with_first("mine", OF_A_TASKRUN), "gain privileges (mine)"),
        (
            _with_first("prepare", OF_A_TASKRUN, allowPrivilegeEscalation=True),
            "privileges (prepare)",
        ),
        (_with_first("prepare", OF_A_TASKRUN, runAsUser=0), "root (prepare)"),
        (_with_first("prepare", OF_A_TASKRUN, capabilities={"add": ["SYS_ADMIN"]}), "(prepare)"),
        (_builder(), ""),
        (_builder(name="step-other"), "run as root (step-other)"),
        (_builder(securityContext={"seccompProfile": {"type": "Unconfined"}}), "seccomp"),
        ({**_builder(), "metadata": OF_A_TASKRUN}, "run as root (step-build)"),
    ],
)
def test_the_policy_lets_off_the_builder_and_what_tekton_adds_and_nobody_else(pod, said):
    found = refused(policy(built(TEKTON / "overlays" / "minimal")), pod)
    assert any(said in text for text in found) if said else found == []


def test_the_policy_refuses_whatever_restricted_refuses():
    volume = _pod()
    volume["spec"]["volumes"] = [{"name": "v", "hostPath": {"path": "/"}}]
    (said,) = refused(policy(built(TEKTON / "overlays" / "minimal")), volume)
    assert "a volume of a kind" in said
    late = _pod()
    late["spec"]["ephemeralContainers"] = [{"name": "debug", "securityContext": {"runAsUser": 0}}]
    assert refused(policy(built(TEKTON / "overlays" / "minimal")), late)


def test_the_namespace_is_held_to_baseline_by_kubernetes_and_to_restricted_by_the_policy(overlay):
    (namespace,) = of_kind(overlay, "Namespace").values()
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    (binding,) = of_kind(overlay, "ValidatingAdmissionPolicyBinding").values()
    selector = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
    assert selector.items() <= labels.items()
    assert binding["spec"]["validationActions"] == ["Deny"]
    assert policy(overlay)["spec"]["failurePolicy"] == "Fail"


def test_a_token_is_mounted_where_the_api_is_asked_and_nowhere_else(overlay):
    accounts = of_kind(overlay, "ServiceAccount")
    for name, pod in pods(overlay):
        account = accounts[pod["spec"]["serviceAccountName"]]
        own = pod["spec"].get("automountServiceAccountToken")
        mounted = account.get("automountServiceAccountToken", True) if own is None else own
        assert mounted is (account["metadata"]["name"] in RIGHTS), name


def test_every_container_asks_for_what_it_needs_and_is_limited(overlay):
    limits = of_kind(overlay, "LimitRange")["touchstone"]["spec"]["limits"]
    (given,) = [item for item in limits if item["type"] == "Container"]
    assert given["defaultRequest"].keys() == {"cpu", "memory"} and "memory" in given["default"]
    for name, pod in pods(overlay):
        for container in containers(pod):
            if container["name"] not in ADDED:
                resources = container.get("resources", {})
                assert resources.get("requests", {}).keys() >= {"cpu", "memory"}, name
                assert "memory" in resources.get("limits", {}), name


def test_a_volume_that_nobody_wrote_to_belongs_to_the_stages(overlay):
    for name, pod in pods(overlay):
        if any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", [])):
            assert pod["spec"]["securityContext"]["fsGroup"] == 65532, name


def test_the_minimal_overlay_has_one_volume_that_one_node_mounts_and_a_task_no_second():
    objects = built(TEKTON / "overlays" / "minimal")
    (claim,) = of_kind(objects, "PersistentVolumeClaim").values()
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    claims = {claim["metadata"]["name"]}
    for name in STORED:
        bound = runs(objects)[name]["spec"]["workspaces"]
        assert not any("volumeClaimTemplate" in place for place in bound)
        assert {
            p["persistentVolumeClaim"]["claimName"] for p in bound if "persistentVolumeClaim" in p
        } == claims


@pytest.mark.parametrize("name", ["s3", "gpu", "openshift", "multi-tenant"])
def test_an_object_store_is_named_by_a_secret_and_leaves_the_one_volume_to_checkpoints(name):
    objects = built(TEKTON / "overlays" / name)
    assert not of_kind(objects, "PersistentVolumeClaim")
    for template in STORED:
        bound = {place["name"]: place for place in runs(objects)[template]["spec"]["workspaces"]}
        assert bound["artifacts"]["secret"] == {"secretName": "touchstone-store"}
        assert "volumeClaimTemplate" in bound["checkpoints"]
    recorder = of_kind(objects, "Deployment")["touchstone-recorder"]["spec"]["template"]["spec"]
    assert recorder["volumes"][0]["secret"]["secretName"] == "touchstone-store"


def test_every_image_is_named_in_one_place(overlay):
    component = yaml.safe_load((TEKTON / "components/images/kustomization.yaml").read_text())
    named = {image["name"] for image in component["images"]}
    for name, pod in pods(overlay):
        for container in containers(pod):
            if container["name"] not in ADDED:
                assert re.split("[:@]", container["image"])[0] in named, name


def test_gpus_are_for_tuning_and_training():
    objects = built(TEKTON / "overlays" / "gpu")
    wanting = {
        name
        for name, task in of_kind(objects, "Task").items()
        for step in task["spec"]["steps"]
        if "nvidia.com/gpu" in step["computeResources"]["limits"]
    }
    assert wanting == {"train", "tune"}
    for name, pod in pods(objects):
        asked = any(
            "nvidia.com/gpu" in c.get("resources", {}).get("limits", {}) for c in containers(pod)
        )
        assert bool(pod["spec"].get("tolerations")) is asked, name


def test_the_reference_names_every_overlay_component_label_and_account():
    page = (ROOT / "docs" / "reference" / "installation.md").read_text()
    objects = built(TEKTON / "overlays" / "s3")
    policies = json.dumps(list(of_kind(objects, "NetworkPolicy").values()))
    labels = re.findall(r'"namespaceSelector": {"matchLabels": {"(touchstone[^"]+)"', policies)
    named = {*OVERLAYS, *labels, *of_kind(objects, "ServiceAccount")}
    named |= {path.name for path in (TEKTON / "components").iterdir()}
    assert len(set(labels)) > 4
    assert not {name for name in named if f"`{name}" not in page}


BESIDE = ["cert-manager", "gateway", "ingress", "knative", "monitoring", "schedule"]
"""Components that no overlay has: an installation names them in its own, after an overlay."""


def test_a_component_belongs_to_an_overlay_or_is_added_by_an_installation(tmp_path):
    here = TEKTON.parent / f".{tmp_path.name}"  # kustomize takes no absolute path
    here.mkdir()
    added = {"namespace": "team-voice", "resources": ["../tekton/overlays/s3"]}
    added["components"] = [f"../tekton/components/{name}" for name in BESIDE]
    (here / "kustomization.yaml").write_text(yaml.safe_dump(added))
    try:
        objects = built(here)
    finally:
        shutil.rmtree(here)
    assert of_kind(objects, "Namespace").keys() == {"team-voice"}
    assert of_kind(objects, "Certificate") and of_kind(objects, "PingSource")
    listener = of_kind(objects, "EventListener")["touchstone"]["spec"]["resources"]
    template = listener["kubernetesResource"]["spec"]["template"]["spec"]
    secrets = {
        item["valueFrom"]["secretKeyRef"]["name"] for item in template["containers"][0]["env"]
    }
    (certificate,) = of_kind(objects, "Certificate").values()
    assert secrets == {certificate["spec"]["secretName"]}
    named = {
        Path(name).name
        for file in TEKTON.rglob("kustomization.yaml")
        for name in yaml.safe_load(file.read_text()).get("components", [])
    }
    assert named | {*BESIDE} == {path.name for path in (TEKTON / "components").iterdir()}


def test_what_keeps_two_replicas_loses_one_at_a_time(overlay):
    budgets = of_kind(overlay, "PodDisruptionBudget").values()
    protected = {str(item["spec"]["selector"]["matchLabels"]) for item in budgets}
    assert all(item["spec"]["minAvailable"] == 1 for item in budgets)
    listener = of_kind(overlay, "EventListener")["touchstone"]["spec"]["resources"]
    assert listener["kubernetesResource"]["replicas"] == 2
    many = {
        str(item["spec"]["selector"]["matchLabels"])
        for item in of_kind(overlay, "Deployment").values()
        if item["spec"]["replicas"] > 1
    }
    assert protected == {*many, str({"eventlistener": "touchstone"})}


def _started() -> dict[str, dict[str, Any]]:
    """The container of every program of ours that the cluster starts, by the program's path."""
    objects = built(TEKTON / "overlays" / "s3")
    steps = [step for task in of_kind(objects, "Task").values() for step in task["spec"]["steps"]]
    return {
        container["command"][2].removeprefix("/opt/touchstone/"): container
        for container in [*steps, *(c for _, pod in pods(objects) for c in containers(pod))]
        if container.get("command", [])[:2] == ["python", "-P"]
    }


def test_every_program_that_the_cluster_starts_is_shipped_and_takes_the_options_it_gets():
    for program, container in _started().items():
        assert (ROOT / program).is_file(), program
        if not program.startswith("scripts/"):
            continue
        module = importlib.import_module(program.removesuffix(".py").replace("/", "."))
        app = typer.Typer()
        app.command()(module.main)
        declared = {
            option: param
            for param in typer.main.get_command(app).params
            for option in param.opts
            if option.startswith("--")
        }
        words = [*container["command"][3:], *container.get("args", [])]
        given = {match[0] for word in words if (match := re.match(r"--[a-z][a-z-]*", word))}
        assert given <= declared.keys(), program
        variables = {item["name"] for item in container.get("env", [])}
        asked = {option for option, param in declared.items() if param.required}
        assert asked - given <= {o for o in asked if declared[o].envvar in variables}, program
