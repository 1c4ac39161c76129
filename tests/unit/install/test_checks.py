"""What a cluster lacks is named, with the command that gets it; what cannot be known is said so."""

from __future__ import annotations

import pytest

from touchstone.errors import PlatformError
from touchstone.install import checks, health, values


def state_of(cluster, name, **options):
    return next(one for one in checks.cluster(cluster.api, **options) if one.name == name)


def test_a_cluster_with_tekton_and_a_volume_lacks_nothing_that_is_needed(cluster):
    found = checks.cluster(cluster.api)
    assert [one.name for one in found if one.state == "missing"] == []
    assert state_of(cluster, "Tekton Pipelines").said == "v1.6.0"
    assert state_of(cluster, "KServe").state == "optional"


def test_what_is_missing_comes_with_the_command_that_gets_it(cluster):
    del cluster.namespaced["triggers.tekton.dev/v1beta1"]
    found = state_of(cluster, "Tekton Triggers")
    assert found.state == "missing"
    assert "got no EventListener of triggers.tekton.dev/v1beta1" in found.said
    assert found.remedy.startswith("kubectl apply -f https://infra.tekton.dev/")


def test_a_version_that_is_too_old_is_told_beside_the_one_that_is_needed(cluster):
    cluster.find("ConfigMap", "pipelines-info", "tekton-pipelines")["data"]["version"] = "v0.44.0"
    found = state_of(cluster, "Tekton Pipelines")
    assert (found.state, found.said) == ("missing", "got v0.44.0, expected 1.0 or newer")


@pytest.mark.parametrize(
    ("text", "parsed"), [("v1.36.3-gke.1", (1, 36, 3)), ("devel", ()), ("1.30+", (1, 30))]
)
def test_versions_are_compared_by_their_numbers(text, parsed):
    assert checks.version(text) == parsed


def test_a_default_storage_class_is_needed_where_artifacts_lie_on_a_volume(cluster):
    storage = cluster.find("StorageClass", "standard")
    storage["metadata"]["annotations"].clear()
    assert state_of(cluster, "StorageClass").state == "missing"
    assert state_of(cluster, "StorageClass", storage_class="standard").state == "ok"
    assert state_of(cluster, "StorageClass", storage_class="fast").state == "missing"
    assert state_of(cluster, "StorageClass", overlay="s3").state == "optional"


def test_whether_policies_are_enforced_is_never_guessed(cluster):
    found = state_of(cluster, "NetworkPolicies")
    assert (found.state, "--probe" in found.remedy) == ("unknown", True)


def test_gpus_are_needed_by_the_overlay_that_trains_on_them(cluster):
    node = {"kind": "Node", "metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "4"}}}
    cluster.put(node)
    assert state_of(cluster, "GPU", overlay="gpu").state == "missing"
    node["status"]["allocatable"]["nvidia.com/gpu"] = "2"
    assert state_of(cluster, "GPU").said == "2 on 1 of 1 nodes"


def test_what_a_person_may_not_see_is_unknown_and_ends_nothing(cluster):
    cluster.denied = {("list", "nodes"), ("list", "storageclasses")}
    assert state_of(cluster, "GPU").state == "unknown"
    assert state_of(cluster, "StorageClass").state == "unknown"


def test_what_a_person_may_not_apply_is_named_before_anything_is(cluster):
    wanted = {("v1", "Secret", "touchstone"), ("rbac.authorization.k8s.io/v1", "ClusterRole", "")}
    assert checks.permissions(cluster.api, wanted)[0].state == "ok"
    cluster.denied = {("patch", "clusterroles"), ("create", "secrets")}
    found = checks.permissions(cluster.api, wanted)[0]
    assert (found.state, found.said) == (
        "missing",
        "you may not create and patch clusterroles, secrets in touchstone",
    )


def test_a_placeholder_of_the_documentation_is_no_value():
    given = values.given({"registry": "registry.example.org/m", "gitops": "https://a.dev/b/c.git"})
    assert "registry: registry.example.org/m" in checks.placeholders(given)[0].said


def test_no_cluster_at_that_address_is_a_platform_that_lacks_something(cluster):
    cluster.api._cluster.client.configuration.host = "http://127.0.0.1:9"
    with pytest.raises(PlatformError, match="cannot be reached"):
        checks.cluster(cluster.api)


def test_a_namespace_without_an_installation_is_said_to_be_one(cluster):
    assert [one.state for one in health.installed(cluster.api, "touchstone")] == ["optional"]
