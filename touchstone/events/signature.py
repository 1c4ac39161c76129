"""Was this body signed by someone who holds the webhook's secret?"""

from __future__ import annotations

import hashlib
import hmac

HEADER = "x-hub-signature-256"
"""GitHub's header, in lower case. The older SHA-1 header is not accepted."""

_PREFIX = "sha256="


def sign(body: bytes, secret: bytes) -> str:
    """The header's value for `body`: `sha256=` and 64 hexadecimal digits."""
    return _PREFIX + hmac.new(secret, body, hashlib.sha256).hexdigest()


def problem(header: str | None, body: bytes, secret: bytes) -> str:
    """Why the signature is not accepted, or an empty string where it is.

    Raises:
        ValueError: the secret is empty, so that anyone could sign.
    """
    if not secret:
        raise ValueError("got an empty webhook secret, expected at least one byte")
    if not header:
        return "got no X-Hub-Signature-256 header, expected sha256=<64 hex digits>"
    # compare_digest refuses text outside ASCII; bytes are compared whatever was sent.
    if not hmac.compare_digest(header.encode("utf-8", "replace"), sign(body, secret).encode()):
        return "got a signature that does not match the body and the shared secret"
    return ""
