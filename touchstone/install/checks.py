"""Is the cluster what an installation needs, and if not, which command gets what is missing?

Whether a group of the API is there is asked by discovery, which everybody who is known may do;
versions stand in ConfigMaps that Tekton shows to everybody for this purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from touchstone.errors import PlatformError
from touchstone.install.api import Api
from touchstone.install.values import Installation

State = Literal["ok", "missing", "optional", "unknown"]
MINIMUM = (1, 30)
"""Kubernetes, for ValidatingAdmissionPolicies."""

_AT_ONCE = 8
_TEKTON = "https://infra.tekton.dev/tekton-releases"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    """`missing` keeps an installation from working; `optional` leaves something out of it."""
    said: str
    """What was got, and what was expected where that differs."""
    remedy: str = ""
    """What to type."""

    def plain(self) -> dict[str, str]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind of object that a controller brings along."""

    name: str
    api_version: str
    kind: str
    use: str
    """What is not to be had without it."""
    remedy: str
    overlays: tuple[str, ...] | None = ()
    """Where nothing works without it: in these overlays, or in all (None)."""
    info: str = ""
    """ConfigMap that tells its version, as namespace/name."""
    minimum: tuple[int, ...] = ()


WANTED = (
    Wanted(
        "Tekton Pipelines", "tekton.dev/v1", "PipelineRun", "runs",
        f"kubectl apply -f {_TEKTON}/pipeline/latest/release.yaml",
        None, "tekton-pipelines/pipelines-info", (1, 0),
    ),
    Wanted(
        "Tekton Triggers", "triggers.tekton.dev/v1beta1", "EventListener", "events",
        f"kubectl apply -f {_TEKTON}/triggers/latest/release.yaml",
        None, "tekton-pipelines/triggers-info", (0, 30),
    ),
    Wanted(
        "Triggers' interceptors", "triggers.tekton.dev/v1alpha1", "ClusterInterceptor", "events",
        f"kubectl apply -f {_TEKTON}/triggers/latest/interceptors.yaml", None,
    ),
    Wanted(
        "Argo CD", "argoproj.io/v1alpha1", "ApplicationSet", "serving what is promoted",
        "kubectl create namespace argocd && kubectl apply -n argocd --server-side -f"
        " https://raw.githubusercontent.com/argoproj/argo-cd/stable/manifests/install.yaml",
    ),
    Wanted(
        "KServe", "serving.kserve.io/v1beta1", "InferenceService", "serving what is promoted",
        "https://kserve.github.io/website/docs/admin-guide/overview (Standard mode)",
    ),
    Wanted(
        "cert-manager", "cert-manager.io/v1", "Certificate", "TLS certificates made by the cluster",
        "kubectl apply -f"
        " https://github.com/cert-manager/cert-manager/releases/latest/download/cert-manager.yaml",
    ),
    Wanted(
        "Gateway API", "gateway.networking.k8s.io/v1", "HTTPRoute", "a canary's share of traffic",
        "kubectl apply --server-side -f"
        " https://github.com/kubernetes-sigs/gateway-api/releases/latest/download/standard-install.yaml",
    ),
    Wanted(
        "Knative Eventing", "eventing.knative.dev/v1", "Broker", "schedules, remedies and monitors",
        "https://knative.dev/docs/install/yaml-install/eventing/install-eventing-with-yaml/",
    ),
    Wanted(
        "Kubeflow Trainer", "trainer.kubeflow.org/v1alpha1", "TrainJob",
        "training on several nodes",
        "kubectl apply --server-side -k"
        " 'https://github.com/kubeflow/trainer.git/manifests/overlays/manager?ref=v2.3.0'",
    ),
    Wanted(
        "JobSet", "jobset.x-k8s.io/v1alpha2", "JobSet", "training on several nodes",
        "comes with Kubeflow Trainer",
    ),
    Wanted(
        "Katib", "kubeflow.org/v1beta1", "Experiment", "tuning with trials on several nodes",
        "kubectl apply -k"
        " 'https://github.com/kubeflow/katib.git/manifests/v1beta1/installs/katib-standalone"
        "?ref=v0.19.0'",
    ),
    Wanted(
        "Kueue", "kueue.x-k8s.io/v1beta1", "LocalQueue", "queues of training jobs",
        "kubectl apply --server-side -f"
        " https://github.com/kubernetes-sigs/kueue/releases/latest/download/manifests.yaml",
    ),
)  # fmt: skip
"""Everything that others bring; how to get it is what their own documentation says."""


