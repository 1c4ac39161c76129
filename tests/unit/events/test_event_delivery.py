"""Whose delivery is it, and does its forge's Secret prove that? In process and over HTTP alike."""

from __future__ import annotations

import json

import pytest
from comment_samples import COMMENTS
from forge_samples import BY_NAME, SAMPLES, SECRETS, SHA, post, secrets
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from touchstone.errors import PlatformError
from touchstone.events import credentials, interceptor_server, signature
from touchstone.events.headers import lists
from touchstone.events.interceptors.delivery import Delivery
from touchstone.events.interceptors.interceptor import (
    ElsewhereError,
    Request,
    StoppedError,
    UnwantedError,
)
from touchstone.events.interceptors.senders import SENDERS
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.runs import otlp

IGNORE = "(^docs/)|([.]md$)"
PUSHES = Delivery.build({"events": ["push", "tag"], "ignore": IGNORE, "tags": "^v[0-9]"})


def request(headers, body):
    return Request(
        headers=headers, raw=body, url="/", event_id="e", trigger="namespaces/n/triggers/t"
    )


def named(headers, **changes):
    """The headers with those of `changes`, names with _ for -; an empty one is left out."""
    changed = headers | {name.replace("_", "-"): text for name, text in changes.items()}
    return {name: text for name, text in changed.items() if text}


def signed(secret, body):
    return signature.sign(body, SECRETS[secret, "token"])


