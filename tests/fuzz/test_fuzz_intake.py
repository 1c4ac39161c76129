"""Any request to the real listener: an answer below 500, and what was stored replays the same."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from forge_samples import HEADERS, SAMPLES, secrets
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import strategies as ours
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.runs.store import State

LIMIT = 1 << 16
BODIES = [sample.body for sample in SAMPLES]
ENVELOPE = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": BODIES[0]}
NAMES = ["content-type", "content-length", "x-github-event", "x-gitlab-event", "x-event-key",
         "x-hub-signature-256", "x-hub-signature", "x-gitlab-token", "idempotency-key", "ce-id",
         "ce-specversion", "ce-source", "ce-type", "ce-time", "x-thing", "authorization",
         "x-forwarded-for", "transfer-encoding", ":path", ":sealed", "x-slack-signature",
         "content-encoding", "x-github-enterprise-host"]  # fmt: skip
LETTERS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20)
WORDS = LETTERS | st.sampled_from(
    ["", "application/json", "application/json; charset=utf-16", "application/cloudevents+json",
     "application/x-www-form-urlencoded", "text/plain", "push", "Push Hook", "1.0", "9" * 5000,
     "-1", "sha256=", "sha256=\xff", "2026-13-01", "$(body)", "application/cloudevents-batch+json",
     "[]", '{"a": 1}']
)  # fmt: skip


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    logging.disable(logging.CRITICAL)
    yield Listener(
        State(tmp_path_factory.mktemp("home")),
        triggers=load_triggers([ours.ROOT / "tekton" / "triggers"]),
        also=[load_triggers([Path(__file__).with_name("listener.yaml")])],
        secrets=secrets,
    )
    logging.disable(logging.NOTSET)


def send(listener: Listener, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    """Through the app itself: what a server in front of it would refuse arrives too."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(listener, max_body=LIMIT))
        async with httpx.AsyncClient(transport=transport, base_url="http://listener") as client:
            raw = [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
            ]
            return await client.post(path, headers=raw, content=body)

    return asyncio.run(ask())


def check(listener: Listener, path: str, headers: dict[str, str], body: bytes) -> None:
    """The promise: below 500, and a stored event is processed to the same end every time."""
    answer = send(listener, path, headers, body)
    assert answer.status_code < 500, answer.text
    assert answer.status_code in (200, 202, 307, 404) or answer.json()["error"]
    for event in listener.state.pending_events():
        once, again = listener.process(event), listener.process(event)
        assert once == again
        json.dumps(once.runs, allow_nan=False)
        listener.state.finish_event(event.id, outcome=once.outcome, runs=once.runs)
    if answer.status_code == 202 and answer.json()["status"] == "stored":
        repeated = send(listener, path, headers, body)
        assert repeated.json()["status"] == "duplicate"


paths = st.sampled_from(["/", "/anything", "/anything?a=b&c", "/?x=%ff", "/anything/", "/%00"])
changes = st.dictionaries(st.sampled_from(NAMES), WORDS | st.none(), max_size=3)


def changed(headers: dict[str, str], changes: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in (headers | changes).items() if value is not None}


def encoded(document: Any, how: str) -> bytes:
    text = json.dumps(document)
    if how == "gzip":
        return gzip.compress(text.encode())
    if how == "form":
        return ("payload=" + text).encode()
    return text.encode(how)


bodies = st.builds(
    encoded,
    ours.mutated(BODIES) | ours.mutated([ENVELOPE]) | ours.values,
    st.sampled_from(["utf-8"] * 8 + ["utf-16", "utf-8-sig", "utf-32", "gzip", "form"]),
)
raw_bodies = (
    st.binary(max_size=50)
    | ours.spoiled([json.dumps(body) for body in BODIES]).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
    | st.builds(lambda n: b"[" * n, st.integers(0, LIMIT + 1))
    | st.builds(lambda n: b'{"a":' * n + b"1" + b"}" * n, st.integers(0, 3000))
)


@given(paths, st.sampled_from(SAMPLES), bodies | raw_bodies, changes)
def test_a_signed_delivery_with_any_body_is_answered_and_replays(
    listener: Listener, path: str, sample: Any, body: bytes, changes: dict[str, Any]
) -> None:
    check(listener, path, changed(HEADERS[sample.forge](sample.event, body), changes), body)


@given(
    paths,
    st.dictionaries(st.sampled_from(NAMES) | st.from_regex("[a-z:-]{1,9}", fullmatch=True), WORDS),
    bodies | raw_bodies,
)
def test_any_headers_with_any_body_are_answered(
    listener: Listener, path: str, headers: dict[str, str], body: bytes
) -> None:
    check(listener, path, headers, body)


@given(paths, bodies | raw_bodies, changes, st.booleans())
def test_any_cloud_event_is_answered_and_replays(
    listener: Listener, path: str, body: bytes, changes: dict[str, Any], structured: bool
) -> None:
    headers = {"content-type": "application/cloudevents+json"}
    if not structured:
        headers = {"content-type": "application/json"}
        headers |= {
            f"ce-{name}": ENVELOPE[name] for name in ("specversion", "id", "source", "type")
        }
    check(listener, path, changed(headers, changes), body)
