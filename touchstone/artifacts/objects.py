"""A store in the bucket of an object store: Amazon S3 and what speaks like it, Google, Azure.

Laid out as a store in a folder is, so `aws s3 sync` makes one of the other. A blob is created
under the condition that nothing has its name, and is never there in part. The library signs,
retries with backoff and uploads in parts; a download that breaks off goes on where it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from typing import Any

from touchstone.artifacts.backend import Chunks
from touchstone.beneath import Readable
from touchstone.errors import PlatformError

_PART = 8 << 20
"""Bytes of a part; up to this many a blob is sent as one, on the condition that it is new."""

_PATIENCE = timedelta(seconds=60)
"""Without a byte; and for all tries of one request together."""

_RETRIES = 8

_REF = 71
"""Characters of `sha256:<64 hex digits>`."""

KEYS: Mapping[str, Mapping[str, str]] = {
    "s3": {
        "access-key-id": "access_key_id",
        "secret-access-key": "secret_access_key",
        "session-token": "session_token",
        "region": "region",
        "endpoint": "endpoint",
        "virtual-hosted": "virtual_hosted_style_request",
        "anonymous": "skip_signature",
    },
    "gs": {
        "service-account.json": "service_account_key",
        "endpoint": "base_url",
        "anonymous": "skip_signature",
    },
    "az": {
        "account": "account_name",
        "account-key": "account_key",
        "sas-token": "sas_key",
        "tenant-id": "tenant_id",
        "client-id": "client_id",
        "client-secret": "client_secret",
        "endpoint": "endpoint",
        "anonymous": "skip_signature",
    },
}
"""What the library calls each option, by scheme and by its key in the store's Secret."""


class Objects:
    """Blobs as `blobs/sha256/<hex>` and references as `refs/<name>`, below a bucket's prefix."""

    at_once = 16

    def __init__(self, scheme: str, bucket: str, prefix: str, options: Mapping[str, str]) -> None:
        self.remote = f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else "")
        self._store = opened(scheme, bucket, prefix, options)

    def __str__(self) -> str:
        return self.remote

    def contains(self, digest: str) -> bool:
        from obstore import get_range, head
        from obstore.exceptions import BaseError

        try:
            head(self._store, _blob(digest))
        except FileNotFoundError:
            return False
        except BaseError:  # of which a HEAD says no more than a number
            try:
                with self._explained():
                    get_range(self._store, _blob(digest), start=0, length=1)
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def opened(self, digest: str) -> Iterator[Readable]:
        with self._explained():
            yield stream(self._store, _blob(digest))

    def put(self, digest: str, source: Readable, size: int) -> None:
        from obstore import put
        from obstore.exceptions import AlreadyExistsError

        with self._explained(writing=True):
            if size > _PART:  # parts know no condition; the same name means the same bytes
                put(
                    self._store,
                    _blob(digest),
                    _parts(source),
                    use_multipart=True,
                    chunk_size=_PART,
                    max_concurrency=4,
                )
                return
            try:
                put(self._store, _blob(digest), source.read(), mode="create")
            except AlreadyExistsError:
                return

    def bind(self, digest: str, parts: Iterable[str]) -> None:
        """Nothing to do: a bucket keeps what no rule of its own removes."""

    def ref(self, name: str) -> str | None:
        from obstore import get

        try:
            with self._explained():
                return bytes(get(self._store, f"refs/{name}").bytes())[: _REF + 1].decode(
                    "ascii", "replace"
                )
        except FileNotFoundError:
            return None

    def set_ref(self, name: str, digest: str) -> None:
        from obstore import put

        with self._explained(writing=True):
            put(self._store, f"refs/{name}", digest.encode())

    def refs(self, under: str) -> Iterator[str]:
        from obstore import list as listed

        with self._explained():
            for page in listed(self._store, prefix=f"refs/{under}".rstrip("/")):
                yield from sorted(str(found["path"]).removeprefix("refs/") for found in page)

    def remedy(self, digest: str) -> str:
        return f"remove {self.remote}/{_blob(digest)}"

    @contextmanager
    def _explained(self, *, writing: bool = False) -> Iterator[None]:
        with explained(self.remote, writing=writing):
            yield


