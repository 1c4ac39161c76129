"""Which event is this? Two deliveries of one identity are one event.

* A CloudEvent is known by its source and id, as the specification has it.
* A signed webhook is known by the digest of its body and by nothing else. No header is covered by
  the signature: neither delivery ids (`X-GitHub-Delivery`, `X-Gitea-Delivery`, Bitbucket's
  `X-Request-UUID`) nor those that name the sender or the kind of event. A captured body sent again
  under other headers is the event it was. A forge's own redelivery repeats the body.
* GitLab signs nothing; who can send a body can send any body. So its own `Idempotency-Key` (or the
  older `X-Gitlab-Event-UUID`) counts where its token is the proof, which tells a second push of a
  commit from a retry. Without it, and for every other token, the digest of the body counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from touchstone.artifacts.store import digest_bytes
from touchstone.events import cloud_events
from touchstone.events.headers import first

_FORGES = (
    ("x-forgejo-event", "forgejo"),
    ("x-gitea-event", "gitea"),
    ("x-github-event", "github"),
    ("x-gitlab-event", "gitlab"),
    ("x-event-key", "bitbucket"),
)
"""The header in which each names the kind of event."""

_OTHERS = (("x-slack-signature", "slack"), ("x-minio-deployment-id", "minio"))
WEBHOOKS = tuple(name for _, name in (*_FORGES, *_OTHERS)) + ("webhook",)
"""All that `source_of` says: a body known under one of them is known under each."""
_GITLAB = ("idempotency-key", "x-gitlab-event-uuid")
_DELIVERIES = (
    "x-github-delivery",
    "x-gitea-delivery",
    "x-forgejo-delivery",
    "x-request-uuid",
    "x-request-id",
    "x-gitlab-webhook-uuid",
)


def source_of(headers: Mapping[str, str]) -> str:
    """Who seems to have sent a webhook: `github`, `gitlab`, …, or `webhook`."""
    return next(
        (name for header, name in (*_FORGES, *_OTHERS) if first(headers, header)), "webhook"
    )


def event_type(headers: Mapping[str, str]) -> str:
    """The kind of event as its sender names it; empty where it names none."""
    return next((text for name, _ in _FORGES if (text := first(headers, name))), "")


def delivery_of(headers: Mapping[str, str]) -> str:
    """The id under which the sender's own page lists the delivery; empty where there is none."""
    return next((text for name in _DELIVERIES if (text := first(headers, name))), "")


def of_webhook(headers: Mapping[str, str], body: bytes, *, signed: bool) -> tuple[str, str]:
    """(source, id) of a webhook whose sender was proved; `signed` where a signature proved it."""
    source = source_of(headers)
    if source == "gitlab" and not signed:
        key = next((text for name in _GITLAB if (text := first(headers, name))), "")
        if key:
            return source, key
    return source, digest_bytes(body)


def of_cloud_event(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """(source, id) of a CloudEvent. Raises ValueError where it is none of version 1.0."""
    source, identity = cloud_events.identity(headers, body)
    # The prefix keeps an event that calls its source `github` apart from webhooks.
    return f"cloudevents {source}", identity
