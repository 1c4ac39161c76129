"""A release: one model version, what it was made from, and the manifest that serves it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from touchstone.artifacts.store import digest_bytes, digest_file
from touchstone.delivery import attestation
from touchstone.documents import kubectl
from touchstone.documents.naming import MODEL, shortens
from touchstone.documents.validated import refused
from touchstone.errors import TouchstoneError
from touchstone.runs import faults

RELEASE_FILE = "release.json"
SERVICE_FILE = "inferenceservice.yaml"
REPORT_FILE = "trust-report.md"
ATTESTATION_FILE = "attestation.intoto.jsonl"
APPROVALS_FILE = "approvals.intoto.jsonl"
"""The reviewers' signed decisions by which it was merged; a merge alone writes it."""
_STORE = "/var/run/touchstone/store"
"""Where the Secret of the store is mounted in the predictor's Pod."""
VERSION_LENGTH = 12
"""Hex digits of a commit that name a version."""

Digest = str
_DIGEST = Field(pattern=r"^sha256:[0-9a-f]{64}$")


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )


class Digests(_Strict):
    """What the release was made of, in the artifact store."""

    model: Digest = _DIGEST
    source: Digest = _DIGEST
    verdict: Digest = _DIGEST


class Serve(_Strict):
    """How it is served; from spec.serve of touchstone.yaml."""

    protocol: Literal["v1", "v2"]
    canary: int = Field(ge=1, le=100)
    min_replicas: int = Field(ge=0)


class Release(_Strict):
    """release.json; all of it is signed, as the attestation has its digest."""

    api_version: Literal["touchstone.dev/v1"] = "touchstone.dev/v1"
    kind: Literal["Release"] = "Release"
    model: str = Field(pattern=f"^{MODEL}$")
    repository: str = Field(min_length=1)
    """URL of the model repository that it comes from, without credentials."""
    environments: tuple[str, ...] = Field(min_length=1)
    """Where it may be served, if the environment's policy lets it in."""
    version: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    created: str
    """RFC 3339, UTC."""
    image: str
    """The serving image by digest: `name@sha256:…`."""
    digests: Digests
    policy: Digest = _DIGEST
    """Of the gates' policy that the verdict was reached by."""
    floor: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """Of the environments' floor under that policy; empty where there is none."""
    serve: Serve
    store: str = ""
    """URI of the object store or registry that has the model; empty of a volume."""
    files: dict[str, Digest] = Field(default_factory=dict)
    """Digests of the files beside release.json; attestation and approvals cannot be among them."""

    @property
    def identity(self) -> str:
        """One digest for all that matters: two promotions of one result are the same release."""
        document = self.model_dump(by_alias=True, exclude={"created"})
        if not self.store:  # a release of before there were others is still the same
            del document["store"]
        return digest_bytes(json.dumps(document, sort_keys=True).encode())

    def to_text(self) -> str:
        """The content of release.json."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    @property
    def parameters(self) -> dict[str, Any]:
        """What the provenance says that it was built for and from."""
        return {
            "model": self.model,
            "repository": self.repository,
            "commit": self.commit,
            "environments": list(self.environments),
        }

    @property
    def judged_by(self) -> dict[str, str]:
        """What the test result says that it rests on; without a floor it names none."""
        floor = {"floor": self.floor} if self.floor else {}
        return {"verdict": self.digests.verdict, "policy": self.policy, **floor}


def means(given: str, version: str) -> bool:
    """Whether a person who typed `given` may mean the version: itself, its start, its commit."""
    return given == version or shortens(given, version)


def subjects(release: Release, text: bytes) -> dict[str, str]:
    """What every Statement about a release is about; `text` is its release.json."""
    return {"model": release.digests.model, RELEASE_FILE: digest_bytes(text)}


def parse(text: str | bytes, *, location: str) -> Release:
    """The Release in a release.json.

    Raises:
        ManifestError: it is not one; names every field that is wrong.
    """
    try:
        return Release.model_validate_json(text)
    except ValidationError as error:
        raise refused(error, lambda _: location, Release, hint="promote the model again") from None


def image_reference(url: str, digest: str) -> str:
    """`name@sha256:…`, whether `url` already has a digest, a tag, or neither."""
    return url if "@" in url else f"{url}@{digest}"


def inference_service(release: Release) -> dict[str, Any]:
    """The KServe manifest (v1beta1) of a release.

    The predictor unpacks the one tree named by its digest, and so checks every byte before it
    serves. It reads it from the volume that the storage initializer mounts, or from the store that
    the Secret `touchstone-store` of the serving namespace names.
    """
    of_volume = not release.store
    env = {"env": [{"name": "STORAGE_URI", "value": "pvc://touchstone-artifacts/"}]}
    mounts: list[dict[str, Any]] = [{"name": "scratch", "mountPath": "/tmp"}]  # noqa: S108
    volumes: list[dict[str, Any]] = [{"name": "scratch", "emptyDir": {}}]
    if not of_volume:
        mounts.append({"name": "store", "mountPath": _STORE, "readOnly": True})
        volumes.append({"name": "store", "secret": {"secretName": "touchstone-store"}})
    container = {
        "name": "kserve-container",
        "image": release.image,
        "command": ["python", "-P", "-m", "touchstone.delivery.predictor"],
        "args": [
            f"--model-name={release.model}",
            f"--store={'file:///mnt/models' if of_volume else _STORE}",
            f"--model={release.digests.model}",
            "--model-dir=/tmp/model",  # noqa: S108  # an emptyDir of the Pod's own
            "--http-port=8080",
            "--host=0.0.0.0",  # noqa: S104  # a Pod's network is its own; policies guard it
        ],
        **(env if of_volume else {}),
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": f"/v2/models/{release.model}/ready", "port": 8080},
            "periodSeconds": 5,
        },
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"cpu": "2", "memory": "2Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": release.model,
            "labels": {
                "app.kubernetes.io/managed-by": "touchstone",
                "app.kubernetes.io/name": release.model,
                "app.kubernetes.io/version": release.version,
            },
            "annotations": {
                "touchstone.dev/commit": release.commit,
                "touchstone.dev/model-digest": release.digests.model,
                "touchstone.dev/protocol": release.serve.protocol,
                **({} if of_volume else {"touchstone.dev/store": release.store}),
                "touchstone.dev/verdict": release.digests.verdict,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": release.serve.min_replicas,
                "canaryTrafficPercent": release.serve.canary,
                "automountServiceAccountToken": False,
                "containers": [container],
                "volumes": volumes,
            }
        },
    }


def to_yaml(document: Mapping[str, Any]) -> str:
    """A YAML document with its keys in the order given; kubectl reads every text in it as text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Quoting(RoundTripRepresenter):
        """To ruamel `on` and `y` need no quotes."""

        def represent_str(self, data: Any) -> Any:
            style = None if kubectl.is_text(data) else "'"
            return self.represent_scalar("tag:yaml.org,2002:str", data, style)

    Quoting.add_representer(str, Quoting.represent_str)
    yaml = YAML()
    yaml.Representer = Quoting
    yaml.default_flow_style = False
    yaml.width = 200
    stream = io.StringIO()
    yaml.dump(dict(document), stream)
    return stream.getvalue()


