"""Was this body signed by someone who holds the webhook's secret?

Accepted are HMAC-SHA256 signatures of the whole body. GitHub, Forgejo and Gitea write them as
`X-Hub-Signature-256: sha256=<hex>`, Bitbucket as `X-Hub-Signature: sha256=<hex>`, and Forgejo and
Gitea also as bare digits under their own names. SHA-1 signatures are not accepted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from touchstone.events.headers import first

HEADER = "x-hub-signature-256"
"""GitHub's header, in lower case."""

_PREFIX = "sha256="
BARE = ("x-forgejo-signature", "x-gitea-signature")


def sign(body: bytes, secret: bytes) -> str:
    """The header's value for `body`: `sha256=` and 64 hexadecimal digits."""
    return _PREFIX + hmac.new(secret, body, hashlib.sha256).hexdigest()


def of_github(headers: Mapping[str, str]) -> str:
    """The signature that GitHub, Forgejo or Gitea sent, as GitHub writes it; empty where none."""
    if header := first(headers, HEADER):
        return header
    return next((_PREFIX + bare for name in BARE if (bare := first(headers, name))), "")


def problem(header: str | None, body: bytes, secret: bytes, *, name: str = HEADER) -> str:
    """Why the signature is not accepted, in Tekton's words, or an empty string where it is.

    Raises:
        ValueError: the secret is empty, so that anyone could sign.
    """
    if not secret:
        raise ValueError("got an empty webhook secret, expected at least one byte")
    if not header:
        return f"no {name} header set"
    # compare_digest refuses text outside ASCII; bytes are compared whatever was sent.
    if not hmac.compare_digest(header.encode("utf-8", "replace"), sign(body, secret).encode()):
        return "payload signature check failed"
    return ""
