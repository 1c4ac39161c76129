"""Applied twice it changes nothing; taken away it leaves nothing of its own and all of others."""

from __future__ import annotations

import copy

import pytest

from touchstone.errors import DeadlineError
from touchstone.install import apply, uninstall
from touchstone.install.api import ConflictError, RefusedError

SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "touchstone"}}
HERE = {"namespace": "touchstone"}
TASK = {"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "train", **HERE}}
CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "argocd-cm", "namespace": "kube-system"},
    "data": {"health": "ours"},
}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    # kustomize gives a namespace to kinds that it does not know
    "metadata": {"name": "touchstone-triggers", **HERE},
}
SERVER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "interceptor", **HERE},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "interceptor"}}},
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", **HERE}}
ALL = [SPACE, TASK, CONFIG, ROLE, SERVER, SECRET]


def applied(cluster, objects=ALL, installation="touchstone"):
    applier = apply.Applier(cluster.api, objects, installation)
    changes = [*applier.apply(namespaces=True), *applier.apply(namespaces=False)]
    return {one.document["kind"]: one.outcome for one in changes}


def removed(cluster, **options):
    found = uninstall.find(cluster.api, "touchstone")
    given = {"keep_data": False, "seconds": 5, "say": lambda line: None, **options}
    return uninstall.remove(cluster.api, "touchstone", found, **given)


def test_applied_again_nothing_changes(cluster):
    assert set(applied(cluster).values()) == {"new"}
    assert set(applied(cluster).values()) == {"unchanged"}


def test_a_plan_changes_nothing_and_says_what_applying_does(cluster):
    before = copy.deepcopy(cluster.objects)
    planned = apply.Applier(cluster.api, ALL, "touchstone").plan()
    assert {one.outcome for one in planned} == {"new"}
    assert cluster.objects == before
    applied(cluster)
    changed = copy.deepcopy(TASK)
    changed["spec"] = {"steps": []}
    assert [one.outcome for one in apply.Applier(cluster.api, [changed], "touchstone").plan()] == [
        "changed"
    ]


def test_what_the_cluster_has_no_room_for_is_skipped_with_the_reason(cluster):
    project = {**CONFIG, "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject"}
    elsewhere = {**CONFIG, "metadata": {"name": "argocd-cm", "namespace": "argocd"}}
    changes = apply.Applier(cluster.api, [project, elsewhere], "touchstone").plan()
    assert [one.why for one in changes] == [
        "the cluster knows no AppProject of argoproj.io/v1alpha1",
        "there is no namespace argocd",
    ]


def test_a_webhook_that_is_not_ready_is_waited_for_and_a_refusal_is_not(cluster):
    cluster.busy = 2
    assert set(applied(cluster).values()) == {"new"}
    cluster.refuse = lambda document: "no" if document["kind"] == "Task" else ""
    with pytest.raises(RefusedError, match=r"tasks/train: .* denied the request: no"):
        applied(cluster, [TASK])


def test_uninstalled_nothing_of_it_is_left_and_all_of_others(cluster):
    theirs = {**CONFIG, "data": {"theirs": "kept"}}
    cluster.put(copy.deepcopy(theirs))
    before = copy.deepcopy(cluster.objects)
    applied(cluster)
    assert cluster.find("ConfigMap", "argocd-cm", "kube-system")["data"] == {
        "health": "ours",
        "theirs": "kept",
    }
    assert removed(cluster) == []
    left = {key: {**one, "status": None} for key, one in cluster.objects.items()}
    assert left.keys() == before.keys()
    assert cluster.find("ConfigMap", "argocd-cm", "kube-system")["data"] == {"theirs": "kept"}
    assert not cluster.find("ConfigMap", "argocd-cm", "kube-system")["metadata"]["labels"]


def test_a_namespace_that_was_there_is_never_deleted(cluster):
    cluster.put(copy.deepcopy(SPACE))
    applied(cluster)
    removed(cluster)
    assert cluster.find("Namespace", "touchstone")
    assert cluster.names("Task") == set()


def test_data_are_kept_with_the_namespace_that_holds_them_and_runs_are_not(cluster):
    applied(cluster)
    run = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "r", **HERE}}
    cluster.put(run)
    kept = removed(cluster, keep_data=True)
    assert {one["kind"] for one in kept} == {"Namespace", "Secret"}
    assert cluster.names("Secret") == {"key"}
    assert cluster.names("PipelineRun") == cluster.names("Task") == set()


def test_two_installations_in_one_cluster_leave_each_other_alone(cluster):
    applied(cluster)
    other = copy.deepcopy([SPACE, ROLE])
    other[0]["metadata"]["name"] = "second"
    other[1]["rules"] = [{"verbs": ["*"]}]
    cluster.owners[("ClusterRole", "", "touchstone-triggers")][("rules",)] = "touchstone-touchstone"
    cluster.find("ClusterRole", "touchstone-triggers")["rules"] = [{"verbs": ["get"]}]
    assert applied(cluster, other, "second") == {"Namespace": "new", "ClusterRole": "skipped"}
    assert cluster.find("ClusterRole", "touchstone-triggers")["rules"] == [{"verbs": ["get"]}]


def test_what_a_cluster_has_once_stays_while_another_installation_rests_on_it(cluster):
    applied(cluster)
    other = copy.deepcopy(SPACE)
    other["metadata"] = {"name": "second", "labels": {"touchstone.dev/pod-security": "restricted"}}
    cluster.put(other)
    assert [one["kind"] for one in removed(cluster)] == ["ClusterRole"]
    assert cluster.names("ClusterRole") == {"touchstone-triggers"}
    assert cluster.names("Task") == set()


def test_taking_away_waits_for_a_webhook_too(cluster):
    applied(cluster)
    cluster.busy = 1
    removed(cluster)
    assert cluster.names("Task") == set()


def test_an_object_of_somebody_else_is_not_overwritten(cluster):
    applied(cluster, [SPACE])
    cluster.put({**copy.deepcopy(TASK), "spec": {"steps": ["theirs"]}})
    with pytest.raises(ConflictError) as refused:
        applied(cluster, [SPACE, {**TASK, "spec": {"steps": ["ours"]}}])
    assert "touchstone.dev/installation" in refused.value.hint


def test_what_does_not_become_ready_is_told_with_what_its_pods_say(cluster):
    cluster.ready = False
    applied(cluster)
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "interceptor-1", **HERE, "labels": {"app": "interceptor"}},
            "status": {"containerStatuses": [{"image": "x", "state": {"waiting": waiting}}]},
        }
    )
    with pytest.raises(DeadlineError) as late:
        apply.wait(cluster.api, [SERVER], seconds=0, say=print)
    assert "0 of 2 Pods ready (ImagePullBackOff: no such image)" in str(late.value)
    assert "kubectl logs -n touchstone deployment/interceptor" in late.value.hint


def test_what_stays_is_named_with_the_finalizer_that_keeps_it(cluster):
    applied(cluster)
    held = cluster.find("Task", "train", "touchstone")
    held["metadata"]["finalizers"] = ["chains.tekton.dev"]
    cluster.api.delete = lambda document: None
    with pytest.raises(DeadlineError, match=r"Task touchstone/train \(finalizers chains"):
        removed(cluster, seconds=0)