HUB = "touchstone-webhook"
JO = "touchstone-forgejo"
BUCKET = "touchstone-bitbucket"
LAB = SECRETS["touchstone-gitlab", "token"].decode()
STRANGE = {
    "GitHub's body by Forgejo's secret": lambda h, b: named(h, x_hub_signature_256=signed(JO, b)),
    "as Gitea's, by GitHub's secret": lambda h, b: named(h, x_gitea_event="push"),
    "as Forgejo's, by GitHub's secret": lambda h, b: named(h, x_forgejo_event="push"),
    "with GitLab's token beside it": lambda h, b: named(
        h, x_hub_signature_256="", x_gitlab_token=LAB
    ),
    "with GitLab's token and event": lambda h, b: named(
        h, x_hub_signature_256="", x_gitlab_token=LAB, x_gitlab_event="Push Hook"
    ),
    "by Bitbucket's secret in its header": lambda h, b: named(
        h, x_hub_signature_256="", x_hub_signature=signed(BUCKET, b)
    ),
    "by Bitbucket's secret": lambda h, b: named(h, x_hub_signature_256=signed(BUCKET, b)),
    "with a bare signature of another": lambda h, b: named(
        h, x_hub_signature_256="", x_forgejo_signature=signed(JO, b).removeprefix("sha256=")
    ),
    "with a wrong signature before the right one": lambda h, b: (
        h | {"x-hub-signature-256": f"sha256={'0' * 64}\n{h['x-hub-signature-256']}"}
    ),
    "signed by SHA-1": lambda h, b: named(h, x_hub_signature_256="", x_hub_signature="sha1=00"),
    "without any proof": lambda h, b: named(h, x_hub_signature_256=""),
    "with an empty proof": lambda h, b: h | {"x-hub-signature-256": ""},
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_no_header_chooses_a_proof_that_is_not_the_forges_own(change):
    headers, body = BY_NAME["github-push"].delivery()
    PUSHES.process(request(headers, body), secrets)
    with pytest.raises(StoppedError):
        PUSHES.process(request(change(headers, body), body), secrets)


@pytest.mark.parametrize("held", [name for name, _ in SECRETS])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_whoever_holds_one_forges_secret_speaks_for_no_other(sample, held):
    headers, body = sample.delivery()
    own = {
        "github": HUB,
        "forgejo": JO,
        "gitlab": "touchstone-gitlab",
        "bitbucket-cloud": BUCKET,
        "bitbucket-data-center": BUCKET,
    }[sample.forge]
    proofs = {
        "x-hub-signature-256": signed(held, body),
        "x-hub-signature": signed(held, body),
        "x-gitea-signature": signed(held, body).removeprefix("sha256="),
        "x-gitlab-token": SECRETS[held, "token"].decode(),
    }
    events = ["push", "tag", "pull_request"]
    asks = bool(sample.started)
    judge = Delivery.build({"events": events, "asks": asks, "ignore": IGNORE, "tags": "^v"})
    if held == own:
        judge.process(request(headers | proofs, body), secrets)
        return
    with pytest.raises(StoppedError) as caught:
        judge.process(request(headers | proofs, body), secrets)
    assert not isinstance(caught.value, UnwantedError)


def test_a_forge_without_its_secret_starts_nothing():
    def none(name, key):
        raise PlatformError("absent")

    def empty(name, key):
        return b""

    headers, body = BY_NAME["github-push"].delivery()
    for held in (none, empty):
        with pytest.raises(StoppedError, match="error getting secret"):
            PUSHES.process(request(headers, body), held)


def test_nothing_of_a_body_is_read_before_its_sender_is_proved():
    headers, _ = BY_NAME["github-push"].delivery()
    with pytest.raises(StoppedError, match="signature check failed"):
        PUSHES.process(request(headers, b"[" * 100_000), secrets)


@pytest.mark.parametrize("body", [b"null", b"[]", b"7", b'{"ref": null}', b"{}", b"not json", b""])
@pytest.mark.parametrize("name", [*BY_NAME])
def test_a_signed_body_of_any_other_shape_is_refused_and_breaks_nothing(name, body):
    from forge_samples import HEADERS

    sample = BY_NAME[name]
    for events in (["push", "tag"], ["pull_request"], ["comment"]):
        with pytest.raises(StoppedError):
            Delivery.build({"events": events}).process(
                request(HEADERS[sample.forge](sample.event, body), body), secrets
            )


@pytest.mark.parametrize("sample", [*SAMPLES, *COMMENTS], ids=lambda sample: sample.name)
def test_a_null_in_place_of_any_field_breaks_nothing(sample):
    from forge_samples import HEADERS

    def holes(value):
        """The value once for each part of it, that part null."""
        yield None
        if isinstance(value, dict):
            for key, item in value.items():
                yield from ({**value, key: hole} for hole in holes(item))
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from ([*value[:index], hole, *value[index + 1 :]] for hole in holes(item))

    judge = Delivery.build({"events": ["push", "tag", "pull_request", "comment"]})
    for document in holes(sample.body):
        body = json.dumps(document).encode()
        try:
            judge.process(request(HEADERS[sample.forge](sample.event, body), body), secrets)
        except StoppedError as error:
            assert "\n" not in str(error)


def test_all_forges_tell_of_a_push_in_the_same_words():
    told = []
    for name in ("github-push", "forgejo-push", "gitlab-push"):
        passed = PUSHES.process(request(*BY_NAME[name].delivery()), secrets)
        told.append({**passed.extensions, "forge": ""})
    assert told[0] == told[1] == told[2]
    assert told[0] | {"files": [], "since": "", "ignore": ""} == {
        "event": "push",
        "forge": "",
        "repository": "vision/Detector",
        "clone_url": "https://git.example.com/vision/Detector.git",
        "default_branch": "main",
        "image_name": "detector",
        "run_name": "detector",
        "template": "model",
        "pull_request": "",
        "author": "",
        "text": "",
        "files": [],
        "short_revision": SHA[:7],
        "branch": "main",
        "ref": "refs/heads/main",
        "revision": SHA,
        "since": "",
        "ignore": "",
        "target": "",
        "further": "[]",
        "traceparent": otlp.of_event("e"),
    }


def test_a_delivery_keeps_the_trace_that_it_came_with_and_else_has_its_own():
    headers, body = BY_NAME["github-push"].delivery()
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for text, trace in ((given, given), ("nonsense", otlp.of_event("e"))):
        passed = PUSHES.process(request(named(headers, traceparent=text), body), secrets)
        assert passed.extensions["traceparent"] == trace


def test_the_branch_that_counts_may_be_configured():
    judge = Delivery.build({"events": ["push"], "branch": "release"})
    with pytest.raises(
        UnwantedError, match="only the branch, release, starts a run, and this was a"
    ):
        judge.process(request(*BY_NAME["github-push"].delivery()), secrets)
    release = BY_NAME["github-push"].delivery(ref="refs/heads/release")
    assert judge.process(request(*release), secrets).extensions["branch"] == "release"


STRANGE_WORDS = "x\u001b[2J; nothing started" + "y" * 200


@pytest.mark.parametrize(
    ("sample", "changes"),
    [
        ("github-push", {"ref": f"refs/heads/{STRANGE_WORDS}"}),
        ("github-push", {"after": STRANGE_WORDS}),
        ("github-push", {"repository.default_branch": STRANGE_WORDS}),
        ("github-push", {"commits.0": {"added": [f"{STRANGE_WORDS}.md"]}}),
        ("github-tag", {"ref": f"refs/tags/{STRANGE_WORDS}"}),
        ("github-pull-request", {"action": STRANGE_WORDS}),
        ("github-pull-request", {"pull_request.base.ref": STRANGE_WORDS}),
        ("gitlab-merge-request", {"object_attributes.action": STRANGE_WORDS}),
    ],
)
def test_a_strangers_words_do_not_leave_their_sentence(sample, changes):
    params = {"events": ["push", "tag", "pull_request"], "ignore": IGNORE, "tags": "^v[0-9]"}
    delivery = request(*BY_NAME[sample].delivery(**changes))
    with pytest.raises(UnwantedError) as caught:
        Delivery.build(params).process(delivery, secrets)
    # `; ` parts the sentences of several triggers.
    assert str(caught.value).isprintable() and ";" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "expected some of"),
        ({"events": ["branch"]}, "expected some of"),
        ({"events": "push"}, "a list of texts"),
        ({"events": ["push"], "branch": 7}, "got branch 7"),
        ({"events": ["push"], "ignore": "("}, "regular expression"),
        ({"events": ["push"], "asks": "no"}, "true or false"),
        ({"events": ["push"], "paths": ["docs"]}, "'paths'"),
    ],
)
def test_params_that_it_does_not_define_are_refused(params, reason):
    with pytest.raises(ValueError, match=reason):
        Delivery.build(params)


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.speech.__name__)
def test_every_forge_is_asked_for_a_proof_of_all_that_it_sends(sender):
    kinds = tuple({kind for told in sender.events.values() for kind in told})
    proof = sender.proof(kinds)
    assert proof.secret == (sender.held_in, "token")
    assert set(proof.event_types) == set(sender.events)


