"""`install`, `doctor` and `uninstall` as they are typed, on a cluster's stand-in."""

from __future__ import annotations

import json

import pytest
from kubectl import kubectl
from object_api import kubeconfig
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.delivery import gitops, people
from touchstone.errors import PlatformError, UsageError
from touchstone.git import git
from touchstone.install import render


@pytest.fixture
def typed(cluster, tmp_path, monkeypatch):
    """What a command prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(render, "_BUILDERS", ((kubectl(), "kustomize"),))
    (tmp_path / "kubeconfig").write_text(kubeconfig(cluster.url))

    def run(command, *options):
        given = [command, *options, "--kubeconfig", str(tmp_path / "kubeconfig")]
        result = CliRunner().invoke(_app(), given)
        if result.exception:
            raise result.exception
        return result.stdout

    return run


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The URL of an empty GitOps repository."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "gitops.git"))
    return (tmp_path / "gitops.git").as_uri()


def test_from_nothing_to_an_installation_and_back(typed, cluster, empty, tmp_path):
    given = ("--registry", "registry.acme.dev/models", "--gitops", empty)
    assert "would be made: " in typed("install", "--plan", *given)
    assert not cluster.names("Task")

    said = typed("install", "--apply", *given, "--write", str(tmp_path / "platform"))
    assert "made touchstone/touchstone-signing-key" in said
    assert "ready: EventListener touchstone/touchstone" in said
    assert "train" in cluster.names("Task")
    assert {"staging", "production", "touchstone"} <= cluster.names("Namespace")
    recorder = people.read(empty).recorder
    assert recorder and recorder.startswith("ed25519:")
    with gitops.clone(empty) as checkout:
        assert checkout.holds("origin/main", "environments/production/environment.yaml")

    again = json.loads(typed("install", "--apply", "--write", str(tmp_path / "platform"), "--json"))
    assert {one["outcome"] for one in again["objects"]} == {"unchanged", "skipped"}
    assert (again["made"], again["notes"]) == ([], [])
    assert people.read(empty).recorder == recorder

    with pytest.raises(UsageError, match="got no answer"):
        typed("uninstall")
    done = json.loads(typed("uninstall", "--yes", "--json"))
    assert (done["left"], done["kept"]) == ([], [])
    assert cluster.names("Namespace") == {"kube-system", "tekton-pipelines"}
    assert not cluster.names("ClusterRole") | cluster.names("ValidatingAdmissionPolicy")


def test_without_values_a_plan_still_says_what_the_cluster_lacks(typed):
    assert "Tekton Pipelines" in typed("install")
    with pytest.raises(UsageError) as refused:
        typed("install", "--apply")
    assert "touchstone-install.yaml" in refused.value.hint


def test_nothing_is_applied_to_a_cluster_that_lacks_what_is_needed(typed, cluster, empty):
    del cluster.namespaced["tekton.dev/v1"]
    with pytest.raises(PlatformError, match="lacks Tekton Pipelines") as refused:
        typed("install", "--apply", "--registry", "r.dev/m", "--gitops", empty)
    assert "kubectl apply -f" in refused.value.hint
    assert "touchstone" not in cluster.names("Namespace")


def test_a_doctor_tells_what_is_missing_and_ends_with_the_code_of_a_wrong_platform(typed, cluster):
    found = json.loads(typed("doctor", "--json"))["checks"]
    assert {one["name"] for one in found} >= {"git", "Kubernetes", "Installation"}
    del cluster.namespaced["triggers.tekton.dev/v1beta1"]
    with pytest.raises(PlatformError, match="missing: Tekton Triggers") as refused:
        typed("doctor")
    assert refused.value.exit_code == 3
