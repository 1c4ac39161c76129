"""Which Secrets does an installation need, which are made here, and how does one make the others?

Private halves of keys go from this process to the API server: no file of the platform's repository
ever holds one. What is there already is kept: a new signing key would disown every release.
"""

from __future__ import annotations

import base64
import secrets as random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from touchstone.delivery.attestation import generate_keys, key_text
from touchstone.errors import UsageError
from touchstone.install.api import INSTALLATION, Api, manager_of
from touchstone.install.values import FORGES, Installation

SIGNING, RECORDING = "touchstone-signing-key", "touchstone-recording-key"
STORE, PUSH, READ = "touchstone-store", "touchstone-git-push", "touchstone-git-read"
REGISTRY, FORGE, TRACKER = "touchstone-registry", "touchstone-forge-token", "touchstone-mlflow"
HUNG = {
    "touchstone-promoter": PUSH,
    "touchstone-builder": REGISTRY,
    "touchstone-source": READ,
    "touchstone-requests": READ,
}
"""Which ServiceAccount has which credentials; Tekton goes without a Secret that is not there."""
_BASIC, _DOCKER = "kubernetes.io/basic-auth", "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True, slots=True)
class Secret:
    """One Secret of the runs' namespace."""

    name: str
    keys: tuple[str, ...]
    use: str
    type: str = "Opaque"
    made: bool = False
    """Whether its content is drawn here, and not given by people."""
    needed: bool = True
    git: str = ""
    """Host whose git it opens (annotation tekton.dev/git-0)."""

    def document(self, namespace: str, data: Mapping[str, bytes]) -> dict[str, Any]:
        """The object."""
        metadata: dict[str, Any] = {"name": self.name, "namespace": namespace}
        if self.git:
            metadata["annotations"] = {"tekton.dev/git-0": self.git}
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": self.type,
            "metadata": metadata,
            "data": encoded,
        }

    def command(self, namespace: str) -> str:
        """What makes it by hand."""
        start = f"kubectl create secret generic {self.name} -n {namespace}"
        if self.type != "Opaque":
            start += f" --type={self.type}"
        return " ".join([start, *(f"--from-file={key}=FILE" for key in self.keys)])


def wanted(values: Installation) -> list[Secret]:
    """All that runs mount, the needed ones first."""
    host, kind, keys = _git(values.gitops)
    every = [
        Secret(SIGNING, ("private.pem", "public.pem"), "promote signs attestations", made=True),
        Secret(RECORDING, ("private.pem",), "records what comments decided", made=True),
        Secret(values.webhook, ("token",), f"verifies webhooks of {values.forge}", made=True),
        Secret(
            PUSH, keys, "promote pushes branches of the GitOps repository", kind, git=host,
            needed=bool(host),
        ),
        Secret(REGISTRY, (".dockerconfigjson",), "build-image pushes models' images", _DOCKER),
        Secret(
            READ, keys, "fetch-source reads private repositories", kind, git=host, needed=False,
        ),
        Secret(FORGE, (values.forge,), "report writes statuses of commits", needed=False),
        Secret(TRACKER, ("uri",), "track logs runs to an MLflow server", needed=False),
    ]  # fmt: skip
    if values.store:
        every.insert(3, Secret(STORE, ("uri",), "every stage reads and writes artifacts"))
    return sorted(every, key=lambda one: not one.needed)


def drawn(secret: Secret) -> dict[str, bytes]:
    """New content of a Secret that is made here: a key pair, or a webhook's token."""
    if secret.name in FORGES.values():
        return {"token": random.token_hex(32).encode()}
    with tempfile.TemporaryDirectory(prefix="touchstone-keys-") as folder:
        pair = generate_keys(Path(folder))
        found = {"private.pem": pair.private, "public.pem": pair.public}
        return {key: found[key].read_bytes() for key in secret.keys}


def given(folder: Path | None, secret: Secret, values: Installation) -> dict[str, bytes]:
    """What people put into FOLDER/<secret>/<key>; of the store at least where it is.

    Raises:
        UsageError: a key that is needed is not there.
    """
    own = folder / secret.name if folder else None
    data = (
        {one.name: one.read_bytes() for one in sorted(own.iterdir()) if one.is_file()}
        if own and own.is_dir()
        else {}
    )
    if secret.type == _BASIC:  # whoever typed a line ended it
        data = {key: value.rstrip(b"\r\n") for key, value in data.items()}
    if secret.name == STORE and data:
        data.setdefault("uri", values.store.encode())
    if data and (lacking := [key for key in secret.keys if key not in data]):
        raise UsageError(
            f"got {own} with {', '.join(data)}, expected {', '.join(lacking)} too",
            hint=f"each key of a Secret is a file: FOLDER/{secret.name}/{lacking[0]}",
        )
    return data