def asked(app, params, headers, body, **more):
    """What Tekton's sink posts, and what it is answered."""
    document = {
        "body": body.decode(),
        "header": lists(headers),
        "extensions": {},
        "interceptor_params": params,
        "context": {"event_url": "/", "event_id": "e", "trigger_id": "namespaces/n/triggers/t"},
    }
    answer = TestClient(app).post("/", json=document | more)
    assert answer.status_code == 200
    return answer.json()


APP = interceptor_server.create_app(secrets)


@pytest.mark.parametrize("sample", [*SAMPLES, *COMMENTS], ids=lambda sample: sample.name)
def test_the_server_answers_the_sink_as_the_interceptor_judges_here(sample):
    headers, body = sample.delivery()
    for events in (["push", "tag"], ["pull_request"], ["comment"]):
        for asks in (True, False):
            params = {"events": events, "asks": asks, "ignore": IGNORE, "tags": "^v"}
            answer = asked(APP, params, headers, body)
            try:
                passed = Delivery.build(params).process(request(headers, body), secrets)
            except StoppedError as error:
                assert answer["continue"] is False
                assert answer["status"] == {"code": 9, "message": str(error)}
            else:
                assert answer == {
                    "continue": True,
                    "status": {},
                    "extensions": passed.extensions,
                }


