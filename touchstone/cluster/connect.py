"""How is a cluster's API reached? By a kubeconfig or a Pod's account; answers are plain JSON.

The official client brings what people have in a kubeconfig (exec plugins, OIDC, client
certificates, proxies) and a Pod's token, which it reads anew as it is rotated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from touchstone.errors import PlatformError, UsageError

Json: TypeAlias = dict[str, Any]

NAMESPACE = "touchstone"
"""Where runs are, unless an option, the kubeconfig's context or the Pod says otherwise."""

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PAGE = 500
"""Objects of one answer to a list."""

_SECONDS = (10, 60)
"""To connect, and between two pieces of an answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object, by its place in the API."""

    api: str
    """Such as api/v1 or apis/tekton.dev/v1."""

    plural: str

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """Where those of a namespace are, or one of them, or a part of it such as `log`."""
        parts = (self.api, "namespaces", namespace, self.plural, name, part)
        return "/" + "/".join(filter(None, parts))


PIPELINE_RUNS = Kind("apis/tekton.dev/v1", "pipelineruns")
TASK_RUNS = Kind("apis/tekton.dev/v1", "taskruns")
TRIGGER_TEMPLATES = Kind("apis/triggers.tekton.dev/v1beta1", "triggertemplates")
PODS = Kind("api/v1", "pods")


class ApiError(PlatformError):
    """The API answered with an error; `status` is its HTTP code, 0 where it did not answer."""

    def __init__(self, problem: str, *, status: int, hint: str = "") -> None:
        super().__init__(problem, hint=hint)
        self.status = status


