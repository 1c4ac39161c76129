"""Which repositories do people push their models to? Bare ones in git/, each with our hook."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

from touchstone.documents.naming import MODEL
from touchstone.errors import UsageError
from touchstone.git import git
from touchstone.home import PORT, Home

_HOOK = """\
#!/bin/sh
# Written by `touchstone up`: tells the listener what was pushed.
exec {command}
"""


def create(home: Home, name: str) -> Path:
    """Make the bare repository `name`, complete or not at all; the platform need not run.

    Raises:
        UsageError: it cannot be called so, or there is one already.
    """
    repository = home.repository(name)
    if not re.fullmatch(MODEL, name) or repository == home.gitops_repository:
        raise UsageError(
            f"got the name {name!r}, expected lower case letters, digits and -, at most 42, and not"
            f" {home.gitops_repository.stem}",
            hint="the model may be called otherwise: its name is metadata.name in touchstone.yaml",
        )
    if repository.exists():
        raise UsageError(
            f"there is a model repository {name} already: {repository}",
            hint="touchstone model list shows all",
        )
    partial = repository.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    git("init", "--quiet", "--bare", "--initial-branch=main", str(partial))
    # The pipeline fetches the pushed commit itself, which need not be a branch's tip any more.
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=partial)
    partial.replace(repository)
    connect(home, home.life().document.get("listener", f"http://127.0.0.1:{PORT}"))
    return repository


def connect(home: Home, listener_url: str) -> None:
    """Let every repository tell the listener at that address what is pushed to it."""
    for repository in home.model_repositories.values():
        command = [sys.executable, "-P", "-m", "touchstone", "hook", "post-receive"]
        command += ["--url", f"{listener_url}/", "--secret-file", str(home.webhook_token)]
        command += ["--spool", str(home.spool), "--clone-url", repository.as_uri()]
        hook = repository / "hooks" / "post-receive"
        # A push that comes meanwhile finds the old one or the new one.
        partial = hook.with_suffix(".partial")
        partial.write_text(_HOOK.format(command=shlex.join(command)), encoding="utf-8")
        partial.chmod(0o755)
        partial.replace(hook)


def commits(repository: Path) -> int:
    """How many commits its branches, tags and pull requests hold."""
    return int(git("rev-list", "--count", "--exclude=refs/notes/*", "--all", cwd=repository))


def remove(home: Home, name: str) -> None:
    """Remove the repository `name` with its history; runs and releases of it stay.

    Raises:
        UsageError: there is none.
    """
    repository = find(home, name)
    # Under another name first: nobody pushes into half a repository.
    gone = repository.with_suffix(".removed")
    shutil.rmtree(gone, ignore_errors=True)
    repository.replace(gone)
    shutil.rmtree(gone)


def find(home: Home, name: str) -> Path:
    """The repository called `name`. Raises UsageError where there is none."""
    known = home.model_repositories
    if name not in known:
        raise UsageError(
            f"there is no model repository {name!r} in {home.root}",
            hint=f"there are {', '.join(known)}"
            if known
            else "touchstone model add NAME makes one",
        )
    return known[name]


def meant(home: Home, given: str) -> str:
    """Which repository an event means that names one as a forge does: `owner/name`, or its URL.

    Where there is one alone, it is that one.

    Raises:
        ValueError: there are several, and none is called so.
    """
    known = home.model_repositories
    name = given.rstrip("/").rpartition("/")[2].removesuffix(".git")
    if name in known:
        return name
    if len(known) != 1:
        raise ValueError(
            f"got the repository {given!r}, expected one of {', '.join(known) or 'none'}"
        )
    return next(iter(known))
