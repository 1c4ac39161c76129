"""What does a team's model repository need of the platform? Two branches to review say it.

One of the platform repository: a folder of `teams/` with a namespace of its own, its accounts,
quota, listener and references to Secrets. One of the GitOps repository: the model's name
belongs to that repository, and each environment that it is promoted to has a policy.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from touchstone.contract import model_repo
from touchstone.delivery import gitops, people
from touchstone.delivery.repositories import place, shown
from touchstone.documents.naming import LABEL, run_name
from touchstone.errors import ManifestError, PlatformError, UsageError
from touchstone.install import overlay, secrets
from touchstone.install.first import environments_of
from touchstone.install.values import FILE, FORGES, Installation, given, read

_BRANCH = "onboard/"
_TEAM = "toolkit/tekton/overlays/multi-tenant/team"


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A model repository, and what it gets."""

    repository: str
    """Its URL, without credentials."""
    slug: str
    """`<owner>-<name>`: its folder and its branches."""
    model: str
    environments: tuple[str, ...]
    namespace: str
    cpu: str
    memory: str
    accounts: tuple[str, ...]
    """Who may ask for runs and approve by comments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A branch that waits for review; empty where nothing had to change."""

    repository: str
    branch: str
    files: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {"repository": self.repository, "branch": self.branch, "files": list(self.files)}


def team(
    repository: str,
    values: Installation,
    *,
    namespace: str = "",
    model: str = "",
    cpu: str = "8",
    memory: str = "32Gi",
    accounts: Sequence[str] = (),
) -> Team:
    """The team of a model repository; its touchstone.yaml says the model's name and environments.

    Args:
        model: that name, where the repository cannot be read from here.

    Raises:
        UsageError: the URL has no owner and name, or a namespace cannot be called so.
        ManifestError: its touchstone.yaml is wrong.
        PlatformError: it cannot be read, or is promoted to an environment that the installation
            does not serve in.
    """
    parts = [one for one in place(repository).split("/")[1:] if one]
    if len(parts) < 2:
        raise UsageError(
            f"got {shown(repository)}, expected the URL of a repository with an owner and a name",
            hint="such as https://github.com/vision/detector.git",
        )
    slug = run_name("-".join(parts[-2:]))
    chosen = namespace or slug
    if not LABEL.fullmatch(chosen):
        raise UsageError(f"got the namespace {chosen!r}, expected lower case letters, digits and -")
    declared = None if model else _declared(repository)
    environments = declared.spec.promote.environments if declared else values.environments
    return Team(
        repository=shown(repository),
        slug=slug,
        model=model or (declared.metadata.name if declared else ""),
        environments=tuple(environments_of(values, environments)),
        namespace=chosen,
        cpu=cpu,
        memory=memory,
        accounts=tuple(one.lower() for one in accounts),
    )


def _declared(repository: str) -> model_repo.ModelPipeline:
    """The touchstone.yaml on the default branch."""
    try:
        with gitops.clone(repository) as checkout:
            text = checkout.read("origin/HEAD", model_repo.FILE_NAME)
            if text is None:
                raise PlatformError(f"got no {model_repo.FILE_NAME} in {shown(repository)}")
            checkout.write(model_repo.FILE_NAME, text)
            return model_repo.load(checkout.path, shown=model_repo.FILE_NAME)
    except PlatformError as error:
        raise PlatformError(
            f"the model's name is not known: {error}", hint="--model NAME says it"
        ) from None


def values_of(platform: str) -> Installation:
    """The values in a platform repository.

    Raises:
        ManifestError: it has none, or wrong ones.
    """
    with gitops.clone(platform) as checkout:
        return _values(checkout)


def _values(checkout: gitops.Checkout) -> Installation:
    if not (checkout.path / FILE).exists():
        raise ManifestError(
            f"got no {FILE} on {gitops.MAIN}, expected a platform repository",
            hint="touchstone install --write DIR writes one; commit and push it",
        )
    return read(checkout.path / FILE)


def propose_folder(platform: str, asked: Team) -> Proposal:
    """Push a branch with the team's folder; nothing where its namespace is there already.

    Raises:
        PlatformError: the installation has no store that several namespaces reach.
        ManifestError: the platform repository is none.
    """
    with gitops.clone(platform, identity=gitops.caller() or gitops.TOUCHSTONE) as checkout:
        values = _values(checkout)
        if asked.namespace in _namespaces(checkout.path, values):
            return Proposal(repository=shown(platform), branch="", files=())
        if not values.store:
            raise PlatformError(
                "got an installation with its artifacts on a volume, which one namespace alone can"
                " mount",
                hint=f"--namespace {values.namespace} joins that one; or give the platform a store",
            )
        branch = f"{_BRANCH}{asked.slug}"
        checkout.git("checkout", "--quiet", "-B", branch)
        write_folder(checkout.path, asked, values)
        return _pushed(checkout, platform, branch, asked)


def _namespaces(root: Path, values: Installation) -> set[str]:
    """Those of runs that the platform repository makes."""
    found = set() if values.overlay == "multi-tenant" else {values.namespace}
    for file in (root / overlay.TEAMS).glob("*/kustomization.yaml"):
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        found.add(str(document.get("namespace", "")))
    return found


