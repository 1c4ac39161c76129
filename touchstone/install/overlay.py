"""What stands in a platform repository? The toolkit's YAML at this version, and the installation's.

`toolkit/`, `installation/`, `neighbours/`, `serving/` and `argocd/` are written anew each time; the
kustomization at the top, `teams/` and everything else belongs to people. No file holds a secret.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import yaml

from touchstone.home import SHIPPED
from touchstone.install import secrets
from touchstone.install.api import INSTALLATION, SHARED
from touchstone.install.values import FILE, Installation

TEAMS = "teams"
WRITTEN = ("toolkit", "installation", "neighbours", "serving", "argocd")
TEAMS_HEAD = "# A line for each team; `touchstone onboard` adds one.\n"
_TOOLKIT = "../toolkit/tekton"
_TOP = "kustomization.yaml"
_ARGOCD = ("project.yaml", "applicationset.yaml", "health.yaml")
_REACHING = (
    ("touchstone-runs-git|touchstone-runs-registry|touchstone-runs-web", 0),
    ("touchstone-requests|touchstone-store", 1),
)
"""NetworkPolicies that let stages speak to services of one's own, and which rule of each."""
IMAGES = "images.yaml"
IMAGE_FIELDS = SHIPPED / "tekton" / "components" / "images" / "fields.conf"
"""Where a Task has images: kustomize knows those of Pods alone."""
_DEFAULT, _BINDING = "touchstone", "touchstone-triggers"
CLAIM = "touchstone-artifacts"
_PUBLISHED = "ghcr.io/touchstone-ml/"
_MADE = "# Made by `touchstone install --write`; a change here is lost the next time.\n"


