"""What is in the cluster, and what does it say to a change? Any object of the API, by REST.

Objects are applied server-side under a field manager, so that what others own of them stays
theirs (kubernetes.io, "Server-Side Apply").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from touchstone.cluster import connect
from touchstone.cluster.connect import ApiError, Cluster
from touchstone.errors import PlatformError

INSTALLATION, SHARED = "touchstone.dev/installation", "touchstone.dev/shared"
"""Labels: an object that an installation made, and one of others that it wrote into."""

_APPLY = "application/apply-patch+yaml"
_GONE = 404
_CONFLICT = 409
_CONFLICT_HINT = (
    "somebody else made this object: delete it, or label it touchstone.dev/installation=NAMESPACE"
    " to hand it over"
)


class RefusedError(PlatformError):
    """The API server, one of its webhooks or policies does not take an object."""


class ConflictError(RefusedError):
    """Somebody else owns fields of the object and wants them otherwise."""


class BusyError(RefusedError):
    """It may take it in a moment: a webhook is starting, or too much is asked at once."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the API serves objects of one kind."""

    path: str
    """Of its group and version: `/api/v1` or `/apis/<group>/<version>`."""
    plural: str
    namespaced: bool
    api_version: str
    kind: str
    verbs: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def url(self, namespace: str = "", name: str = "") -> str:
        """Of the objects in a namespace, everywhere where that is empty; of one with a name."""
        where = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{self.path}{where}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Api:
    """One cluster, as one person sees it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._served: dict[str, dict[str, Kind]] = {}

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str = "") -> Api:
        """See touchstone.cluster.connect, also for what it raises."""
        return cls(connect.connect(kubeconfig=str(kubeconfig or ""), context=context))

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        **query: str,
    ) -> Any:
        """What the API answers, as plain data; None for what is not there.

        Raises:
            RefusedError: it refused what was sent.
            ApiError: it cannot be reached, or does not know or let this person.
        """
        try:
            return self._cluster.ask(method, path, query=query, body=body, content=content)
        except ApiError as error:
            if error.status == _GONE:
                return None
            raise _refusal(error) from None

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """How objects of a kind are served; None where the cluster does not know it."""
        return self.served(api_version).get(kind)

    def served(self, api_version: str) -> dict[str, Kind]:
        """The kinds of a group's version, by name; empty where the cluster has no such group."""
        if api_version not in self._served:
            path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            answer = self.ask("GET", path) or {}
            self._served[api_version] = {
                one["kind"]: Kind(
                    path, one["name"], one["namespaced"], api_version, one["kind"],
                    tuple(one.get("verbs", ())),
                )
                for one in answer.get("resources", [])
                if "/" not in one["name"]
            }  # fmt: skip
        return self._served[api_version]

    def group(self, name: str) -> tuple[str, ...]:
        """The versions of a group that are served; empty where there is none."""
        answer = self.ask("GET", f"/apis/{name}") or {}
        return tuple(one["version"] for one in answer.get("versions", []))

    def everything(self) -> Iterator[Kind]:
        """Every kind whose objects can be listed and deleted."""
        groups = (self.ask("GET", "/apis") or {}).get("groups", [])
        for version in ["v1", *(one["preferredVersion"]["groupVersion"] for one in groups)]:
            for kind in self.served(version).values():
                if {"list", "delete"} <= set(kind.verbs):
                    yield kind

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Any:
        """One object; None where it, or its kind, is not there."""
        known = self.kind(api_version, kind)
        return known and self.ask("GET", known.url(namespace, name))

    def list(self, kind: Kind | None, namespace: str = "", *, selector: str = "") -> list[Any]:
        """The objects of a kind, with the kind's name, which lists leave out."""
        if kind is None:
            return []
        answer = self.ask("GET", kind.url(namespace), labelSelector=selector) or {}
        found = answer.get("items", [])
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **one} for one in found]

    def apply(
        self, document: Mapping[str, Any], *, manager: str, force: bool, dry_run: bool = False
    ) -> Any:
        """Apply an object server-side; what it is then.

        Args:
            manager: who owns the fields: see `manager_of`.
            force: take fields over from other managers.
            dry_run: change nothing, but ask all who may refuse.

        Raises:
            ConflictError: others want a field otherwise, and `force` is not given.
            RefusedError: it was refused, or the cluster knows no such kind.
        """
        query: Any = {
            "fieldManager": manager,
            "force": str(force).lower(),
            "fieldValidation": "Strict",
        }
        query |= {"dryRun": "All"} if dry_run else {}
        url = self._url(document)
        answer = self.ask("PATCH", url, body=document, content=_APPLY, **query)
        if answer is None:
            raise RefusedError(f"{shown(document)}: its namespace is not there")
        return answer

    def live(self, document: Mapping[str, Any]) -> Any:
        """The object as it is in the cluster; None where it is not there."""
        return self.ask("GET", self._url(document))

    def delete(self, document: Mapping[str, Any]) -> None:
        """Delete an object, and what it owns in the background; one that is gone is no error."""
        body = {"propagationPolicy": "Background"}
        self.ask("DELETE", self._url(document), body=body)

    def may(self, verb: str, kind: Kind, namespace: str = "") -> bool:
        """Whether this person may do that (SelfSubjectAccessReview)."""
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "namespace": namespace}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self.ask("POST", path, body=body) or {}
        return bool(answer.get("status", {}).get("allowed"))

    def _url(self, document: Mapping[str, Any]) -> str:
        metadata = document["metadata"]
        known = self.kind(document["apiVersion"], document["kind"])
        if known is None:
            raise RefusedError(
                f"{shown(document)}: the cluster knows no {document['kind']} of"
                f" {document['apiVersion']}",
                hint="touchstone doctor says what is missing and how to get it",
            )
        return known.url(metadata.get("namespace", ""), metadata["name"])


def _refusal(error: ApiError) -> PlatformError:
    said, status = str(error), error.status
    if status == 403 and " cannot " in said:
        return ApiError(said, status=status, hint="somebody with the right to do so grants it")
    if status == 429 or status >= 500:
        return BusyError(said)
    if status == _CONFLICT:
        return ConflictError(said, hint=_CONFLICT_HINT)
    return error if status in (0, 401) else RefusedError(said)


def manager_of(installation: str) -> str:
    """The field manager of an installation: two in one cluster write into some objects both."""
    return f"touchstone-{installation}"


def shown(document: Mapping[str, Any]) -> str:
    """`Kind namespace/name`, for people."""
    metadata = document["metadata"]
    where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{document['kind']} {where}{metadata['name']}"
