"""What does only this installation know? `touchstone-install.yaml`, which people keep in git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from touchstone.documents import yaml
from touchstone.documents.naming import LABEL
from touchstone.documents.validated import refused, validated
from trust_gates.policy import Strict

FILE = "touchstone-install.yaml"
OVERLAYS = ("minimal", "s3", "gpu", "multi-tenant", "openshift")
FORGES = {
    "github": "touchstone-webhook",
    "gitlab": "touchstone-gitlab",
    "forgejo": "touchstone-forgejo",
    "bitbucket": "touchstone-bitbucket",
}
"""The forges, and the Secret that each one's webhook is verified by."""

_HINT = "docs/how-to/install-on-a-cluster.md has one with every key"


def _without_credentials(url: str) -> str:
    if "://" in url and (urlsplit(url).password or urlsplit(url).scheme not in _SCHEMES):
        raise ValueError(
            "the URL of a git repository without a password (https://host/owner/name.git):"
            " this file is kept in git, the password belongs into a Secret"
        )
    if "://" not in url and ":" not in url:
        raise ValueError("the URL of a git repository, such as https://host/owner/name.git")
    return url


def _store(uri: str) -> str:
    if uri and (urlsplit(uri).scheme not in _STORES or not urlsplit(uri).netloc):
        raise ValueError(f"a bucket or registry, {' or '.join(f'{one}://…' for one in _STORES)}")
    if urlsplit(uri).password or urlsplit(uri).query:
        raise ValueError("a URI without credentials: they belong into the Secret touchstone-store")
    return uri


def _images(name: str) -> str:
    if "://" in name or name.endswith("/"):
        raise ValueError("a registry and folder without https:// and without / at the end")
    return name


_SCHEMES = ("https", "http", "ssh", "git", "file")
_STORES = ("s3", "gs", "az", "oci")
Namespace = Annotated[str, StringConstraints(pattern=f"^{LABEL.pattern}$")]
Folder = Annotated[str, Field(min_length=1), AfterValidator(_images)]
GitUrl = Annotated[str, AfterValidator(_without_credentials)]
Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
Account = Annotated[
    str, StringConstraints(pattern=r"^(github|gitlab|forgejo|bitbucket):[^\s<>]+$", to_lower=True)
]


class Image(Strict):
    """Where one of the toolkit's images is, where that is not where it was published."""

    name: Folder
    """Registry, folder and name, without a tag."""

    digest: Annotated[str, StringConstraints(pattern="^sha256:[0-9a-f]{64}$")]


class Installation(Strict):
    """All that an overlay of `tekton/` needs to be told, and nothing secret."""

    registry: Folder
    """Where model images are pushed: a registry and a folder, as registry.example.org/models."""

    gitops: GitUrl
    """The GitOps repository, which says what is served."""

    namespace: Namespace = "touchstone"
    """Where runs live."""

    overlay: Literal["minimal", "s3", "gpu", "multi-tenant", "openshift"] = "minimal"
    """Which of `tekton/overlays`: what each one has, docs/reference/installation.md says."""

    store: Annotated[str, AfterValidator(_store)] = ""
    """Where artifacts are kept (s3://bucket/prefix, gs://, az://, oci://); empty is a volume."""

    storage_class: str = ""
    """Of that volume; empty takes the cluster's default."""

    storage: Annotated[str, StringConstraints(pattern=r"^[0-9]+(Mi|Gi|Ti)$")] = "50Gi"
    """Size of that volume."""

    forge: Literal["github", "gitlab", "forgejo", "bitbucket"] = "github"
    """Whose webhooks start runs."""

    domain: str = ""
    """Host name under which the forge reaches the webhook's listener; empty makes no Ingress."""

    environments: tuple[Namespace, ...] = ("staging", "production")
    """Namespaces that models are served in, in the order of promotion."""

    reviewers: tuple[Account, ...] = ()
    """Who may ask for runs and approve promotions, as <forge>:<login>; for a new people.yaml."""

    platform: Annotated[str, AfterValidator(lambda url: url and _without_credentials(url))] = ""
    """The repository of what `--write` writes, where Argo CD is to own it."""

    images: Mapping[str, Image] = Field(default_factory=dict)
    """By the name that the Tasks give it, such as touchstone-core."""

    reach: tuple[Cidr, ...] = ()
    """Private addresses (CIDR) of a forge, registry or object store that stages may speak to."""

    plain_http: tuple[Host, ...] = ()
    """Registries that images are built from and pushed to without TLS, such as one of a trial."""

    @model_validator(mode="after")
    def _fits_together(self) -> Installation:
        if self.overlay != "minimal" and not self.store:
            raise ValueError(f"a store, such as s3://bucket/prefix, for the overlay {self.overlay}")
        if self.overlay == "minimal" and self.store:
            raise ValueError("no store with the overlay minimal, which has a volume; s3 takes any")
        if self.namespace in self.environments:
            raise ValueError(f"environments other than {self.namespace}, which is where runs live")
        return self

    @property
    def neighbours(self) -> dict[str, list[str]]:
        """Namespaces of this cluster that stages speak to, and what answers there.

        A forge within the cluster posts its webhooks itself.
        """
        found: dict[str, list[str]] = {}
        answers = {"git": urlsplit(self.gitops).hostname, "registry": self.registry.split("/")[0]}
        for what, host in answers.items():
            if match := re.fullmatch(r"[^.]+\.([^.]+)\.svc(\.cluster\.local)?(:\d+)?", host or ""):
                found.setdefault(match[1], []).append(what)
                found[match[1]] += ["webhooks"] if what == "git" else []
        return found

    @property
    def webhook(self) -> str:
        """The Secret that deliveries of the forge are verified by."""
        return FORGES[self.forge]

    def text(self) -> str:
        """The file, as `read` takes it."""
        import yaml as plain_yaml

        spec = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        head = {"apiVersion": "touchstone.dev/v1", "kind": "Installation"}
        return str(plain_yaml.safe_dump({**head, "spec": spec}, sort_keys=False))


class _File(Strict):
    api_version: Literal["touchstone.dev/v1"]
    kind: Literal["Installation"]
    spec: Installation


def read(file: Path) -> Installation:
    """The values in a file.

    Raises:
        ManifestError: it is absent, no YAML, or holds something else.
    """
    document = yaml.load_file(file)
    if document is None:
        document = yaml.Document({}, file.name)
    return validated(document, _File, hint=_HINT).spec


def given(values: Mapping[str, Any], base: Installation | None = None) -> Installation:
    """The values of the command line upon those of a file.

    Raises:
        ManifestError: they do not fit, or one that is needed is missing.
    """
    from pydantic import ValidationError

    whole = {**(base.model_dump(exclude_defaults=True) if base else {}), **values}
    try:
        return Installation.model_validate(whole)
    except ValidationError as error:
        raise refused(
            error, lambda path: f"--{path[0]}" if path else FILE, Installation, hint=_HINT
        ) from None