def cluster(api: Api, *, overlay: str = "minimal", storage_class: str = "") -> list[Check]:
    """What a cluster has and lacks for an installation by that overlay.

    Raises:
        PlatformError: it cannot be reached, or does not know who asks.
    """
    return [
        _kubernetes(api),
        *(_brought(api, one, overlay) for one in WANTED),
        *_tekton_flags(api),
        _chains(api),
        *_storage(api, overlay, storage_class),
        _gpu(api, needed=overlay == "gpu"),
        Check(
            "NetworkPolicies",
            "unknown",
            "the API takes them whether or not a network plugin enforces them",
            "touchstone doctor --probe finds out, with two Pods",
        ),
    ]


def version(text: str) -> tuple[int, ...]:
    """`v1.36.3-gke.1` as (1, 36, 3); empty for what is no version, such as `devel`."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(map(int, found[1].split("."))) if found else ()


def _kubernetes(api: Api) -> Check:
    got = str((api.ask("GET", "/version") or {}).get("gitVersion", ""))
    if version(got) >= MINIMUM:
        return Check("Kubernetes", "ok", got)
    needed = ".".join(map(str, MINIMUM))
    said = f"got {got or 'no version'}, expected {needed} or newer"
    return Check("Kubernetes", "missing", said, "upgrade the cluster")


def _brought(api: Api, wanted: Wanted, overlay: str) -> Check:
    needed = wanted.overlays is None or overlay in wanted.overlays
    lacking: State = "missing" if needed else "optional"
    if api.kind(wanted.api_version, wanted.kind) is None:
        group = wanted.api_version.partition("/")[0]
        others = [one for one in api.group(group) if one != wanted.api_version.partition("/")[2]]
        served = f", but of {', '.join(others)}" if others else ""
        said = f"got no {wanted.kind} of {wanted.api_version}{served}, expected it for {wanted.use}"
        return Check(wanted.name, lacking, said, wanted.remedy)
    if not wanted.info:
        return Check(wanted.name, "ok", wanted.api_version)
    namespace, _, name = wanted.info.partition("/")
    got = str((_config(api, name, namespace) or {}).get("version", ""))
    if not version(got):
        return Check(wanted.name, "ok", f"{wanted.api_version}, version {got or 'not told'}")
    if version(got) < wanted.minimum:
        minimum = ".".join(map(str, wanted.minimum))
        return Check(wanted.name, lacking, f"got {got}, expected {minimum} or newer", wanted.remedy)
    return Check(wanted.name, "ok", got)


def _config(api: Api, name: str, *namespaces: str) -> Any:
    """The data of a ConfigMap; None where it is nowhere, or not shown."""
    for namespace in (*namespaces, "openshift-pipelines"):
        try:
            found = api.get("v1", "ConfigMap", name, namespace)
        except PlatformError:
            continue
        if found is not None:
            return found.get("data") or {}
    return None


def _tekton_flags(api: Api) -> Iterator[Check]:
    """What Tekton is set to; no overlay asks for another value than Tekton comes with."""
    flags = _config(api, "feature-flags", "tekton-pipelines")
    if flags is None:
        return
    names = ("enable-api-fields", "coschedule", "set-security-context", "disable-creds-init")
    said = ", ".join(f"{name}: {flags[name]}" for name in names if name in flags)
    if flags.get("disable-creds-init") == "true":
        yield Check(
            "Tekton's flags",
            "missing",
            "got disable-creds-init: true, expected false: git's and the registry's credentials"
            " reach stages by their ServiceAccounts alone",
            "kubectl patch configmap feature-flags -n tekton-pipelines --type merge"
            """ -p '{"data": {"disable-creds-init": "false"}}'""",
        )
    else:
        yield Check("Tekton's flags", "ok", said or "as Tekton comes")


def _chains(api: Api) -> Check:
    """It brings no kind of its own."""
    found = _config(api, "chains-info", "tekton-chains")
    if found is None:
        return Check(
            "Tekton Chains",
            "optional",
            "not seen in namespace tekton-chains, expected it for provenance that Tekton signs too",
            f"kubectl apply -f {_TEKTON}/chains/latest/release.yaml",
        )
    return Check("Tekton Chains", "ok", str(found.get("version", "version not told")))


def _storage(api: Api, overlay: str, wanted: str) -> Iterator[Check]:
    try:
        classes = api.list(api.kind("storage.k8s.io/v1", "StorageClass"))
    except PlatformError as error:
        yield Check("StorageClass", "unknown", str(error))
        return
    names = [one["metadata"]["name"] for one in classes]
    lacking: State = "missing" if overlay == "minimal" else "optional"
    known = f"; there are {', '.join(names)}" if names else "; there is none"
    if wanted and wanted not in names:
        yield Check("StorageClass", lacking, f"got no StorageClass {wanted}{known}")
        return
    default = [one for one in classes if _is_default(one)]
    chosen = [one for one in classes if one["metadata"]["name"] == wanted] or default
    if not chosen:
        yield Check(
            "StorageClass",
            lacking,
            f"got no default StorageClass{known}, expected one for the volume of artifacts",
            "name one as storageClass, or: kubectl annotate storageclass NAME"
            f" {_DEFAULT_CLASS}=true",
        )
        return
    provisioner = chosen[0]["provisioner"]
    if provisioner == "kubernetes.io/no-provisioner":
        yield Check(
            "StorageClass",
            "unknown",
            f"{chosen[0]['metadata']['name']} provisions nothing: a PersistentVolume must be there",
        )
        return
    mode = "ReadWriteOnce, which every one has, is all that is asked of it"
    yield Check("StorageClass", "ok", f"{chosen[0]['metadata']['name']} ({provisioner}); {mode}")


def _is_default(one: Any) -> bool:
    return (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"


def _gpu(api: Api, *, needed: bool) -> Check:
    lacking: State = "missing" if needed else "optional"
    try:
        nodes = api.list(api.kind("v1", "Node"))
    except PlatformError as error:
        return Check("GPU", "unknown", str(error))
    found = [int((one["status"].get("allocatable") or {}).get(_GPU, "0")) for one in nodes]
    if sum(found):
        return Check("GPU", "ok", f"{sum(found)} on {sum(map(bool, found))} of {len(nodes)} nodes")
    said = f"got {len(nodes)} nodes without {_GPU}, expected one to train on GPUs"
    return Check(
        "GPU", lacking, said, "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator"
    )


def permissions(api: Api, wanted: set[tuple[str, str, str]]) -> list[Check]:
    """Whether whoever asks may apply objects; `wanted` are (apiVersion, kind, namespace)."""

    def refused(one: tuple[str, str, str]) -> str:
        api_version, kind, namespace = one
        known = api.kind(api_version, kind)
        if known is None:
            return ""
        where = namespace if known.namespaced else ""
        if all(api.may(verb, known, where) for verb in ("create", "patch")):
            return ""
        return f"{known.plural} in {where}" if where else known.plural

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        barred = list(filter(None, pool.map(refused, sorted(wanted))))
    if barred:
        said = f"you may not create and patch {', '.join(barred)}"
        remedy = "somebody with the right to do so applies what --write writes"
        return [Check("Permissions", "missing", said, remedy)]
    return [Check("Permissions", "ok", f"you may apply objects of all {len(wanted)} kinds")]


def placeholders(values: Installation) -> list[Check]:
    """What stands for something that this installation has not said."""
    wrong = [
        f"{name}: {value}"
        for name, value in (("registry", values.registry), ("gitops", values.gitops))
        if re.search(r"\bexample\.(com|org|net)\b", value)
    ]
    if not wrong:
        return []
    said = f"got {', '.join(wrong)}, expected hosts of your own"
    return [Check("Values", "missing", said, "write them into touchstone-install.yaml")]