def verify(folder: Path, public_key: Path) -> Release:
    """The release in `folder`, once its signature and every file's digest are right.

    Raises:
        TouchstoneError: a file is absent, added or changed, or the attestation does not verify.
    """
    path = folder / RELEASE_FILE
    try:
        text = path.read_bytes()
        envelopes = (folder / ATTESTATION_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if faults.passing(error):
            raise  # it says nothing of the release
        raise TouchstoneError(
            f"got {type(error).__name__} reading {_name(folder)}, expected {RELEASE_FILE} and"
            f" {ATTESTATION_FILE}",
            hint="promote the model again",
        ) from None
    release = parse(text, location=f"{_name(folder)}/{RELEASE_FILE}")
    documents = attestation.verify(envelopes, public_key, subjects=subjects(release, text))
    _check_named(documents, release)
    _check_files(folder, release)
    return release


def _check_named(documents: Sequence[Mapping[str, Any]], release: Release) -> None:
    """Raise where the Statements name another repository, policy or verdict than the release."""
    for document in documents:
        predicate = document["predicate"]
        if document["predicateType"] == attestation.PROVENANCE:
            got = predicate["buildDefinition"]["externalParameters"]
            expected: Any = release.parameters
        elif document["predicateType"] == attestation.TEST_RESULT:
            got = predicate["configuration"]
            expected = attestation.configured(release.judged_by)
        else:
            continue
        if got != expected:
            raise TouchstoneError(
                f"attestation: got {got}, expected {expected} as release.json says",
                hint="promote the model again",
            )


def _check_files(folder: Path, release: Release) -> None:
    unsigned = {RELEASE_FILE, ATTESTATION_FILE, APPROVALS_FILE}
    present = {file.name for file in folder.iterdir()} - unsigned
    if present != set(release.files):
        raise TouchstoneError(
            f"{_name(folder)}: got files {sorted(present)}, expected {sorted(release.files)}",
            hint="only a promotion writes this folder; undo the other change",
        )
    for name, digest in release.files.items():
        file = folder / name
        got = digest_file(file) if file.is_file() and not file.is_symlink() else "no plain file"
        if got != digest:
            raise TouchstoneError(
                f"{name}: got {got}, expected {digest} as release.json says",
                hint="the file was changed after signing; promote the model again",
            )


def _name(folder: Path) -> str:
    """`<environment>/<model>`: the rest of the path is a scratch folder of no meaning."""
    return f"{folder.parent.name}/{folder.name}"
