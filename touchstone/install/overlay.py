"""What stands in a platform repository? The toolkit's YAML at this version, and the installation's.

`toolkit/`, `installation/`, `serving/` and `argocd/` are written anew each time; the kustomization
at the top, `teams/` and everything else belongs to people. No file holds a secret.
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
from touchstone.install.values import FILE, Installation

INSTALLATION, SHARED = "touchstone.dev/installation", "touchstone.dev/shared"
"""Labels: an object that an installation made, and one of others that it wrote into."""
TEAMS = "teams"
WRITTEN = ("toolkit", "installation", "serving", "argocd")
_TOP = "kustomization.yaml"
_ARGOCD = ("project.yaml", "applicationset.yaml", "health.yaml")
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
    _kustomization(folder / "installation", _installation(values))
    for environment in values.environments:
        place = folder / "serving" / environment
        _yaml(place / "namespace.yaml", _serving_namespace(environment))
        _kustomization(place, {"resources": ["namespace.yaml"], "labels": _labels(values)})
    _kustomization(folder / "serving", {"resources": list(values.environments)})
    _kustomization(folder / "argocd", _argocd(folder / "argocd", values))
    _put(folder / "README.md", readme(values))
    if not (folder / TEAMS / _TOP).exists():
        _kustomization(folder / TEAMS, {"resources": []}, head="# A line for each team.\n")
    if not (folder / _TOP).exists():
        parts = ["installation", "serving", "argocd", TEAMS]
        _kustomization(folder, {"resources": parts}, head="# All of it: kubectl apply -k .\n")
    return sorted(one for one in folder.rglob("*") if one.is_file() and ".git" not in one.parts)


def _installation(values: Installation) -> dict[str, Any]:
    patches = [
        _patch(
            {"kind": "TriggerBinding", "name": "touchstone-installation"},
            [
                _replace("/spec/params/0/value", values.registry),
                _replace("/spec/params/1/value", values.gitops),
            ],
        )
    ]
    return {
        "namespace": values.namespace,
        "resources": [f"../toolkit/tekton/overlays/{values.overlay}"],
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
        _yaml(folder / "application.yaml", _application(values))
    server = "https://kubernetes.default.svc"
    destinations = [{"server": server, "namespace": one} for one in values.environments]
    owned = {"op": "add", "path": "/metadata/labels/touchstone.dev~1installation"}
    shared = {"op": "add", "path": "/metadata/labels/touchstone.dev~1shared"}
    return {
        "resources": list(_ARGOCD),
        "patches": [
            _patch(
                {"kind": "AppProject", "name": "touchstone"},
                [
                    _replace("/spec/sourceRepos", [values.gitops]),
                    _replace("/spec/destinations", destinations),
                    {**owned, "value": values.namespace},
                ],
            ),
            _patch(
                {"kind": "ApplicationSet", "name": "touchstone-models"},
                [
                    _replace("/spec/generators/0/git/repoURL", values.gitops),
                    _replace("/spec/template/spec/source/repoURL", values.gitops),
                    {**owned, "value": values.namespace},
                ],
            ),
            _patch(
                {"kind": "ConfigMap", "name": "argocd-cm"},
                [{**shared, "value": values.namespace}],
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
        "metadata": {"name": "touchstone-platform", "namespace": "argocd"},
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


def _labels(values: Installation) -> list[dict[str, Any]]:
    return [{"pairs": {INSTALLATION: values.namespace}, "includeSelectors": False}]


def _patch(target: Mapping[str, str], operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"target": dict(target), "patch": yaml.safe_dump(list(operations), sort_keys=False)}


def _replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def _kustomization(folder: Path, content: Mapping[str, Any], *, head: str = _MADE) -> None:
    start = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    filled = {key: value for key, value in content.items() if value or key == "resources"}
    _yaml(folder / _TOP, {**start, **filled}, head=head)


def _yaml(file: Path, document: Mapping[str, Any], *, head: str = _MADE) -> None:
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

Made by `touchstone install --write`, version $version. `$file` holds the values; after a change of it, or with a newer
toolkit, write it again: `toolkit/`, `installation/`, `serving/` and `argocd/` are replaced, everything else is yours.

| folder | what it is |
| --- | --- |
| `installation/` | the overlay `$overlay` with our values, in the namespace `$namespace` |
| `serving/` | the namespaces that models are served in |
| `argocd/` | who may be served from where |
| `teams/` | a folder for each team: `touchstone onboard` adds one |
| `toolkit/` | the toolkit's YAML at that version |

## Apply it

`touchstone install --write . --apply`, or with kubectl alone:

```
kubectl apply --server-side -k .
```
$owned
## Secrets

None of them stands here. `touchstone install --apply` makes the keys and takes the others from a folder (`--secrets`);
by hand, or as the source of an ExternalSecret or SealedSecret of the same names and keys:

```
openssl genpkey -algorithm ed25519 -out private.pem; openssl pkey -in private.pem -pubout -out public.pem
$secrets
```
""")

_OWNED = """
To let Argo CD keep it so: push this folder to `{platform}` and `kubectl apply -f argocd/application.yaml`, once.
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