class Cluster:
    """One cluster, as one namespace of it is asked; safe for several threads.

    Args:
        client: a kubernetes.client.ApiClient.
        namespace: the one that is meant where no other is said.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    @property
    def address(self) -> str:
        """URL of the API server."""
        return str(self.client.configuration.host)

    def __str__(self) -> str:
        return f"namespace {self.namespace} of {self.address}"

    def get(self, kind: Kind, name: str, *, namespace: str = "") -> Json | None:
        """The object, or None. Raises ApiError."""
        try:
            return self.ask("GET", kind.path(namespace or self.namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(
        self, kind: Kind, *, labels: str = "", fields: str = "", namespace: str = ""
    ) -> tuple[list[Json], str]:
        """Every object that the selectors leave, and the resourceVersion to watch from.

        Raises:
            ApiError: the API refuses, or cannot be reached.
        """
        asked = {"labelSelector": labels, "fieldSelector": fields, "limit": _PAGE}
        found: list[Json] = []
        more = ""
        while True:
            path = kind.path(namespace or self.namespace)
            try:
                answer = self.ask("GET", path, query={**asked, "continue": more})
            except ApiError as error:
                if error.status != 410 or not more:
                    raise
                found, more = [], ""  # it took too long to ask on; all of it once more, in one
                asked.pop("limit", None)
                continue
            found += answer.get("items") or []
            metadata = answer.get("metadata") or {}
            more = metadata.get("continue") or ""
            if not more:
                return found, str(metadata.get("resourceVersion", ""))

    def create(self, kind: Kind, body: Mapping[str, Any], *, namespace: str = "") -> Json | None:
        """The object as created; None where there is one of that name. Raises ApiError."""
        try:
            return self.ask("POST", kind.path(namespace or self.namespace), body=body)
        except ApiError as error:
            if error.status == 409:
                return None
            raise

    def patch(
        self, kind: Kind, name: str, body: Mapping[str, Any], *, namespace: str = ""
    ) -> Json | None:
        """The object with a JSON merge patch; None where it is absent. Raises ApiError."""
        path = kind.path(namespace or self.namespace, name)
        try:
            return self.ask("PATCH", path, body=body, content="application/merge-patch+json")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def ask(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> Json:
        """The answer to one request, as JSON. Raises ApiError for one that is none."""
        with closing(self._open(verb, path, query, body, content, _SECONDS)) as answer:
            try:
                found: Json = json.loads(answer.read())
            except ValueError:
                raise ApiError(
                    f"{self.address} answered something else than JSON to {verb} {path}",
                    status=0,
                    hint="is that address a Kubernetes API server's, and no proxy's login page?",
                ) from None
            except self._broken() as error:
                raise self._unreachable(error) from None
            return found

    def stream(
        self, path: str, *, query: Mapping[str, Any], seconds: float | None = None
    ) -> Iterator[bytes]:
        """Pieces of an answer as they come, until it ends.

        Args:
            seconds: silence after which the connection counts as lost; None waits for ever.

        Raises:
            ApiError: it was refused, or the connection broke.
        """
        limit = (_SECONDS[0], seconds)
        with closing(self._open("GET", path, query, None, "application/json", limit)) as answer:
            try:
                yield from answer.stream(1 << 16)
            except self._broken() as error:
                raise self._unreachable(error) from None

    def _open(
        self,
        verb: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        content: str,
        seconds: tuple[float, float | None],
    ) -> Any:
        from kubernetes.client import ApiException

        given = [(key, value) for key, value in (query or {}).items() if value not in ("", None)]
        headers = {"Accept": "application/json, */*"}
        if body is not None:
            headers["Content-Type"] = content
        try:
            return self.client.call_api(
                path,
                verb,
                query_params=given,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=seconds,
            )
        except ApiException as error:
            raise self._refusal(verb, path, error) from None
        except self._broken() as error:
            raise self._unreachable(error) from None

    def _refusal(self, verb: str, path: str, error: Any) -> ApiError:
        try:
            said = str(json.loads(error.body)["message"])
        except (ValueError, KeyError, TypeError):
            said = str(error.reason or "")
        hints = {
            401: "the credentials of the kubeconfig's user have expired, or are another cluster's",
            403: "the Role of a step is touchstone-requests, of the recorder touchstone-recorder;"
            f" kubectl auth can-i --list -n {self.namespace} says what you may",
        }
        return ApiError(
            f"the Kubernetes API answered {error.status} to {verb} {path}: {said}",
            status=int(error.status or 0),
            hint=hints.get(error.status, ""),
        )

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError(
            f"the Kubernetes API at {self.address} cannot be reached: {_why(error)}",
            status=0,
            hint="kubectl cluster-info asks the same address",
        )

    @staticmethod
    def _broken() -> tuple[type[Exception], ...]:
        from urllib3.exceptions import HTTPError

        return (HTTPError, OSError)


def connect(*, kubeconfig: str = "", context: str = "", namespace: str = "") -> Cluster:
    """The cluster of a kubeconfig, or the one whose Pod this is.

    Args:
        kubeconfig: its file; empty for $KUBECONFIG, ~/.kube/config, or a Pod's ServiceAccount.
        context: which of its contexts; empty for its current one.
        namespace: empty for the context's or the Pod's, else `touchstone`.

    Raises:
        UsageError: the file is absent, or has no such context.
        PlatformError: there is neither a kubeconfig nor a ServiceAccount.
    """
    from kubernetes import client, config
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

    if kubeconfig and not Path(kubeconfig).expanduser().is_file():
        raise UsageError(f"got no file {kubeconfig}, expected a kubeconfig")
    files = kubeconfig or os.environ.get("KUBECONFIG") or KUBE_CONFIG_DEFAULT_LOCATION
    there = any(Path(one).expanduser().is_file() for one in files.split(os.pathsep) if one)
    settings = client.Configuration()
    try:
        if not (there or context):
            config.load_incluster_config(client_configuration=settings)
            own = _POD.read_text().strip() if _POD.exists() else ""
        else:
            named, current = config.list_kube_config_contexts(config_file=files)
            chosen = next((one for one in named if one["name"] == context), None)
            if context and chosen is None:
                raise UsageError(
                    f"got context {context!r}, expected one of"
                    f" {', '.join(one['name'] for one in named)}",
                    hint=f"of {files}",
                )
            config.load_kube_config(files, context or None, client_configuration=settings)
            own = (chosen or current)["context"].get("namespace", "")
    except (config.ConfigException, OSError, TypeError, KeyError) as error:
        raise PlatformError(
            f"got neither a kubeconfig nor a ServiceAccount: {error}",
            hint="set KUBECONFIG or give --kubeconfig for a cluster; TOUCHSTONE_HOME names an"
            " embedded platform",
        ) from None
    settings.retries = False  # a second try is for whoever asks to decide
    return Cluster(client.ApiClient(settings), namespace or own or NAMESPACE)


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {reason}"
