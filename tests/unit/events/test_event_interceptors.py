"""Interceptors one by one: Tekton's words, GitHub's API, and interceptors over HTTP."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from touchstone.errors import PlatformError
from touchstone.events.interceptors.cel import conjuncts
from touchstone.events.interceptors.interceptor import Request, StoppedError
from touchstone.events.interceptors.registry import build, build_webhook
from touchstone.events.kinds import ClientConfig, Webhook

REF = {"secretName": "s", "secretKey": "k"}


def secrets(name, key):
    if (name, key) != ("s", "k"):
        raise PlatformError(f"secret {name} has no key {key}")
    return b"hush"


@dataclass
class Server:
    """A server that answers each path with what a test laid out, and keeps what it got."""

    url: str
    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            here.got.append((self.path, dict(self.headers), self.rfile.read(length)))
            status, document = here.answers.get(self.path.partition("?")[0], (404, {}))
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        here = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield here
        http.shutdown()
        thread.join()


def process(name, params, body=None, config=None, **headers):
    request = Request(
        headers={key.replace("_", "-"): value for key, value in headers.items()},
        raw=json.dumps({} if body is None else body).encode(),
        url="/",
        event_id="e-1",
        trigger="namespaces/default/triggers/t",
    )
    return build(name, params, config=config, namespace="default").process(request, secrets)


@pytest.mark.parametrize(
    ("name", "params", "headers", "message"),
    [
        ("github", {"eventTypes": ["push"]}, {"x_github_event": "ping"}, "event type ping is not"),
        ("github", {"secretRef": REF}, {}, "no X-Hub-Signature-256 header set"),
        ("github", {"secretRef": REF | {"secretKey": "x"}}, {}, "error getting secret"),
        (
            "github",
            {},
            {"content_type": "application/x-www-form-urlencoded"},
            "form parameter encoding not supported",
        ),
        ("gitlab", {"eventTypes": ["Push Hook"]}, {}, "event type  is not allowed"),
        ("gitlab", {"secretRef": REF}, {}, "no X-Gitlab-Token header set"),
        ("gitlab", {"secretRef": REF}, {"x_gitlab_token": "hus"}, "Invalid X-GitLab-Token"),
        ("bitbucket", {"secretRef": REF}, {}, "no X-Hub-Signature header set"),
        (
            "bitbucket",
            {"secretRef": REF},
            {"x_hub_signature": "sha1=0"},
            "error validating signature: payload signature check failed",
        ),
        ("slack", {"requestedFields": ["text"]}, {}, "missing header in payload"),
        ("cel", {"filter": "body.x == 1.0"}, {}, "error evaluating cel expression"),
        (
            "cel",
            {"overlays": [{"key": "a", "expression": "[].first()"}]},
            {},
            "error evaluating cel expression: got null for 'a'",
        ),
        ("cel", {"filter": "has(body.x)"}, {}, "expression has(body.x) did not return true"),
        ("cel", {"filter": "'hus'.compareSecret('k', 's')"}, {}, "did not return true"),
        ("cel", {"filter": "'hush'.compareSecret('x', 's')"}, {}, "has no key x"),
    ],
)
def test_an_event_is_stopped_with_tektons_words(name, params, headers, message):
    with pytest.raises(StoppedError) as raised:
        process(name, params, **headers)
    assert message in str(raised.value)
    assert "hush" not in str(raised.value.notes)


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        ("github", {"secretReference": REF}, "'secretReference'"),
        ("github", {"secretRef": {"secretName": "s"}}, "secretName and secretKey"),
        ("github", {"githubOwners": {"enabled": True, "checkType": "me"}}, "checkType"),
        ("github", {"addChangedFiles": {"enabled": "yes"}}, "true or false"),
        ("gitlab", {"eventTypes": "Push Hook"}, "list of texts"),
        ("slack", {}, "requestedFields"),
        ("cel", {"overlays": [{"key": "a"}]}, "key and expression"),
        ("cel", {"filter": "body.x.shuffle()"}, "'shuffle'"),
        ("nobody", {}, "'nobody'"),
    ],
)
def test_params_that_tekton_does_not_define_are_refused_at_load(name, params, reason):
    with pytest.raises(ValueError, match=reason):
        build(name, params, config=None, namespace="default")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("github", {"githubOwners": {"Enabled": False, "CheckType": "orgMembers"}}),
        ("github", {"SecretRef": {"secretname": "s", "SECRETKEY": "k"}, "EVENTTYPES": ["push"]}),
        ("github", {"addChangedFiles": None, "secretRef": None}),
        ("gitlab", {"EventTypes": ["Push Hook"]}),
        ("slack", {"RequestedFields": ["text"]}),
        ("cel", {"Filter": "true", "Overlays": [{"Key": "a", "Expression": "'b'"}]}),
    ],
)
def test_params_are_read_as_go_reads_them_whatever_the_case_of_a_key(name, params):
    build(name, params, config=None, namespace="default")


def test_of_one_param_in_two_cases_the_last_in_the_order_of_bytes_counts():
    params = {"filter": "true", "FILTER": "false"}
    assert process("cel", params).notes == ("true is true",)


def test_a_header_that_came_twice_has_both_values_and_the_first_counts():
    params = {
        "overlays": [
            {"key": "all", "expression": "header['X-Team']"},
            {"key": "one", "expression": "header.canonical('x-team')"},
            {"key": "match", "expression": "header.match('X-Team', 'b')"},
        ]
    }
    passed = process("cel", params, x_team="a\nb")
    assert passed.extensions == {"all": ["a", "b"], "one": "a", "match": False}


def test_the_gitlab_token_and_compare_secret_let_the_right_secret_pass():
    process("gitlab", {"secretRef": REF}, x_gitlab_token="hush")
    condition = "header.canonical('Authorization').replace('Bearer ', '').compareSecret('k', 's')"
    process("cel", {"filter": condition}, authorization="Bearer hush")


def test_slack_takes_fields_of_the_form():
    passed = process(
        "slack",
        {"requestedFields": ["text"]},
        {"text": ["deploy main"], "token": ["t"]},
        content_type="application/x-www-form-urlencoded",
        x_slack_signature="v0=1",
    )
    assert passed.extensions == {"text": ["deploy main"]}


def test_changed_files_of_a_push_are_those_of_its_commits():
    commits = [{"added": ["a"], "modified": ["b"], "removed": []}]
    params = {"addChangedFiles": {"enabled": True}}
    passed = process("github", params, {"commits": commits}, x_github_event="push")
    assert passed.extensions == {"changed_files": "a,b"}


def test_changed_files_of_a_pull_request_come_from_the_api(server, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_GITHUB_API", server.url)
    server.answers["/repos/me/m/pulls/7/files"] = (200, [{"filename": "a"}, {"filename": "b"}])
    params = {"addChangedFiles": {"enabled": True, "personalAccessToken": REF}}
    body = {"number": 7, "repository": {"full_name": "me/m"}}
    passed = process("github", params, body, x_github_event="pull_request")
    assert passed.extensions == {"changed_files": "a,b"}
    assert server.got[0][1]["authorization"] == "Bearer hush"
    with pytest.raises(StoppedError, match="enterprise host"):  # would get the token
        process(
            "github",
            params,
            body,
            x_github_event="pull_request",
            x_github_enterprise_host="evil.example.com",
        )


@pytest.mark.parametrize(
    ("sender", "comment", "passes"),
    [
        ("Ada", "/ok-to-test", True),
        ("ada", "please\n/ok-to-test", True),
        ("ada", "no /ok-to-test", False),
        ("eve", "/ok-to-test", False),
    ],
)
def test_a_comment_counts_only_from_an_owner(server, monkeypatch, sender, comment, passes):
    monkeypatch.setenv("TOUCHSTONE_GITHUB_API", server.url)
    owners = base64.b64encode(b"approvers: [ada]\n").decode()
    server.answers["/repos/me/m/contents/OWNERS"] = (200, {"content": owners})
    server.answers["/repos/me/m/collaborators"] = (200, [{"login": "bob"}])
    params = {
        "githubOwners": {"enabled": True, "personalAccessToken": REF, "checkType": "repoMembers"}
    }
    body = {
        "repository": {"full_name": "me/m"},
        "sender": {"login": sender},
        "comment": {"body": comment},
    }
    if passes:
        process("github", params, body, x_github_event="issue_comment")
    else:
        with pytest.raises(StoppedError, match="owners check requirements not met"):
            process("github", params, body, x_github_event="issue_comment")


def test_an_interceptor_over_http_is_posted_tektons_request_and_its_answer_is_honored(server):
    server.answers["/check"] = (200, {"continue": True, "extensions": {"a": 1}})
    config = ClientConfig(url=f"{server.url}/check")
    passed = process("mine", {"p": [1]}, {"x": "ä"}, config, x_github_event="push")
    assert passed.extensions == {"a": 1}
    document = json.loads(server.got[0][2])
    assert json.loads(document["body"]) == {"x": "ä"}
    assert document["header"] == {"X-Github-Event": ["push"]}
    assert document["interceptor_params"] == {"p": [1]}
    assert document["context"] == {
        "event_url": "/",
        "event_id": "e-1",
        "trigger_id": "namespaces/default/triggers/t",
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            (200, {"continue": False, "status": {"code": 9, "message": "no"}}),
            "rpc error: code = FailedPrecondition desc = no",
        ),
        ((200, {}), "code = Code"),
        ((200, [1]), "no InterceptorResponse"),
        ((500, {"oops": 1}), "was not 200"),
    ],
)
def test_an_interceptor_over_http_that_does_not_say_continue_stops_the_event(
    server, answer, reason
):
    server.answers["/"] = answer
    with pytest.raises(StoppedError, match=reason):
        process("mine", {}, {}, ClientConfig(url=server.url))


def test_an_interceptor_that_does_not_answer_stops_the_event():
    with pytest.raises(StoppedError, match="cannot be asked"):
        process("mine", {}, {}, ClientConfig(url="http://127.0.0.1:9"))


def test_the_old_webhook_form_changes_the_event(server):
    server.answers["/"] = (200, {"new": "body"})
    webhook = Webhook.model_validate(
        {"url": server.url + "/", "header": [{"name": "X-Mine", "value": "1"}]}
    )
    request = Request(headers={"a": "b"}, raw=b'{"x":1}', url="/u", extensions={"e": 2})
    passed = build_webhook(webhook, namespace="default").process(request, secrets)
    assert passed.raw == b'{"new": "body"}'
    path, headers, body = server.got[0]
    assert headers["X-Mine"] == "1" and headers["Eventlistener-Request-Url"] == "/u"
    assert json.loads(body) == {"x": 1, "extensions": {"e": 2}}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "ftp://x"},
        {"url": "http://x", "service": {"name": "x"}},
        {"url": "https://x", "caBundle": "bm9uZQ=="},
    ],
)
def test_an_address_that_leads_nowhere_is_refused_at_load(config):
    with pytest.raises(ValueError, match="got"):
        build("mine", {}, config=ClientConfig.model_validate(config), namespace="default")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("a && b", ["a", "b"]),
        ("a && (b && c)", ["a", "(b && c)"]),
        ("a == '&&' && b", ["a == '&&'", "b"]),
        ("a && b || c", ["a && b || c"]),
        ("a ? b : c", ["a ? b : c"]),
    ],
)
def test_a_filter_is_explained_part_by_part(source, parts):
    assert list(conjuncts(source)) == parts
