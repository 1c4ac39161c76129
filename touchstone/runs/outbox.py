"""How do the CloudEvents in the outbox reach their sink? At least once, and in order within a run.

An event is marked as sent only after the sink took it, so a kill in between sends it again with
the same id. The time of the next try is stored with it: a restart keeps the backoff. What the
sink refuses, or did not take after all tries, becomes a dead letter, which `retry` revives.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from touchstone.errors import UsageError
from touchstone.runs.store import SINK, Outgoing, State

TRIES = 18
"""Tries before an event is a dead letter: with the backoff and its jitter, 1.5 to 3 hours."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 1800.0
_TRANSIENT = {404, 408, 409, 413, 429}
"""4xx answers after which Knative tries again, as it does after every 5xx."""


def set_sink(state: State, url: str) -> None:
    """Tell of every run from now on to `url`; empty stops it, what is pending stays.

    Raises:
        UsageError: it is no http or https URL.
    """
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"--sink: got {url!r}, expected an http:// or https:// URL")
    state.set_setting(SINK, url)


def deliver(state: State, *, now: float | None = None) -> int:
    """Send what is due to the sink, one event a run; how many the sink took."""
    import httpx

    sink = state.setting(SINK)
    if sink is None:
        return 0
    taken = 0
    moment = time.time() if now is None else now
    with httpx.Client(timeout=10, follow_redirects=False) as client:
        for entry in state.outbox_due(moment):
            problem, again = _send(client, sink, entry)
            _note(state, entry, problem, again=again, now=moment)
            taken += not problem
    return taken


def retry(state: State, ids: Sequence[int] = ()) -> int:
    """Revive dead letters, those of `ids` or all; how many."""
    dead = [entry for entry in state.outbox("dead") if not ids or entry.id in ids]
    state.note_try([replace(one, state="pending", tries=0, next_try=0.0) for one in dead])
    return len(dead)


def drop(state: State) -> int:
    """Make dead letters of all that waits, as for a sink that is no more; how many."""
    return state.drop_outbox()


def wait_after(tries: int) -> float:
    """Seconds until the next try after `tries` failed ones, without the jitter."""
    return float(min(_FIRST_WAIT * 2.0**tries, _LONGEST_WAIT))


def _send(client: Any, sink: str, entry: Outgoing) -> tuple[str, bool]:
    """What went wrong, empty where nothing did, and whether another try may help."""
    import httpx

    headers = {
        f"ce-{name}": value for name, value in entry.attributes.items() if name != "datacontenttype"
    }
    headers["content-type"] = entry.attributes["datacontenttype"]
    try:
        answer = client.post(sink, content=entry.data.encode(), headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{type(error).__name__}: {error}", True
    except ValueError as error:  # an attribute that no header can hold
        return f"it cannot be sent: {error}", False
    if answer.is_success:
        return "", False
    again = answer.status_code >= 500 or answer.status_code in _TRANSIENT or answer.is_redirect
    return f"the sink answered {answer.status_code}, expected 2xx", again


def _note(state: State, entry: Outgoing, problem: str, *, again: bool, now: float) -> None:
    tries = entry.tries + 1
    if not problem:
        told, wait = "sent", 0.0
    elif again and tries < TRIES:
        told = "pending"
        wait = wait_after(entry.tries) * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
    else:
        told, wait = "dead", 0.0
    noted = replace(entry, state=told, tries=tries, next_try=now + wait, error=problem)
    state.note_try([noted])
