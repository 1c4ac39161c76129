"""Which file does a web server give?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from touchstone.engine.text.remote.fetched import LIMIT, Fetched, ResolutionError, as_text, required

_SECONDS = 60.0
"""Time limit of a request, as in Tekton."""


def from_http(params: Mapping[str, str]) -> Fetched:
    """Params: url, of http or https. Raises ResolutionError."""
    import httpx

    (url,) = required(params, "url")
    if not url.startswith(("http://", "https://")):
        raise ResolutionError(f"got the url {url!r}, expected http or https")
    secret = sorted(name for name in params if name.startswith("http-"))
    if secret:
        raise ResolutionError(f"got {', '.join(secret)}: no secret is sent from here, use git")
    content = b""
    try:
        with httpx.stream("GET", url, timeout=_SECONDS, follow_redirects=True) as response:
            if response.status_code != httpx.codes.OK:
                raise ResolutionError(f"{url}: got status {response.status_code}, expected 200")
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > LIMIT:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ResolutionError(f"{url}: {error}") from None
    digest = hashlib.sha256(content).hexdigest()
    return Fetched(text=as_text(content, url), uri=url, digest={"sha256": digest})
