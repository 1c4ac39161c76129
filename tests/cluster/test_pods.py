"""What runs as pods of an installation may do, and what hangs on each: asked of its last run.

`--installation NAMESPACE` names where Touchstone is; at least one run must have gone through there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.asking import Cluster, Json, RefusedError

pytestmark = pytest.mark.cluster

_RUNS_MODEL_CODE = {"validate", "preprocess", "tune", "train", "judge"}
_PRIVATE = {"touchstone-signing-key", "touchstone-git-push", "touchstone-git-read"}
_PRIVATE |= {"touchstone-forge-token", "touchstone-recording-key", "touchstone-registry"}
_RESTRICTED_BUT = {"step-build"}
_TEKTONS_OWN = {"prepare", "place-scripts", "working-dir-initializer", "affinity-assistant"}


@pytest.fixture(scope="module")
def installed(cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """The namespace of an installation's runs."""
    found = Cluster(cluster.kubeconfig, request.config.getoption("installation"))
    try:
        found("get", "serviceaccount", "touchstone-stage")
    except RefusedError:
        pytest.skip(f"no Touchstone in {found.namespace}: touchstone install, or --installation")
    return found


@pytest.fixture(scope="module")
def pods(installed: Cluster) -> dict[str, Json]:
    """The Pods of stages that are still there, by the pipeline's task."""
    of_runs = installed.items("pods", "-l", "tekton.dev/pipelineTask")
    if not of_runs:
        pytest.skip(f"no run in {installed.namespace} has Pods left: push to a model repository")
    return {pod["metadata"]["labels"]["tekton.dev/pipelineTask"]: pod for pod in of_runs}


@pytest.fixture(scope="module")
def training(installed: Cluster) -> Iterator[str]:
    """A Pod that looks to the cluster's policies as one of `train` does, with a shell in it."""
    name = f"as-train-{int(time.time())}"
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    limits = {"cpu": "5m", "memory": "32Mi"}
    container = {
        "name": "shell",
        "image": "busybox:1.35",
        "command": ["sleep", "600"],
        "securityContext": security,
        "resources": {"requests": limits, "limits": {"memory": "64Mi"}},
    }
    labels = {"tekton.dev/pipeline": "model", "tekton.dev/pipelineTask": "train"}
    labels["app.kubernetes.io/managed-by"] = "tekton-pipelines"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "serviceAccountName": "touchstone-stage",
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }
    installed.create(json.dumps(pod))
    try:
        installed("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=110s")
        yield name
    finally:
        installed("delete", "pod", name, "--now", "--wait=false")


def _secrets(pod: Json) -> set[str]:
    spec = pod["spec"]
    volumes = {v["secret"]["secretName"] for v in spec.get("volumes", []) if "secret" in v}
    for container in spec["containers"] + spec.get("initContainers", []):
        for item in container.get("env", []):
            source = item.get("valueFrom", {}).get("secretKeyRef")
            volumes |= {source["name"]} if source else set()
    return volumes


def test_no_pod_that_runs_model_code_has_a_credential_or_a_token(pods: dict[str, Json]) -> None:
    for task, pod in pods.items():
        if task in _RUNS_MODEL_CODE or task.startswith("gate-"):
            assert not _secrets(pod) & _PRIVATE, task
            assert pod["spec"]["serviceAccountName"] == "touchstone-stage", task
        mounts = [
            mount["mountPath"]
            for container in pod["spec"]["containers"]
            for mount in container.get("volumeMounts", [])
        ]
        assert not any("serviceaccount" in path for path in mounts), task


def test_the_signing_key_is_in_promote_alone(pods: dict[str, Json]) -> None:
    holders = {task for task, pod in pods.items() if "touchstone-signing-key" in _secrets(pod)}
    assert holders <= {"promote"}


def test_every_container_but_the_builder_is_restricted(pods: dict[str, Json]) -> None:
    for task, pod in pods.items():
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            if container["name"] in _RESTRICTED_BUT | _TEKTONS_OWN:
                continue
            security = container.get("securityContext", {})
            assert security.get("allowPrivilegeEscalation") is False, (task, container["name"])
            assert security.get("capabilities", {}).get("drop") == ["ALL"], (
                task,
                container["name"],
            )


def test_a_pod_without_policies_reaches_the_api_server(
    cluster: Cluster, own_namespace: Cluster
) -> None:
    """Else what follows would pass also where nothing can be reached at all."""
    host = cluster.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    call = f"timeout 5 nc {host} 443 </dev/null >/dev/null 2>&1 && echo open || echo closed"
    attached = ("--image=busybox:1.35", "--restart=Never", "--attach", "--rm", "--quiet")
    said = own_namespace("run", "anybody", *attached, "--", "sh", "-c", call)
    assert said.split()[0] == "open"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("kubernetes.default.svc:443", id="the API server"),
        pytest.param("el-touchstone:8080", id="the listener"),
        pytest.param("touchstone-interceptor:80", id="the interceptor"),
        pytest.param("169.254.169.254:80", id="the cloud's metadata"),
        pytest.param("1.1.1.1:443", id="the internet"),
    ],
)
def test_a_training_reaches_nobody(installed: Cluster, training: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    services = {s["metadata"]["name"]: s for s in installed.items("services")}
    if host in services:
        host = services[host]["spec"]["clusterIP"]
    if host == "kubernetes.default.svc":
        host = installed.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    call = f"timeout 5 nc {host} {port} </dev/null >/dev/null 2>&1 && echo open || echo closed"
    assert installed("exec", training, "--", "sh", "-c", call).strip() == "closed"


def test_a_root_pod_is_refused_in_the_namespace_of_runs(installed: Cluster) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "as-root"},
        "spec": {"containers": [{"name": "x", "image": "busybox:1.35", "command": ["true"]}]},
    }
    with pytest.raises(RefusedError, match="touchstone-restricted|PodSecurity"):
        installed("create", "--dry-run=server", "-f", "-", given=json.dumps(pod))