@dataclass(slots=True)
class Ensured:
    """What became of the Secrets of the namespaces of runs."""

    drawn: list[str]
    """`namespace/name` of those that were made here."""
    given: list[str]
    """Those that people gave, now as they gave them."""
    kept: list[str]
    """Those that were there, and stay."""
    absent: list[tuple[str, Secret]]
    """Those that nobody gave, with their namespace."""


def ensure(
    api: Api, namespaces: Sequence[str], values: Installation, folder: Path | None
) -> Ensured:
    """Let every namespace of runs have its Secrets. The label says that they go with it.

    The key that records decisions is one for all: people.yaml names one.

    Raises:
        UsageError: what people gave lacks a key.
    """
    done = Ensured([], [], [], [])
    recording: dict[str, bytes] = {}
    for namespace in namespaces:
        main = namespace == values.namespace
        place = folder if main or folder is None else folder / namespace
        for secret in wanted(values):
            name = f"{namespace}/{secret.name}"
            data = given(place, secret, values)
            old = there(api, namespace, secret.name)
            if old is not None and not (data and not secret.made):
                done.kept.append(name)
                data = old
            elif data:
                done.given.append(name)
                _put(api, secret, namespace, data, values)
            elif secret.made:
                done.drawn.append(name)
                data = recording if secret.name == RECORDING and recording else drawn(secret)
                _put(api, secret, namespace, data, values)
            else:
                done.absent.append((namespace, secret))
            if secret.name == RECORDING:
                recording = recording or data
    return done


def _put(
    api: Api, secret: Secret, namespace: str, data: Mapping[str, bytes], values: Installation
) -> None:
    document = secret.document(namespace, data)
    document["metadata"]["labels"] = {
        "app.kubernetes.io/part-of": "touchstone",
        INSTALLATION: values.namespace,
    }
    api.apply(document, manager=manager_of(values.namespace), force=True)


def there(api: Api, namespace: str, name: str) -> Any:
    """A Secret of the cluster, decoded; None where there is none."""
    found = api.get("v1", "Secret", name, namespace)
    if found is None:
        return None
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


def namespaces(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Those of runs, among the objects of an installation."""
    return [
        one["metadata"]["namespace"]
        for one in objects
        if one["kind"] == "EventListener" and one["metadata"]["name"] == "touchstone"
    ]


def pushing(api: Api, values: Installation) -> dict[str, bytes]:
    """The credentials that promotions are pushed with, as the cluster has them."""
    return there(api, values.namespace, PUSH) or {}


def recorder(api: Api, of: Sequence[str]) -> str:
    """The public half of the recording key, as people.yaml names it; empty where none is there."""
    found = next(filter(None, (there(api, one, RECORDING) for one in of)), None)
    if not found:
        return ""
    private = found["private.pem"]
    with tempfile.TemporaryDirectory(prefix="touchstone-keys-") as folder:
        file = Path(folder) / "private.pem"
        file.touch(mode=0o600)
        file.write_bytes(private)
        return key_text(generate_keys(file.parent).public)


def lines(values: Installation) -> Iterator[str]:
    """How all of them are made without this command, for the README of a platform repository."""
    for secret in wanted(values):
        need = "" if secret.needed else " (if you have one)"
        yield f"# {secret.use}{need}"
        yield secret.command(values.namespace)
        if secret.git:
            yield (
                f"kubectl annotate secret {secret.name} -n {values.namespace}"
                f" tekton.dev/git-0={secret.git}"
            )


def _git(url: str) -> tuple[str, str, tuple[str, ...]]:
    """Host, type and keys of the credentials that open a repository, as Tekton wants them."""
    if "://" not in url:  # user@host:path
        url = "ssh://" + url.replace(":", "/", 1)
    parts = urlsplit(url)
    if parts.scheme == "ssh":
        return parts.hostname or "", "kubernetes.io/ssh-auth", ("ssh-privatekey", "known_hosts")
    if parts.scheme not in ("https", "http"):
        return "", _BASIC, ("username", "password")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}", _BASIC, ("username", "password")
