"""A store in the bucket of an object store: Amazon S3 and what speaks like it, Google, Azure.

Laid out as a store in a folder is, so `aws s3 sync` makes one of the other. A blob is created
under the condition that nothing has its name, and is never there in part. The library signs,
retries with backoff and uploads in parts; a download that breaks off goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
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
        from obstore import head

        try:
            with self._explained():
                head(self._store, _blob(digest))
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
        "allow_http": options.get("endpoint", "").startswith("http://"),
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
        if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
            raise _no_bucket(where) from None
        if writing:
            raise _no_bucket(where) from None
        raise
    except BaseError as error:
        text = str(error)
        for said, got, hint in _CAUSES:
            if re.search(said, text):
                raise PlatformError(
                    f"the store {where}: {got}: {_cause(text)}", hint=hint
                ) from None
        raise PlatformError(
            f"the store {where}: {_cause(text)}", hint="try again; the store's own log says more"
        ) from None


def _no_bucket(where: str) -> PlatformError:
    return PlatformError(
        f"the store {where}: got no such bucket, expected one that exists",
        hint="create it (touchstone does not), or mend uri in the Secret touchstone-store",
    )


_KEYS_HINT = "look at the keys of the Secret touchstone-store (docs/reference/stores.md)"
_CAUSES = (
    (
        "RequestTimeTooSkewed|RequestExpired",
        "got a clock that differs from the store's, expected at most 15 minutes",
        "set the clock of this machine (chrony, systemd-timesyncd)",
    ),
    (
        "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed"
        "|InvalidSecret|UnauthenticatedError|401 Unauthorized",
        "got a credential that it does not accept",
        _KEYS_HINT,
    ),
    (
        "AccessDenied|403 Forbidden|AuthorizationPermissionMismatch|AllAccessDisabled",
        "got a refusal, expected the right to get, put and list objects below the prefix",
        "give the credential of the Secret touchstone-store these rights",
    ),
    (
        "AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint|301 Moved",
        "got another region than the bucket's",
        "write the bucket's region into the Secret touchstone-store as region",
    ),
    (
        r"169\.254\.169\.254|169\.254\.170\.|metadata\.google|credential",
        "got no credential, neither from the Secret nor from the machine",
        _KEYS_HINT,
    ),
    (
        "UnknownIssuer|invalid peer certificate|certificate",
        "got a certificate that nobody here trusts",
        "put the authority's certificate into the Secret touchstone-store as ca.crt",
    ),
    (
        "error sending request|dns error|timed out|[Cc]onnection|error decoding response",
        "it cannot be reached",
        "look at endpoint in the Secret touchstone-store, at the network and its policies",
    ),
)
"""What an answer holds, what it means, and what to do."""


def _cause(text: str) -> str:
    """The first line and the service's code, without a URL's query: it may hold a signature."""
    code = re.search(r"<Code>(\w+)</Code>(?:<Message>([^<]*))?", text)
    first = re.sub(r"\?\S+", "", text.splitlines()[0] if text else "it said nothing")
    first = first.partition(", after ")[0].partition(": <?xml")[0]
    return f"{first[:300]}: {code[1]} {code[2] or ''}".rstrip() if code else first[:300]


def _blob(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _parts(source: Readable) -> Iterator[bytes]:
    while chunk := source.read(_PART):
        yield chunk
