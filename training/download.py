"""Fetch one file: `python -P download.py URI FILE MOST`, https:// or s3://, of at most MOST bytes.

Of an object store, TOUCHSTONE_DATA_OPTIONS has the keys of the Secret touchstone-data as JSON;
without it the AWS_* variables say who asks, or nobody does. Start it confined.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from touchstone.artifacts import objects
from touchstone.beneath import Readable
from touchstone.errors import PlatformError

_PATIENCE = 60
"""Seconds without a byte."""


class _Encrypted(HTTPRedirectHandler):
    """Follows only where nobody between can read along; what signs a request stays here."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme != "https":
            raise OSError(f"it leads on to {newurl}, expected https://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def options_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The options of the object store; of AWS's variables those that its library does not read."""
    given = environment.get("TOUCHSTONE_DATA_OPTIONS", "")
    if given:
        found: dict[str, str] = json.loads(given)
        return found
    options = {}
    if endpoint := environment.get("AWS_ENDPOINT_URL_S3", ""):
        options["endpoint"] = endpoint
    if not environment.get("AWS_ACCESS_KEY_ID"):
        options["anonymous"] = "true"
    return options


@contextmanager
def opened(uri: str) -> Iterator[Readable]:
    """What is at the address, for reading."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        store = objects.opened("s3", parts.netloc, "", options_of(os.environ))
        with objects.explained(f"s3://{parts.netloc}"):
            yield objects.stream(store, unquote(parts.path).lstrip("/"))
        return
    asked = Request(uri, headers={"User-Agent": "touchstone"})  # noqa: S310 (asked.py: https)
    with build_opener(_Encrypted).open(asked, timeout=_PATIENCE) as found:
        yield found


def main(uri: str, file: Path, most: int) -> None:
    """Fetch; exits with why it cannot."""
    try:
        with opened(uri) as found, file.open("xb") as copy:
            left = most + 1
            while left and (part := found.read(min(left, 1 << 20))):
                copy.write(part)
                left -= len(part)
    except (OSError, HTTPException, ValueError, PlatformError) as error:
        with suppress(FileNotFoundError):
            file.unlink()
        absent = isinstance(error, FileNotFoundError)
        sys.exit(f"error: {'nothing is there' if absent else error}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.stderr.write("usage: python -P download.py URI FILE MOST\n")
        sys.exit(2)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