def write_folder(root: Path, asked: Team, values: Installation) -> None:
    """Write the team's folder into a platform repository, and name it in `teams/`."""
    folder = root / overlay.TEAMS / asked.slug
    content = overlay.own(values, asked.namespace, toolkit="../../toolkit/tekton")
    quota = [
        overlay.replace("/spec/hard/requests.cpu", asked.cpu),
        overlay.replace("/spec/hard/requests.memory", asked.memory),
    ]
    content["patches"].append(overlay.patch({"kind": "ResourceQuota", "name": "touchstone"}, quota))
    overlay.kustomization(
        folder, {"resources": [f"../../{_TEAM}"], **content}, head=f"# {asked.repository}\n"
    )
    if values.images:
        shutil.copy(overlay.IMAGE_FIELDS, folder / overlay.IMAGES)
    (folder / "README.md").write_text(_readme(asked, values), encoding="utf-8")
    top = root / overlay.TEAMS / "kustomization.yaml"
    document = yaml.safe_load(top.read_text(encoding="utf-8"))
    document["resources"] = sorted({*(document.get("resources") or ()), asked.slug})
    kept = {key: one for key, one in document.items() if key not in ("apiVersion", "kind")}
    overlay.kustomization(top.parent, kept, head=overlay.TEAMS_HEAD)


def _readme(asked: Team, values: Installation) -> str:
    own = given({"namespace": asked.namespace}, values)
    address = f"https://{values.domain}/{asked.namespace}" if values.domain else "its EventListener"
    lines = "\n".join(secrets.lines(own))
    return f"""\
# {asked.repository}

Its runs live in the namespace `{asked.namespace}`. A webhook of {values.forge}
posts pushes, pull requests and comments as JSON to {address},
signed with what the Secret `{FORGES[values.forge]}` there holds.

Secrets of this namespace; `touchstone install --apply` makes the keys, `--secrets FOLDER` takes the
others from `FOLDER/{asked.namespace}/<secret>/<key>`:

```
{lines}
```
"""


def propose_owner(asked: Team, gitops_url: str) -> Proposal:
    """Push a branch that gives the model's name to the repository; nothing where it has it.

    Raises:
        UsageError: the name belongs to another repository.
        ManifestError: people.yaml is wrong.
    """
    identity = gitops.caller() or gitops.TOUCHSTONE
    with gitops.clone(gitops_url, identity=identity) as checkout:
        main = f"origin/{gitops.MAIN}"
        known = people.read_at(checkout, main)
        owners = known.models.get(asked.model, ())
        if owners and place(asked.repository) not in map(place, owners):
            raise UsageError(
                f"the model {asked.model} belongs to {', '.join(owners)}",
                hint=f"another name in {model_repo.FILE_NAME}, or a change of {gitops.PEOPLE_FILE}"
                " that its owners agree to",
            )
        branch = f"{_BRANCH}{asked.slug}"
        checkout.git("checkout", "--quiet", "-B", branch)
        newcomers = [
            one for one in asked.accounts if one not in known.run or one not in known.review
        ]
        if not owners or newcomers:
            _add_people(checkout, asked, known)
        for path, text in gitops.first_content(asked.environments).items():
            if path.startswith(gitops.ENVIRONMENTS) and not checkout.holds(main, path):
                checkout.write(path, text.encode())
        return _pushed(checkout, gitops_url, branch, asked)


def _add_people(checkout: gitops.Checkout, asked: Team, known: people.People) -> None:
    """Change people.yaml and keep what else people wrote there, comments included."""
    from ruamel.yaml import YAML

    text = checkout.read(f"origin/{gitops.MAIN}", gitops.PEOPLE_FILE)
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 1000
    document = editor.load((text or b"{}").decode()) or {}
    for key, there in (("run", known.run), ("review", known.review)):
        there_now = document.setdefault(key, [])
        there_now.extend(one for one in asked.accounts if one not in there)
    document.setdefault("models", {}).setdefault(asked.model, [asked.repository])
    written = io.StringIO()
    editor.dump(document, written)
    checkout.write(gitops.PEOPLE_FILE, written.getvalue().encode())


def _pushed(checkout: gitops.Checkout, url: str, branch: str, asked: Team) -> Proposal:
    if not checkout.git("status", "--porcelain"):
        return Proposal(repository=shown(url), branch="", files=())
    checkout.commit(f"Onboard {asked.model} of {asked.repository}", {})
    files = checkout.changed(f"origin/{gitops.MAIN}", "HEAD")
    # Asked again, it proposes anew what it proposed before.
    checkout.push(f"+HEAD:refs/heads/{branch}")
    return Proposal(repository=shown(url), branch=branch, files=tuple(files))


def compare_url(proposal: Proposal) -> str:
    """Where a forge opens the pull request; empty where that is not known."""
    url = proposal.repository
    found = re.match(r"(?:ssh://)?(?:[^@/]+@)?([^/:]+)[:/](.+?)(?:\.git)?/?$", url)
    with suppress(ValueError):
        if urlsplit(url).scheme in ("http", "https"):
            found = re.match(r"https?://([^/]+)/(.+?)(?:\.git)?/?$", url)
    if not found or not proposal.branch or url.startswith(("/", "file:")):
        return ""
    host, path = found.groups()
    if "gitlab" in host:
        return f"https://{host}/{path}/-/merge_requests/new?merge_request[source_branch]={proposal.branch}"
    return f"https://{host}/{path}/compare/{gitops.MAIN}...{proposal.branch}"