def opened(scheme: str, bucket: str, prefix: str, options: Mapping[str, str]) -> Any:
    """The library's own store; what `options` leave out, its usual environment variables say.

    Raises:
        PlatformError: an option has a value that the library cannot take.
    """
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    kinds: Mapping[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    config = {KEYS[scheme][key]: value for key, value in options.items() if key in KEYS[scheme]}
    client: dict[str, Any] = {
        "allow_http": _endpoint(options).startswith("http://"),
        "connect_timeout": "10s",
        "read_timeout": _PATIENCE,
        "timeout": "1h",  # of a whole download
    }
    if "ca.crt" in options:
        client["root_certificate"] = options["ca.crt"]
    try:
        return kinds[scheme](
            bucket,
            prefix=prefix or None,
            config=config,
            client_options=client,
            retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
        )
    except (BaseError, ValueError, TypeError) as error:
        raise PlatformError(
            f"got the store {scheme}://{bucket}, which cannot be opened: {_cause(str(error))}",
            hint="docs/reference/stores.md has the keys of the store's Secret",
        ) from None


def _endpoint(options: Mapping[str, str]) -> str:
    of_aws = (os.environ.get(f"AWS_ENDPOINT_URL{which}", "") for which in ("_S3", ""))
    return options.get("endpoint") or next(filter(None, of_aws), "")


def stream(store: Any, path: str) -> Readable:
    """What is under `path`. Raises FileNotFoundError where nothing is."""
    from obstore import get
    from obstore.exceptions import GenericError

    def begin(offset: int) -> Iterable[bytes]:
        asked: Any = {"range": {"offset": offset}} if offset else None
        chunks: Iterable[bytes] = get(store, path, options=asked).stream(min_chunk_size=1 << 20)
        return chunks

    return Chunks(begin, passes=lambda error: isinstance(error, (GenericError, OSError)))


@contextmanager
def explained(where: str, *, writing: bool = False) -> Iterator[None]:
    """Turns what the library raises into an error that says what to do.

    Raises:
        FileNotFoundError: nothing has this name.
        PlatformError: everything else.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if not writing and _code(str(error)) in ("", "NoSuchKey", "BlobNotFound"):
            raise
        raise _told(where, str(error)) from None
    except BaseError as error:
        raise _told(where, str(error)) from None


def _told(where: str, text: str) -> PlatformError:
    code, why = _code(text), _cause(text)
    for said, got, hint in _CAUSES:
        if re.search(said, code or why):
            return PlatformError(f"the store {where}: got {got}: {why}", hint=hint)
    return PlatformError(
        f"the store {where}: got an error: {why}", hint="try again; the store's own log says more"
    )


_KEYS_HINT = "look at the keys of the Secret (docs/reference/stores.md)"
_CAUSES = (
    (
        "RequestTimeTooSkewed|RequestExpired",
        "a clock that differs from the store's, expected at most 15 minutes",
        "set the clock of this machine (chrony, systemd-timesyncd)",
    ),
    (
        "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed"
        "|InvalidSecret|UserNotFound|401 Unauthorized",
        "a credential that it does not accept",
        _KEYS_HINT,
    ),
    (
        "AccessDenied|403 Forbidden|AuthorizationPermissionMismatch|AllAccessDisabled",
        "a refusal, expected the right to get, put and list objects below the prefix",
        "give the credential of the Secret these rights",
    ),
    (
        "AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint|301 Moved",
        "another region than the bucket's",
        "write the bucket's region into the Secret as region",
    ),
    (
        "NoSuchBucket|ContainerNotFound|404 Not Found",
        "no such bucket, expected one that exists",
        "create it, which touchstone does not, or mend uri in the Secret",
    ),
    (
        "instance metadata",
        "no credential, neither from the Secret nor from the machine",
        _KEYS_HINT,
    ),
    (
        "InvalidCertificate",
        "a certificate that nobody here trusts",
        "put the authority's certificate into the Secret as ca.crt",
    ),
    (
        "it cannot be reached",
        "no answer",
        "look at endpoint in the Secret, at the network and its policies",
    ),
)
"""What the service's code says or else the cause, what it means, and what to do."""


def _code(text: str) -> str:
    found = re.search(r"<Code>(\w+)</Code>", text)
    return found[1] if found else ""


def _cause(text: str) -> str:
    """In words, without a URL: it may hold a signature."""
    if code := _code(text):
        message = re.search("<Message>([^<]*)", text)
        return f"{code} {unescape(message[1]) if message else ''}".strip()[:300]
    if re.search(r"169\.254\.(169\.254|170\.)|metadata\.google", text):
        return "the cloud's instance metadata were asked in vain"
    if certificate := re.search(r"InvalidCertificate\(\s*(\w+)", text):
        return f"InvalidCertificate {certificate[1]}"
    if "error sending request" in text or "error decoding response" in text:
        inner = re.search(
            r'error: "([^"]*)"|kind: (ConnectionRefused|TimedOut)|(Invalid\w+),', text
        )
        said = next(filter(None, inner.groups())) if inner else "the connection broke"
        return f"it cannot be reached ({said})"
    if status := re.search(r"status code: (\d+ [\w ]+)", text):
        return status[1].strip()
    first = text.splitlines()[0] if text else "it said nothing"
    return re.sub(r"https?://\S+", "its address", first)[:300]


def _blob(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _parts(source: Readable) -> Iterator[bytes]:
    while chunk := source.read(_PART):
        yield chunk
