"""A PingSource fires its CloudEvent once a moment, and once at most for all that was missed."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from touchstone.errors import ManifestError
from touchstone.events.listener import Listener
from touchstone.events.schedules import Schedules, load_schedules
from touchstone.events.server import create_app
from touchstone.events.triggers import load_listeners
from touchstone.runs.store import State

TEKTON = Path(__file__).parents[3] / "tekton"
PING = """\
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata:
  name: hourly
spec:
  schedule: "{schedule}"
  timezone: {timezone}
  contentType: application/json
  data: '{{"url": "https://git.example.com/m.git", "repository": "me/m",
    "branch": "main", "forge": "gitlab"}}'
  ceOverrides: {{extensions: {{purpose: retrain}}}}
  sink: {{ref: {{apiVersion: v1, kind: Service, name: el-touchstone-sources}}}}
"""


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def load(tmp_path, schedule="0 * * * *", timezone="Etc/UTC", text=PING):
    file = tmp_path / "ping.yaml"
    file.write_text(text.format(schedule=schedule, timezone=timezone))
    return load_schedules([file], listeners=["touchstone-sources"])


@pytest.fixture
def listener(state):
    outside, inside = load_listeners([TEKTON / "triggers", TEKTON / "sources"])
    return Listener(
        state,
        triggers=outside,
        inside=[inside],
        secrets=lambda name, key: b"s",
        overrides={"model-url": "file:///srv/model.git", "gitops-url": "file:///srv/gitops.git"},
    )


def test_a_moment_fires_knatives_event_once_and_starts_one_task(tmp_path, state, listener):
    schedules = Schedules(state, load(tmp_path))
    assert schedules.tick(at("2026-11-24T09:59:59")) == 0
    assert schedules.tick(at("2026-11-24T10:00:00")) == 1
    assert schedules.tick(at("2026-11-24T10:00:01")) == 0
    (event,) = state.pending_events()
    told = {name: event.headers[name] for name in ("ce-type", "ce-source", "ce-id", "ce-purpose")}
    assert told == {
        "ce-type": "dev.knative.sources.ping",
        "ce-source": "/apis/v1/namespaces/default/pingsources/hourly",
        "ce-id": "2026-11-24T10:00:00Z",
        "ce-purpose": "retrain",
    }
    (name,) = listener.process_pending()
    spec = state.run(name).manifest["spec"]
    assert spec["taskRef"]["name"] == "start-run"
    params = {item["name"]: item["value"] for item in spec["params"]}
    assert (params["template"], params["ref"]) == ("model", "refs/heads/main")
    assert params["repo-url"] == "file:///srv/model.git"  # what the installation knows better


def test_what_was_missed_fires_once_at_the_next_start_and_nothing_before_the_first(tmp_path, state):
    found = load(tmp_path)
    assert Schedules(state, found).tick(at("2026-11-24T10:30:00")) == 0
    again = Schedules(State(state.path.parent), found)
    assert again.tick(at("2026-11-24T17:45:00")) == 1
    (event,) = state.pending_events()
    assert event.event_id == "2026-11-24T17:00:00Z"
    assert again.tick(at("2026-11-24T18:00:00")) == 1


def test_a_kill_between_the_event_and_its_note_fires_no_second_event(tmp_path, state):
    schedules = Schedules(state, load(tmp_path))
    schedules.tick(at("2026-11-24T09:30:00"))
    with state.transaction() as connection:
        before = connection.execute("SELECT name, value FROM settings").fetchall()
    schedules.tick(at("2026-11-24T10:00:00"))
    with state.transaction() as connection:
        connection.executemany("REPLACE INTO settings VALUES (?, ?)", before)
    assert schedules.tick(at("2026-11-24T10:00:02")) == 0
    assert len(state.pending_events()) == 1


@pytest.mark.parametrize(
    ("schedule", "timezone", "after", "due"),
    [
        ("0 3 * * 1", "Europe/Berlin", "2026-11-23T01:00:00", "2026-11-23T02:00:00"),
        ("*/20 0 3 * * 1", "Etc/UTC", "2026-11-23T03:00:25", "2026-11-23T03:00:40"),
        ("@daily", "America/New_York", "2026-11-23T04:00:00", "2026-11-23T05:00:00"),
        ("0 0 1 JAN *", "Etc/UTC", "2026-11-23T00:00:00", None),
    ],
)
def test_fields_seconds_names_and_time_zones(tmp_path, schedule, timezone, after, due):
    (found,) = load(tmp_path, schedule, timezone)
    now = at(due) if due else at("2026-12-31T23:59:59")
    assert found.due(at(after), now) == (at(due) if due else None)


def test_no_request_reaches_the_listener_that_asks_for_no_proof(listener):
    client = TestClient(create_app(listener))
    headers = {"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "1",
               "ce-source": "/x", "ce-type": "dev.knative.sources.ping"}  # fmt: skip
    answer = client.post("/touchstone-sources", headers=headers, content=b"{}")
    assert answer.status_code == 404
    assert client.post("/", headers=headers, content=b"{}").status_code == 422


@pytest.mark.parametrize(
    ("old", "new", "place", "problem"),
    [
        ('"{schedule}"', '"@every 5m"', "6:3", "five or six fields"),
        ('"{schedule}"', '"61 * * * *"', "6:3", "a moment that comes"),
        ('"{schedule}"', '"0 0 30 2 *"', "6:3", "a moment that comes"),
        ('"{schedule}"', '"* * * foo *"', "6:3", "a moment that comes"),
        ('"{schedule}"', '"0 0 L * *"', "6:3", "five or six fields"),
        ('"{schedule}"', '"0 0 * *"', "6:3", "five or six fields"),
        ("{timezone}", "Mars/Olympus", "7:3", "Europe/Berlin"),
        ("application/json", "text/plain", "8:3", "application/json"),
        ("'{{", "'x{{", "9:3", "not JSON"),
        ("name: el-touchstone-sources", "name: el-other", "12:", "el-touchstone-sources"),
        ("name: el-touchstone-sources", "name: other", "12:", "pattern"),
        ("ceOverrides", "ceOverride", "11:3", "no such field"),
        ("  name: hourly", "  nam: hourly", "3:1", "metadata: got no name"),
    ],
)
def test_a_wrong_pingsource_is_refused_with_its_place(tmp_path, old, new, place, problem):
    with pytest.raises(ManifestError, match=problem) as caught:
        load(tmp_path, text=PING.replace(old, new))
    assert f"ping.yaml:{place}" in str(caught.value)


def test_a_second_one_of_a_name_is_refused_and_other_kinds_are_left_alone(tmp_path):
    with pytest.raises(ManifestError, match="second PingSource"):
        load(tmp_path, text=PING + "---\n" + PING)
    assert load_schedules([TEKTON / "triggers"], listeners=[]) == ()
