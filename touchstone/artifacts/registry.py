"""A store in a repository of an OCI registry: blobs by digest are what registries keep anyway.

OCI Distribution Specification 1.1. What no manifest names, a registry may sweep away, so each
artifact has one that names its blobs, tagged `artifact.<hex>`; a reference is a tag too. Registries
have no conditional write of a tag: the last one stands, as in a folder.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin

from touchstone.artifacts.backend import Chunks
from touchstone.beneath import Readable
from touchstone.errors import ManifestError, PlatformError

if TYPE_CHECKING:
    import httpx

KEYS = (".dockerconfigjson", "plain-http")
"""Keys of the Secret of a store in a registry."""

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_KIND = "application/vnd.touchstone.artifact.v1"
_EMPTY: Mapping[str, Any] = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(),
    "size": 2,
}
_NAME, _DIGEST = "dev.touchstone.ref", "dev.touchstone.digest"
_LAYERS = 10_000
"""In one manifest: registries take 4 MiB."""

_CHUNK = 32 << 20
_READ = 1 << 20
_PATIENCE = 60
"""Seconds without a byte."""

_TRIES = 6
_PASSING = {408, 429, 500, 502, 503, 504}


class Registry:
    """Blobs as blobs and references as tags of one repository."""

    at_once = 8

    def __init__(self, host: str, repository: str, options: Mapping[str, str]) -> None:
        self.remote = f"oci://{host}/{repository}"
        if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository):
            raise ManifestError(
                f"got the store {self.remote}, expected oci://registry/repository in lower case",
                hint="name a repository that nothing else is pushed to",
            )
        scheme = "http" if options.get("plain-http") == "true" else "https"
        self._api = f"{scheme}://{host}/v2/{repository}/"
        self._scope = f"repository:{repository}:pull,push"
        self._basic = _credential(options.get(".dockerconfigjson", ""), host)
        self._authority = options.get("ca.crt", "")
        self._client: httpx.Client | None = None
        self._authorization = ""
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}

    def __str__(self) -> str:
        return self.remote

    def contains(self, digest: str) -> bool:
        answer = self._ask("HEAD", f"blobs/{digest}", expected={200, 404})
        if answer.status_code == 200:
            self._sizes[digest] = int(answer.headers.get("content-length", 0))
        return answer.status_code == 200

    @contextmanager
    def opened(self, digest: str) -> Iterator[Readable]:
        import httpx

        stream = Chunks(
            lambda offset: self._download(digest, offset),
            passes=lambda error: isinstance(error, httpx.TransportError),
        )
        try:
            yield stream
        except httpx.HTTPError as error:
            self._unreachable(error)
        finally:
            stream.close()

    def put(self, digest: str, source: Readable, size: int) -> None:
        if size <= _CHUNK:
            self._put_at_once(digest, source.read())
        else:
            self._put_by_chunks(digest, source)
        self._sizes[digest] = size

    def bind(self, digest: str, parts: Iterable[str]) -> None:
        named = [digest, *sorted({*parts} - {digest})]
        for start in range(0, len(named), _LAYERS):
            tag = f"artifact.{digest.removeprefix('sha256:')}" + (f".{start}" if start else "")
            self._tag(tag, [self._layer(one) for one in named[start : start + _LAYERS]], {})

    def ref(self, name: str) -> str | None:
        return self._annotated(_tag_of(name)).get(_DIGEST)

    def set_ref(self, name: str, digest: str) -> None:
        layers: list[Mapping[str, Any]] = (
            [self._layer(digest)] if self.contains(digest) else [_EMPTY]
        )
        self._tag(_tag_of(name), layers, {_NAME: name, _DIGEST: digest})

    def refs(self, under: str) -> Iterator[str]:
        page = "tags/list?n=1000"
        while page:
            answer = self._ask("GET", page, expected={200, 404})
            if answer.status_code == 404:
                return
            for tag in answer.json().get("tags") or []:
                name = _name_of(tag)
                if name is None and tag.startswith(_HASHED):
                    name = self._annotated(tag).get(_NAME)
                if name is not None and name.startswith(under + "/"):
                    yield name
            page = answer.links.get("next", {}).get("url", "")

    def remedy(self, digest: str) -> str:
        return f"delete the blob {digest} from {self.remote}"

    def _layer(self, digest: str) -> Mapping[str, Any]:
        if digest not in self._sizes:
            self.contains(digest)
        size = self._sizes.get(digest, 0)
        return {"mediaType": "application/octet-stream", "digest": digest, "size": size}

    def _tag(
        self, tag: str, layers: list[Mapping[str, Any]], annotations: Mapping[str, str]
    ) -> None:
        if _EMPTY["digest"] not in self._sizes and not self.contains(_EMPTY["digest"]):
            self.put(_EMPTY["digest"], BytesIO(b"{}"), 2)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": _KIND,
            "config": _EMPTY,
            "layers": layers,
            "annotations": annotations,
        }
        self._ask(
            "PUT",
            f"manifests/{tag}",
            expected={201},
            headers={"Content-Type": _MANIFEST},
            content=json.dumps(manifest, sort_keys=True).encode(),
        )

    def _annotated(self, tag: str) -> Mapping[str, str]:
        answer = self._ask(
            "GET", f"manifests/{tag}", expected={200, 404}, headers={"Accept": _MANIFEST}
        )
        if answer.status_code == 404:
            return {}
        try:
            found = answer.json()["annotations"]
            return {str(key): str(value) for key, value in found.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise PlatformError(
                f"the store {self.remote}: got another manifest under the tag {tag}, expected one"
                " that the store has written",
                hint="give the store a repository of its own",
            ) from None

    def _download(self, digest: str, offset: int) -> Iterator[bytes]:
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        answer = self._ask(
            "GET", f"blobs/{digest}", expected={200, 206, 404}, headers=headers, stream=True
        )
        try:
            if answer.status_code == 404:
                raise FileNotFoundError(digest)
            skip = offset if answer.status_code == 200 else 0
            for chunk in answer.iter_raw(_READ):
                yield chunk[skip:]
                skip = max(0, skip - len(chunk))
        finally:
            answer.close()

    def _put_at_once(self, digest: str, data: bytes) -> None:
        location = self._begun()
        self._ask("PUT", _with_digest(location, digest), expected={201}, content=data)

    def _put_by_chunks(self, digest: str, source: Readable) -> None:
        location, offset = self._begun(), 0
        try:
            while chunk := source.read(_CHUNK):
                location = self._patched(location, offset, chunk)
                offset += len(chunk)
        except PlatformError:
            self._ask("DELETE", location, expected=set(range(200, 500)))
            raise
        self._ask("PUT", _with_digest(location, digest), expected={201})

    def _begun(self) -> str:
        answer = self._ask("POST", "blobs/uploads/", expected={202})
        return self._location(answer)

    def _patched(self, location: str, offset: int, chunk: bytes) -> str:
        """Send what is at `offset`; after a broken connection only what had not arrived."""
        done = 0
        for left in reversed(range(_TRIES)):
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{offset + done}-{offset + len(chunk) - 1}",
            }
            try:
                answer = self._ask(
                    "PATCH",
                    location,
                    expected={202},
                    headers=headers,
                    content=chunk[done:],
                    tries=1,
                )
                return self._location(answer)
            except PlatformError:
                if not left:
                    raise
            answer = self._ask("GET", location, expected={204})
            location = self._location(answer)
            last = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("range", ""))
            done = min(len(chunk), max(0, int(last[1]) + 1 - offset)) if last else 0
            if done == len(chunk):
                return location
        raise AssertionError("the last try returns or raises")

    def _location(self, answer: httpx.Response) -> str:
        location: str = answer.headers.get("location", "")
        return urljoin(str(answer.url), location)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        expected: set[int],
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        stream: bool = False,
        tries: int | None = None,
    ) -> httpx.Response:
        """The answer, with a token where one is asked for; tried again while it may be passing."""
        import httpx

        client, tries = self._connected(), tries or _TRIES
        url = urljoin(self._api, path)
        renewed = False
        for left in reversed(range(tries + 1)):
            given = dict(headers or {})
            ours = httpx.URL(url).netloc == httpx.URL(self._api).netloc
            if self._authorization and ours:
                given["Authorization"] = self._authorization
            request = client.build_request(method, url, headers=given, content=content)
            try:
                answer = client.send(request, stream=stream, follow_redirects=method == "GET")
            except httpx.TransportError as error:
                if left <= 1:
                    self._unreachable(error)
                time.sleep(_pause(tries - left))
                continue
            if answer.status_code in expected:
                return answer
            if stream:
                answer.read()
                answer.close()
            if answer.status_code == 401 and ours and not renewed:
                renewed = True
                self._authorize(client, answer)
            elif answer.status_code in _PASSING and left > 1:
                wait = answer.headers.get("retry-after", "")
                time.sleep(min(30.0, float(wait)) if wait.isdigit() else _pause(tries - left))
            else:
                self._refused(answer)
        raise AssertionError("the last try returns or raises")

    def _connected(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                context = ssl.create_default_context()
                if self._authority:
                    try:
                        context.load_verify_locations(cadata=self._authority)
                    except (ssl.SSLError, ValueError) as error:
                        raise ManifestError(
                            f"got ca.crt in the Secret of {self.remote}, which is no certificate in"
                            f" PEM: {error}",
                            hint="docs/reference/stores.md has the keys of a store's Secret",
                        ) from None
                self._client = httpx.Client(verify=context, timeout=_PATIENCE)
        return self._client

    def _authorize(self, client: httpx.Client, answer: httpx.Response) -> None:
        """Answer the registry's challenge: with the credential, or with a token got for it."""
        challenge = answer.headers.get("www-authenticate", "")
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            self._authorization = f"Basic {self._basic}" if self._basic else ""
            return
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.get("realm", "")
        if kind.lower() != "bearer" or not realm.startswith(("https://", self._api.split("/")[0])):
            self._refused(answer)
        params = {"scope": self._scope} | (
            {"service": asked["service"]} if "service" in asked else {}
        )
        given = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        got = client.get(realm, params=params, headers=given)
        if got.status_code != 200:
            self._refused(got)
        try:
            found = got.json()
            self._authorization = f"Bearer {found.get('token') or found['access_token']}"
        except (ValueError, KeyError, AttributeError):
            self._refused(got)

    def _unreachable(self, error: Exception) -> NoReturn:
        if "certificate" in str(error).lower():
            raise PlatformError(
                f"the store {self.remote}: got a certificate that nobody here trusts: {error}",
                hint="put the authority's certificate into the Secret touchstone-store as ca.crt",
            ) from None
        raise PlatformError(
            f"the store {self.remote}: it cannot be reached: {error or type(error).__name__}",
            hint="look at uri in the Secret touchstone-store (plain-http: true for a registry"
            " without TLS), at the network and its policies",
        ) from None

    def _refused(self, answer: httpx.Response) -> NoReturn:
        try:
            said = "; ".join(
                f"{one.get('code')} {one.get('message', '')}".strip()
                for one in answer.json()["errors"]
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            said = answer.reason_phrase
        got, hint = _MEANINGS.get(answer.status_code, _FAILED)
        raise PlatformError(
            f"the store {self.remote}: {got}: {answer.status_code} {said[:300]}", hint=hint
        )


_MEANINGS: Mapping[int, tuple[str, str]] = {
    401: (
        "got a credential that it does not accept",
        "look at .dockerconfigjson of the Secret touchstone-store (docs/reference/stores.md)",
    ),
    403: (
        "got a refusal, expected the right to pull and push",
        "give the account of the Secret touchstone-store this right",
    ),
    404: ("got no such repository", "create it in the registry, or mend uri"),
    405: ("got a registry that takes nothing", "name one that is no read-only mirror"),
    413: ("got a limit for the size of a blob", "raise it in the registry or the proxy before it"),
}
_FAILED = ("got an error, expected an answer of the specification", "its log says more; try again")
_HASHED = "refsha256."


def _tag_of(name: str) -> str:
    """A tag has no slash and at most 128 characters."""
    tag = "ref." + name.replace("_", "__").replace("/", "_-")
    return tag if len(tag) <= 128 else _HASHED + hashlib.sha256(name.encode()).hexdigest()


def _name_of(tag: str) -> str | None:
    if not tag.startswith("ref."):
        return None
    return re.sub("_([_-])", lambda one: {"_": "_", "-": "/"}[one[1]], tag.removeprefix("ref."))


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def _pause(tried: int) -> float:
    return 0.2 * 2.0**tried


def _credential(text: str, host: str) -> str:
    """`user:password` in base64, as the Secret's .dockerconfigjson has it for the registry.

    Raises:
        ManifestError: it is no such document, or has nothing for this registry.
    """
    if not text:
        return ""
    try:
        auths = json.loads(text)["auths"]
        found = {_host_of(key): value for key, value in auths.items()}
        one = found[host]
        given = (
            one.get("auth")
            or base64.b64encode(f"{one['username']}:{one['password']}".encode()).decode()
        )
        base64.b64decode(given, validate=True)
        return str(given)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise ManifestError(
            "got .dockerconfigjson in the Secret of the store, expected"
            f' {{"auths": {{"{host}": {{"auth": "…"}}}}}}',
            hint="kubectl create secret docker-registry writes one",
        ) from None


def _host_of(key: str) -> str:
    return re.sub(r"^https?://", "", key).partition("/")[0]
