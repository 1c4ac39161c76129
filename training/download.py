"""Fetch one file: `python -P download.py URI FILE MOST`, https:// or s3://, of at most MOST bytes.

Of an object store, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY sign the request where they are set
(AWS Signature Version 4), AWS_REGION and AWS_ENDPOINT_URL_S3 say which it is. Start it confined.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

_PATIENCE = 60
"""Seconds without a byte."""

_EMPTY = hashlib.sha256(b"").hexdigest()


class _Encrypted(HTTPRedirectHandler):
    """Follows only where nobody between can read along; what signs a request stays here."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme != "https":
            raise OSError(f"it leads on to {newurl}, expected https://")
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None:
            found.remove_header("Authorization")
        return found


def request(uri: str, environment: Mapping[str, str], moment: time.struct_time) -> Request:
    """What is asked for an https:// or s3:// address."""
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        return Request(uri, headers={"User-Agent": "touchstone"})  # noqa: S310 (asked.py: https)
    region = environment.get("AWS_REGION", "us-east-1")
    endpoint = environment.get("AWS_ENDPOINT_URL_S3", f"https://s3.{region}.amazonaws.com")
    path = f"{urlsplit(endpoint).path.rstrip('/')}/{parts.netloc}{quote(unquote(parts.path))}"
    host = urlsplit(endpoint).netloc
    headers = {
        "host": host,
        "x-amz-content-sha256": _EMPTY,
        "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", moment),
    }
    if token := environment.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    if key := environment.get("AWS_ACCESS_KEY_ID"):
        secret = environment.get("AWS_SECRET_ACCESS_KEY", "")
        headers["Authorization"] = _signed(headers, path, region, key, secret)
    return Request(f"{urlsplit(endpoint).scheme}://{host}{path}", headers=headers)  # noqa: S310


def _signed(headers: Mapping[str, str], path: str, region: str, key: str, secret: str) -> str:
    """The Authorization of a GET as AWS Signature Version 4 has it."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join(["GET", path, "", lines, names, _EMPTY])
    moment = headers["x-amz-date"]
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"):
        signature = hmac.digest(signature, part.encode(), "sha256")
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names},"
        f" Signature={signature.hex()}"
    )


def main(uri: str, file: Path, most: int) -> None:
    """Fetch; exits with why it cannot."""
    asked = request(uri, os.environ, time.gmtime())
    try:
        with (
            build_opener(_Encrypted).open(asked, timeout=_PATIENCE) as found,
            file.open("xb") as copy,
        ):
            left = most + 1
            while left and (part := found.read(min(left, 1 << 20))):
                copy.write(part)
                left -= len(part)
    except (OSError, HTTPException, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.stderr.write("usage: python -P download.py URI FILE MOST\n")
        sys.exit(2)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
