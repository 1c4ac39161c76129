"""Do two URLs name the same repository? However they are spelled and by whatever protocol."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

_WEB_PORTS = {"http": 80, "https": 443}


def place(url: str) -> str:
    """`host/owner/name`, or the path of a repository of this machine: equal for the same place.

    `https://git@Example.org/me/model.git/`, `ssh://git@example.org:2222/me/model` and
    `git@example.org:me/model.git` are one place. A port tells web servers apart; that of SSH does
    not, as a forge's two are never the same. The path keeps its case: most forges tell it apart.
    """
    text = url.strip()
    scp = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)", text)
    if scp:
        host, path = scp[1], scp[2]
    elif "://" in text:
        parts = urlsplit(text)
        host, path = parts.hostname or "", unquote(parts.path)
        web_port = _WEB_PORTS.get(parts.scheme)
        if host and web_port and _port(text) not in (None, web_port):
            host = f"{host}:{_port(text)}"
    else:
        host, path = "", text
    path = posixpath.normpath("/" + path.strip("/")).removesuffix(".git")
    return host.lower().rstrip(".") + path


def shown(url: str) -> str:
    """The URL without the credentials that it may hold, to be written where others read it."""
    return re.sub(r"(://)[^/@\s]+@", r"\1", url.strip())


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None