def write(folder: Path, values: Installation) -> list[Path]:
    """Write the platform repository into `folder`; the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN:
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(SHIPPED / "tekton", folder / "toolkit" / "tekton")
    _put(folder / "toolkit" / "VERSION", version("touchstone") + "\n")
    _put(folder / FILE, values.text())
    kustomization(folder / "installation", _installation(values))
    if values.images:
        shutil.copy(IMAGE_FIELDS, folder / "installation" / IMAGES)
    for environment in values.environments:
        place = folder / "serving" / environment
        write_yaml(place / "namespace.yaml", _serving_namespace(environment))
        kustomization(place, {"resources": ["namespace.yaml"], "labels": _labels(values)})
    kustomization(folder / "serving", {"resources": list(values.environments)})
    for name, answers in values.neighbours.items():
        write_yaml(folder / "neighbours" / f"{name}.yaml", _neighbour(name, answers, values))
    listed = [f"{name}.yaml" for name in values.neighbours]
    kustomization(folder / "neighbours", {"resources": listed})
    kustomization(folder / "argocd", _argocd(folder / "argocd", values))
    _put(folder / "README.md", readme(values))
    if not (folder / TEAMS / _TOP).exists():
        kustomization(folder / TEAMS, {"resources": []}, head=TEAMS_HEAD)
    if not (folder / _TOP).exists():
        parts = ["installation", "neighbours", "serving", "argocd", TEAMS]
        kustomization(folder, {"resources": parts}, head="# All of it: kubectl apply -k .\n")
    return sorted(one for one in folder.rglob("*") if one.is_file() and ".git" not in one.parts)


def _installation(values: Installation) -> dict[str, Any]:
    if values.overlay == "multi-tenant":  # a team's folder brings its namespace
        return {"resources": ["../toolkit/tekton/base/cluster"], "labels": _labels(values)}
    return {
        "resources": [f"{_TOOLKIT}/overlays/{values.overlay}"],
        **own(values, values.namespace, toolkit=_TOOLKIT),
    }


def own(values: Installation, namespace: str, *, toolkit: str) -> dict[str, Any]:
    """What a namespace of runs is told: the values, in the words of a kustomization.

    Args:
        toolkit: path to the toolkit's tekton/ from where that kustomization lies.
    """
    patches = [
        patch(
            {"kind": "TriggerBinding", "name": "touchstone-installation"},
            [
                replace("/spec/params/0/value", values.registry),
                replace("/spec/params/1/value", values.gitops),
            ],
        ),
        *(
            patch({"kind": "ServiceAccount", "name": account}, [add("/secrets", [{"name": one}])])
            for account, one in secrets.HUNG.items()
        ),
    ]
    # It has no namespace itself: two of one name would be one, and no one account is meant by it.
    binding = [add("/subjects/0/namespace", namespace)]
    if namespace != _DEFAULT:
        binding.append(replace("/metadata/name", f"{_BINDING}-{namespace}"))
    bound = patch({"kind": "ClusterRoleBinding", "name": _BINDING}, binding)
    patches.append({**bound, "options": {"allowNameChange": True}})
    if values.overlay == "minimal":
        claim = [replace("/spec/resources/requests/storage", values.storage)]
        if values.storage_class:
            claim.append(add("/spec/storageClassName", values.storage_class))
        patches.append(patch({"kind": "PersistentVolumeClaim", "name": CLAIM}, claim))
    if values.domain:
        host = [
            replace("/spec/rules/0/host", values.domain),
            replace("/spec/tls/0/hosts/0", values.domain),
        ]
        if namespace != values.namespace:  # one host for all, a path for each team
            host.append(replace("/spec/rules/0/http/paths/0/path", f"/{namespace}"))
        patches.append(patch({"kind": "Ingress", "name": "touchstone"}, host))
    for names, rule in _REACHING if values.reach else ():
        to = [add(f"/spec/egress/{rule}/to/-", {"ipBlock": {"cidr": one}}) for one in values.reach]
        patches.append(patch({"kind": "NetworkPolicy", "name": names}, to))
    if values.plain_http:
        flags = [f"--insecure-registry={host}" for host in values.plain_http]
        adding = [add("/spec/steps/1/args/-", flag) for flag in flags]
        patches.append(patch({"kind": "Task", "name": "build-image"}, adding))
    return {
        "namespace": namespace,
        "components": [f"{toolkit}/components/ingress"] if values.domain else [],
        "configurations": [IMAGES] if values.images else [],
        "images": [
            {"name": _PUBLISHED + name, "newName": one.name, "digest": one.digest}
            for name, one in values.images.items()
        ],
        "labels": _labels(values),
        "patches": patches,
    }


def _argocd(folder: Path, values: Installation) -> dict[str, Any]:
    """Who may be served from where; written only into namespaces of Argo CD's own."""
    folder.mkdir(parents=True)
    for name in _ARGOCD:
        shutil.copy(SHIPPED / "argocd" / name, folder / name)
    if values.platform:
        write_yaml(folder / "application.yaml", _application(values))
    server = "https://kubernetes.default.svc"
    destinations = [{"server": server, "namespace": one} for one in values.environments]
    owned = add("/metadata/labels/touchstone.dev~1installation", values.namespace)
    shared = add("/metadata/labels/touchstone.dev~1shared", values.namespace)
    return {
        "resources": list(_ARGOCD),
        "patches": [
            patch(
                {"kind": "AppProject", "name": "touchstone"},
                [
                    replace("/spec/sourceRepos", [values.gitops]),
                    replace("/spec/destinations", destinations),
                    owned,
                ],
            ),
            patch(
                {"kind": "ApplicationSet", "name": "touchstone-models"},
                [
                    replace("/spec/generators/0/git/repoURL", values.gitops),
                    replace("/spec/template/spec/source/repoURL", values.gitops),
                    owned,
                ],
            ),
            patch(
                {"kind": "ConfigMap", "name": "argocd-cm"},
                [shared],
            ),
            # It keeps a checkout of the toolkit in the cluster; application.yaml keeps this one.
            {
                "patch": yaml.safe_dump(
                    {
                        "apiVersion": "argoproj.io/v1alpha1",
                        "kind": "AppProject",
                        "metadata": {"name": "touchstone-bootstrap", "namespace": "argocd"},
                        "$patch": "delete",
                    }
                )
            },
        ],
    }


