"""Deliveries as a forge sends them, for the tests of events."""

from __future__ import annotations

import json
from typing import Any

from touchstone.events import signature

SECRET = b"a webhook secret"


def push(**changes: Any) -> dict[str, Any]:
    """The fields of GitHub's `push` that the triggers read."""
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": "0123456789abcdef0123456789abcdef01234567",
        "deleted": False,
        "repository": {
            "name": "Object-Detector",
            "full_name": "vision/Object-Detector",
            "clone_url": "file:///srv/model.git",
            "default_branch": "main",
        },
        **changes,
    }


def signed(document: Any) -> tuple[dict[str, str], bytes]:
    """Headers (names in lower case) and body of a delivery that the listener accepts."""
    body = json.dumps(document).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": "1",
        signature.HEADER: signature.sign(body, SECRET),
    }
    return headers, body
