"""From a ref of a repository to a run of its commit, made from a TriggerTemplate.

Some events name no whole commit: a schedule and new data none, a GitHub comment only the pull
request, Bitbucket Cloud 12 of the 40 digits. Others leave open which files changed, or which branch
is the repository's default one. The repository is asked for it here, once.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from touchstone.documents.naming import SHORTEST, image_name, run_name
from touchstone.errors import PlatformError, UsageError
from touchstone.events import bindings, templates
from touchstone.git import git
from touchstone.requests.keeper import Control
from touchstone.runs import otlp


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to run, in the words of the TriggerTemplates' params."""

    template: str
    repo_url: str
    repository: str
    """Owner and name, as the forge writes them."""
    branch: str
    revision: str
    """The whole commit id."""
    image_registry: str
    gitops_url: str
    event: str
    """The id of the event that asks; an event makes a run once."""
    forge: str = ""
    """Whose API takes the commit status; empty as the host says."""
    pull_request: str = ""
    data: str = ""
    """Takes the place of spec.data.uri; empty for none."""
    traceparent: str = ""
    """The trace that the event is of; empty for one of its own."""


def start(control: Control, wanted: Wanted) -> str:
    """Create the run unless this event has made it already; return its name.

    Raises:
        UsageError: the template needs another param, or a value does not fit into it.
    """
    template = control.template(wanted.template)
    name = wanted.repository.rpartition("/")[2]
    given = {
        "repo-url": wanted.repo_url,
        "repository": wanted.repository,
        "branch": wanted.branch,
        "revision": wanted.revision,
        "short-revision": wanted.revision[:SHORTEST],
        "image-name": image_name(name),
        "run-name": run_name(name),
        "image-registry": wanted.image_registry,
        "gitops-url": wanted.gitops_url,
        "event-id": wanted.event,
        "forge": wanted.forge,
        "pull-request": wanted.pull_request,
        "data": wanted.data,
        "traceparent": otlp.of_event(wanted.event, wanted.traceparent),
    }
    if missing := [
        param.name for param in template.params if param.name not in given and param.default is None
    ]:
        raise UsageError(
            f"the TriggerTemplate {wanted.template} asks for {missing[0]}, expected only"
            f" {', '.join(given)}, or a default"
        )
    defaults = {param.name: param.default for param in template.params if param.default is not None}
    params = {name: bindings.pasted([text]) for name, text in {**defaults, **given}.items()}
    # Of one commit an event may tell under two names: two tags.
    seed = f"{wanted.event}/{wanted.branch}/{wanted.revision}/{wanted.data}"
    try:
        (run,) = templates.render(template.resourcetemplates, params, seed=seed)
    except ValueError as error:
        raise UsageError(
            f"the TriggerTemplate {wanted.template} cannot be filled: {error}"
        ) from None
    control.create(run)
    return str(run["metadata"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A branch or tag that an event tells of, and what is open about it."""

    branch: str
    """Its name, for people."""
    ref: str
    """The whole of it, such as refs/heads/main."""
    revision: str = ""
    """The commit that the event is about, or its beginning; empty for what is there."""
    since: str = ""
    """The commit before, or a whole ref to compare with; empty for none."""
    ignore: str = ""
    """Regular expression of files that start nothing where nothing else differs."""
    target: str = ""
    """The branch that must be the repository's default one; empty where that is decided."""

    @classmethod
    def read(cls, text: str) -> list[Ref]:
        """Those of a JSON list of objects. Raises UsageError where it is none."""
        try:
            return [cls(**item) for item in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise UsageError(f"got {text[:80]!r}, expected a JSON list of refs: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What git says of a ref."""

    revision: str
    reason: str
    """Why nothing is to be started; empty where something is."""


def look(url: str, about: Ref) -> Looked:
    """Which commit the ref is, and whether it starts a run.

    Raises:
        UsageError: there is no such ref, or it has moved on since the event.
        PlatformError: git cannot reach the repository.
    """
    if about.target and (default := default_branch(url)) != about.target:
        reason = f"only the default branch, {default}, starts a run, and this was {about.target}"
        return Looked(revision="", reason=reason)
    revision = resolve(url, about.ref, seen=about.revision)
    since = about.since
    if about.ignore and since:
        if since.startswith("refs/"):
            since = resolve(url, since)
        if changes_only(url, since, revision, about.ignore):
            reason = f"only documents differ from {since[:12]}"
            return Looked(revision=revision, reason=reason)
    return Looked(revision=revision, reason="")


def default_branch(url: str) -> str:
    """The branch that the repository's HEAD names.

    Raises:
        UsageError: it names none.
        PlatformError: git cannot reach the repository.
    """
    lines = git("ls-remote", "--symref", "--", url, "HEAD").splitlines()
    prefix, suffix = "ref: refs/heads/", "\tHEAD"
    for line in lines:
        if line.startswith(prefix) and line.endswith(suffix):
            return line.removeprefix(prefix).removesuffix(suffix)
    raise UsageError(
        f"got no default branch of {url}, expected HEAD to name one",
        hint="say which branch counts: the param branch of the triggers' interceptor",
    )


def resolve(url: str, ref: str, *, seen: str = "") -> str:
    """The commit that `ref` (`refs/heads/main`, `refs/pull/7/head`) of the repository names now.

    `seen` is the beginning of the commit that the event is about, where it says so.

    Raises:
        UsageError: there is no such ref, or it has moved on since the event.
        PlatformError: git cannot reach the repository.
    """
    if not re.fullmatch(r"refs/[^\s~^:?*\[\\]+", ref):
        raise UsageError(f"got the ref {ref!r}, expected a whole name such as refs/heads/main")
    lines = git("ls-remote", "--", url, ref, f"{ref}^{{}}").splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    commit = found.get(f"{ref}^{{}}") or found.get(ref, "")  # an annotated tag names its commit
    if not commit:
        raise UsageError(f"got no {ref} in {url}, expected the one that the event names")
    if not commit.startswith(seen):
        raise UsageError(
            f"{ref} is at {commit[:12]} now, expected {seen[:12]} as in the event",
            hint="the push that moved it is an event of its own",
        )
    return commit


def changes_only(url: str, since: str, revision: str, pattern: str) -> bool:
    """Whether every file that differs between two commits of the repository matches `pattern`.

    False where nothing differs, or one of them cannot be had (a new branch, a rewritten one, a
    server that hands out branches alone): in doubt a run is started.
    """
    if not since.strip("0"):
        return False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git("init", "--quiet", "--bare", "--template=", ".", cwd=folder)
        # Trees alone: which files differ shows without what is in them.
        fetch = ("fetch", "--quiet", "--depth=1", "--filter=blob:none", "--", url)
        try:
            git(*fetch, revision, cwd=folder)
            git(*fetch, since, cwd=folder)
        except PlatformError:
            return False
        names = git("diff", "--name-only", "--no-renames", "-z", since, revision, cwd=folder)
    files = [file for file in names.split("\0") if file]
    return bool(files) and all("\n" not in file and re.search(pattern, file) for file in files)
