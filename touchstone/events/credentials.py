"""Keeping secrets that come with an event out of the database.

GitLab and object stores send the shared secret itself in a header. Once it was checked, the header
is stored as a reference to the Secret that it fits; the value is put back in when the event is
processed or replayed. Credentials that fit no Secret are not stored at all.

References are kept under a name that no HTTP header can have, so no sender can write one.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Mapping

from touchstone.errors import TouchstoneError
from touchstone.events.interceptors.interceptor import Secrets

SEALED = ":sealed"
_CREDENTIALS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "x-gitlab-token", "x-amz-security-token"}
)


def seal(
    headers: Mapping[str, str], known: Iterable[tuple[str, str]], secrets: Secrets
) -> dict[str, str]:
    """The headers to store: each word that is one of the `known` secrets becomes a reference."""
    values = []
    for name, key in sorted(known):
        try:
            values.append((name, key, secrets(name, key)))
        except TouchstoneError:
            continue  # a forge that is not connected has no Secret
    stored: dict[str, str] = {}
    sealed: dict[str, list[str | list[str]]] = {}
    for header, text in headers.items():
        words: list[str | list[str]] = []
        for word in re.split("([ \n])", text):
            given = word.encode("utf-8", "replace")
            fits = [[n, k] for n, k, value in values if value and hmac.compare_digest(given, value)]
            words.append(fits[0] if fits else word)
        if any(isinstance(word, list) for word in words):
            sealed[header] = words
        elif header not in _CREDENTIALS:
            stored[header] = text
    return stored | ({SEALED: json.dumps(sealed)} if sealed else {})


def unseal(headers: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """The headers as they came. A Secret that is gone leaves its header out."""
    opened = {name: text for name, text in headers.items() if not name.startswith(":")}
    for header, words in json.loads(headers.get(SEALED, "{}")).items():
        try:
            texts = [w if isinstance(w, str) else secrets(w[0], w[1]).decode() for w in words]
        except (TouchstoneError, UnicodeDecodeError):
            continue
        opened[header] = "".join(texts)
    return opened


def shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers for people: references as `{secret NAME/KEY}`."""
    opened = {name: text for name, text in headers.items() if not name.startswith(":")}
    for header, words in json.loads(headers.get(SEALED, "{}")).items():
        opened[header] = "".join(
            w if isinstance(w, str) else f"{{secret {w[0]}/{w[1]}}}" for w in words
        )
    return opened
