"""Does the GitOps repository have what a first promotion needs? People, and a policy each."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from touchstone.delivery import gitops, people
from touchstone.errors import PlatformError
from touchstone.install.values import Installation

FOLDER = "gitops"
"""Of a platform repository: what to push to the GitOps repository."""


def write(folder: Path, values: Installation, recorder: str) -> None:
    """Write the files of its first commit, where they cannot be pushed from here."""
    content = gitops.first_content(values.environments, _founders(values, recorder))
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def lay_out(values: Installation, recorder: str, credentials: Mapping[str, bytes]) -> list[str]:
    """Push the first content into an empty repository; of another, what it lacks.

    What people have written is never changed.

    Args:
        recorder: the public half of the recording key, as people.yaml names it.
        credentials: username and password for it; empty takes those of whoever runs this.

    Raises:
        PlatformError: it cannot be reached from here.
    """
    identity = gitops.caller() or gitops.TOUCHSTONE
    with _opened(values.gitops, credentials), gitops.clone(values.gitops, identity=identity) as at:
        main = f"origin/{gitops.MAIN}"
        if at.commit_of(main) is None:
            gitops.ensure_main(at, values.environments, _founders(values, recorder))
            return [f"pushed people.yaml and {', '.join(values.environments)} to {values.gitops}"]
        absent = [
            f"{gitops.policy_of(name)} is missing: say what must hold of a release there"
            for name in values.environments
            if not at.holds(main, gitops.policy_of(name))
        ]
        if people.read_at(at, main).recorder != recorder:
            absent.append(
                f'{gitops.PEOPLE_FILE}: decisions in comments count with recorder: "{recorder}"'
            )
        return absent


def _founders(values: Installation, recorder: str) -> gitops.Founders:
    return gitops.Founders(recorder=recorder, accounts=values.reviewers)


@contextmanager
def _opened(url: str, credentials: Mapping[str, bytes]) -> Iterator[None]:
    """Let git use these credentials for the one repository; no command line shows them."""
    if not url.startswith(("http://", "https://")) or "password" not in credentials:
        yield
        return
    pair = b":".join((credentials.get("username", b""), credentials["password"]))
    header = f"Authorization: Basic {base64.b64encode(pair).decode()}"
    given = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader",
        "GIT_CONFIG_VALUE_0": header,
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def environments_of(values: Installation, names: Sequence[str]) -> list[str]:
    """Those of `names` that the installation serves in. Raises PlatformError for another."""
    if unknown := [name for name in names if name not in values.environments]:
        raise PlatformError(
            f"got the environment {', '.join(unknown)}, expected one of"
            f" {', '.join(values.environments)}",
            hint="environments of touchstone-install.yaml has the namespaces that are served in",
        )
    return list(names)