def _application(values: Installation) -> dict[str, Any]:
    """Applied once by hand, it lets Argo CD keep the whole repository in the cluster."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": "touchstone-platform",
            "namespace": "argocd",
            "labels": {INSTALLATION: values.namespace},
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": values.platform, "targetRevision": "main", "path": "."},
            "destination": {"server": "https://kubernetes.default.svc"},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "syncOptions": ["ServerSideApply=true"],
            },
        },
    }


def _serving_namespace(name: str) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/part-of": "touchstone",
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _neighbour(name: str, answers: Sequence[str], values: Installation) -> dict[str, Any]:
    """Labels of a namespace of others, by which NetworkPolicies let stages speak to it."""
    labels = {f"touchstone.dev/{one}": "true" for one in answers} | {SHARED: values.namespace}
    keep = {"argocd.argoproj.io/sync-options": "Prune=false"}
    metadata = {"name": name, "labels": labels, "annotations": keep}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _labels(values: Installation) -> list[dict[str, Any]]:
    return [{"pairs": {INSTALLATION: values.namespace}, "includeSelectors": False}]


def patch(target: Mapping[str, str], operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A JSON patch (RFC 6902) of one kind of object."""
    return {"target": dict(target), "patch": yaml.safe_dump(list(operations), sort_keys=False)}


def replace(path: str, value: Any) -> dict[str, Any]:
    """Of a JSON patch: put another value where there must be one."""
    return {"op": "replace", "path": path, "value": value}


def add(path: str, value: Any) -> dict[str, Any]:
    """Of a JSON patch: put a value where there may be none."""
    return {"op": "add", "path": path, "value": value}


def kustomization(folder: Path, content: Mapping[str, Any], *, head: str = _MADE) -> None:
    """Write the kustomization of a folder, without what is empty."""
    start = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    filled = {key: value for key, value in content.items() if value or key == "resources"}
    write_yaml(folder / _TOP, {**start, **filled}, head=head)


def write_yaml(file: Path, document: Mapping[str, Any], *, head: str = _MADE) -> None:
    """Write a document, below a comment that says what it is."""
    _put(file, head + yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=100))


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, which people can read."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)

_README = Template("""\
# Touchstone on our cluster

Made by `touchstone install --write`, version $version. `$file` holds the values; after a change of
it, or with a newer toolkit, write it again: `toolkit/`, `installation/`, `neighbours/`,
`serving/`, `argocd/` and this page are replaced, everything else is yours.

| folder | what it is |
| --- | --- |
| `installation/` | the overlay `$overlay` with our values, in the namespace `$namespace` |
| `neighbours/` | labels of namespaces in this cluster that runs speak to: forge, registry |
| `serving/` | the namespaces that models are served in |
| `argocd/` | who may be served from where |
| `teams/` | a folder for each team: `touchstone onboard` adds one |
| `toolkit/` | the toolkit's YAML at that version |
| `gitops/` | the first content of the GitOps repository, for an empty one; no part of this |

## Apply it

`touchstone install --write . --apply`, or with kubectl alone:

```
kubectl apply --server-side -k .
```
$owned
## Secrets

None of them stands here. `touchstone install --apply` makes the keys and takes the others from a
folder (`--secrets`); by hand, or as the source of an ExternalSecret or SealedSecret of the same
names and keys:

```
openssl genpkey -algorithm ed25519 -out private.pem
openssl pkey -in private.pem -pubout -out public.pem
$secrets
```
""")

_OWNED = """
To let Argo CD keep it so, push this folder to `{platform}`, and once:
`kubectl apply -f argocd/application.yaml`.
"""


def readme(values: Installation) -> str:
    """What the repository is and how it gets into the cluster."""
    return _README.substitute(
        version=version("touchstone"),
        file=FILE,
        overlay=values.overlay,
        namespace=values.namespace,
        owned=_OWNED.format(platform=values.platform) if values.platform else "",
        secrets="\n".join(secrets.lines(values)),
    )