def test_the_server_answers_what_is_no_request_of_the_sinks():
    client = TestClient(APP)
    for content in (b"", b"[]", b"null", b"[" * 100_000, b'{"header": 7}', b'{"header": {"a": 7}}'):
        answer = client.post("/", content=content)
        assert (answer.status_code, answer.json()["continue"]) == (200, False)
    headers, body = BY_NAME["github-push"].delivery()
    assert "'paths'" in asked(APP, {"paths": []}, headers, body)["status"]["message"]
    assert client.post("/", content=b" " * (9 << 20)).json()["status"]["code"] == 3
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_server_counts_deliveries_by_forge_and_by_how_triggers_took_them():
    client = TestClient(app := interceptor_server.create_app(secrets))
    headers, body = BY_NAME["github-push"].delivery()
    pushes = {"events": ["push"]}
    asked(app, pushes, headers, body)
    asked(app, pushes, headers, body + b" ")  # no longer what was signed
    asked(app, {"events": ["comment"]}, headers, body)
    asked(app, pushes, *BY_NAME["gitlab-push"].delivery(ref="refs/heads/feature/x"))
    client.post("/", content=b"nonsense")
    families = text_string_to_metric_families(client.get("/metrics").text)
    counted = {
        (sample.labels["forge"], sample.labels["outcome"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "touchstone_interceptor_deliveries_total" and sample.value
    }
    assert counted == {
        ("github", "started"): 1,
        ("github", "refused"): 1,
        ("github", "elsewhere"): 1,
        ("gitlab", "ignored"): 1,
        ("unknown", "invalid"): 1,
    }


@pytest.mark.parametrize("half", [r"\ud800", "\ud800"], ids=["escaped", "as bytes"])
def test_half_a_character_in_a_name_is_replaced_as_go_does(half):
    headers, body = BY_NAME["github-push"].delivery(ref="refs/heads/HALF")
    body = body.replace(b"HALF", half.encode(errors="surrogatepass"))
    headers = named(headers, x_hub_signature_256=signed(HUB, body))
    judge = Delivery.build({"events": ["push"], "branch": "\ufffd"})
    assert judge.process(request(headers, body), secrets).extensions["branch"] == "\ufffd"


def test_the_server_reads_each_secret_where_it_is_mounted(tmp_path):
    held = interceptor_server.secrets_of(tmp_path)
    app = interceptor_server.create_app(held)
    headers, body = BY_NAME["github-push"].delivery()
    params = {"events": ["push"]}
    assert "has no key token" in asked(app, params, headers, body)["status"]["message"]
    (tmp_path / "touchstone-webhook").mkdir()
    (tmp_path / "touchstone-webhook" / "token").write_bytes(SECRETS[HUB, "token"])
    assert asked(app, params, headers, body)["continue"] is True


def test_a_deliverys_sentence_is_the_whole_outcome(state, triggers):
    listener = Listener(state, triggers=triggers, secrets=secrets)
    post(listener, *BY_NAME["github-push"].delivery(ref="refs/heads/feature/x"))
    (event,) = state.pending_events()
    assert listener.process(event).outcome == (
        "push: nothing started, only the default branch, main, starts a run,"
        " and this was a push to feature/x"
    )


def test_a_push_of_notes_is_for_no_trigger():
    delivery = request(*BY_NAME["gitlab-push"].delivery(ref="refs/notes/commits"))
    with pytest.raises(ElsewhereError, match="it tells of no branch or tag"):
        PUSHES.process(delivery, secrets)


def test_another_kind_of_event_is_for_other_triggers():
    with pytest.raises(ElsewhereError, match="the event type pull_request is for other triggers"):
        PUSHES.process(request(*BY_NAME["github-pull-request"].delivery()), secrets)


def test_a_header_that_comes_twice_is_stored_with_both_values_and_without_its_secrets(
    state, triggers
):
    listener = Listener(state, triggers=triggers, secrets=secrets)
    headers, body = BY_NAME["gitlab-push"].delivery()
    pairs = [*headers.items(), ("X-Team", "a"), ("x-team", "b"), ("x-copy", LAB), ("x-copy", LAB)]
    answer = TestClient(create_app(listener)).post("/", headers=pairs, content=body)
    assert answer.json()["status"] == "stored"
    (event,) = state.pending_events()
    assert LAB not in json.dumps(dict(event.headers))
    opened = credentials.unseal(event.headers, secrets)
    assert (opened["x-team"], opened["x-copy"]) == ("a\nb", f"{LAB}\n{LAB}")
    assert "{secret touchstone-gitlab/token}" in credentials.shown(event.headers)["x-copy"]


def test_of_two_signatures_the_first_counts_as_on_a_cluster(state, triggers):
    listener = Listener(state, triggers=triggers, secrets=secrets)
    headers, body = BY_NAME["github-push"].delivery()
    wrong = ("x-hub-signature-256", f"sha256={'0' * 64}")
    client = TestClient(create_app(listener))
    assert client.post("/", headers=[wrong, *headers.items()], content=body).status_code == 401
    assert client.post("/", headers=[*headers.items(), wrong], content=body).status_code == 202
