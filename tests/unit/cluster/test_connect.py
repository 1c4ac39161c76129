"""A cluster is found where an option, the environment or the Pod says; else it is told."""

import json

import pytest
import yaml
from kube_api import KubeApi, pipeline_run, status

from touchstone.cluster.connect import PIPELINE_RUNS, ApiError, connect
from touchstone.commands.where import Here, There, where
from touchstone.errors import PlatformError, UsageError


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    contexts = [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}},
        {"name": "two", "context": {"cluster": "c", "user": "u"}},
    ]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": contexts,
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def test_a_namespace_is_the_options_else_the_contexts_else_ours(config):
    assert connect().namespace == "team-a"
    assert connect(context="two").namespace == "touchstone"
    assert connect(kubeconfig=str(config), namespace="other").namespace == "other"
    assert str(connect()) == "namespace team-a of http://127.0.0.1:1"


def test_a_wrong_context_file_or_no_cluster_at_all_is_told(config, monkeypatch):
    with pytest.raises(UsageError, match="got context 'three', expected one of one, two"):
        connect(context="three")
    with pytest.raises(UsageError, match="got no file"):
        connect(kubeconfig="/nowhere")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(PlatformError, match="neither a kubeconfig nor a ServiceAccount"):
        connect()


def test_an_api_out_of_reach_is_told_with_its_address(config):
    with pytest.raises(ApiError, match=r"http://127.0.0.1:1 cannot be reached") as caught:
        connect().get(PIPELINE_RUNS, "x")
    assert caught.value.status == 0


def test_commands_mean_the_embedded_platform_until_a_cluster_is_named(
    config, monkeypatch, tmp_path
):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    assert isinstance(where(), Here)
    assert isinstance(where(namespace="team-b"), There)
    monkeypatch.setenv("TOUCHSTONE_CLUSTER", "two")
    monkeypatch.setenv("TOUCHSTONE_NAMESPACE", "team-c")
    assert where().title == "namespace team-c of http://127.0.0.1:1"
    monkeypatch.setenv("TOUCHSTONE_CLUSTER", "0")
    assert isinstance(where(), Here)


def test_a_list_is_read_page_by_page_and_once_more_whole_where_it_took_too_long(api: KubeApi):
    pages = iter(
        [
            {"items": [1], "metadata": {"continue": "more"}},
            {"items": [2], "metadata": {"resourceVersion": "7"}},
        ]
    )
    cluster = api.cluster
    cluster.ask = lambda *_, **__: next(pages)
    assert cluster.items(PIPELINE_RUNS) == ([1, 2], "7")

    def expired(verb, path, query):
        if query["continue"]:
            raise ApiError("expired", status=410)
        more = {"continue": "more"} if "limit" in query else {"resourceVersion": "9"}
        return {"items": [3], "metadata": more}

    cluster.ask = expired
    assert cluster.items(PIPELINE_RUNS) == ([3], "9")


def test_what_is_not_there_or_there_already_is_an_answer(api):
    assert api.cluster.get(PIPELINE_RUNS, "x") is None
    assert api.cluster.patch(PIPELINE_RUNS, "x", {"spec": {}}) is None
    api.refused["pipelineruns"] = 409
    assert api.cluster.create(PIPELINE_RUNS, pipeline_run("x", status())) is None
    api.refused["pipelineruns"] = 403
    with pytest.raises(ApiError, match="answered 403 to GET .*: as the test wants it") as caught:
        api.cluster.get(PIPELINE_RUNS, "x")
    assert "touchstone-requests" in caught.value.hint


def test_a_login_page_in_the_place_of_the_api_is_told(api):
    api._answer = lambda *_: (200, None)
    api._send = lambda request, code, _: _page(request)
    with pytest.raises(ApiError, match="something else than JSON"):
        api.cluster.items(PIPELINE_RUNS)


def _page(request):
    content = b"<html>" + json.dumps("login").encode()
    request.send_response(200)
    request.send_header("content-length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
