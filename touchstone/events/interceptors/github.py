"""The interceptor `github`: signature and type, changed files, and who may ask for a run.

What only GitHub's API knows (the files of a pull request, an organization's members, OWNERS) is
asked there: at `https://<X-Github-Enterprise-Host>/api/v3` for GitHub Enterprise, else at
api.github.com, or at the address in $TOUCHSTONE_GITHUB_API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from touchstone.errors import TouchstoneError
from touchstone.events import signature
from touchstone.events.interceptors.forge import Forge
from touchstone.events.interceptors.github_api import GitHubApi, is_owner
from touchstone.events.interceptors.interceptor import Passed, Request, Secrets, StoppedError
from touchstone.events.interceptors.params import SecretRef, by_name, flag, secret_ref

_CHECKS = ("orgMembers", "repoMembers", "all", "none", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFiles:
    """`addChangedFiles`: put the names of the changed files into `extensions.changed_files`."""

    token: SecretRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """`githubOwners`: pull requests of these people alone, or after their `/ok-to-test`."""

    token: SecretRef | None
    check: str
    """orgMembers, repoMembers, all or none; OWNERS counts with each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub(Forge):
    """Signed by the shared secret, and one of the wanted event types."""

    kind: ClassVar[str] = "github"
    EVENT: ClassVar[str] = "X-GitHub-Event"
    PROOF: ClassVar[str] = "X-Hub-Signature-256"

    changed_files: ChangedFiles | None = None
    owners: Owners | None = None

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> GitHub:
        """Raises ValueError where the params are not what Tekton defines."""
        known = ("secretRef", "eventTypes", "addChangedFiles", "githubOwners")
        params = by_name(params, known, of=cls.kind)
        base = cls(**cls._common(params))
        if (files := _enabled(params, "addChangedFiles", ())) is not None:
            base = replace(base, changed_files=ChangedFiles(token=_token(files)))
        if (owners := _enabled(params, "githubOwners", ("checkType",))) is not None:
            check = owners.get("checkType", "")
            if check not in _CHECKS:
                raise ValueError(f"got checkType {check!r}, expected one of {_CHECKS[:-1]}")
            base = replace(base, owners=Owners(token=_token(owners), check=check))
        return base

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Check type and signature, then add the changed files or check the owners."""
        if request.header("content-type") == "application/x-www-form-urlencoded":
            raise StoppedError(
                "form parameter encoding not supported, please change the hook to send JSON"
                " payloads"
            )
        passed = Forge.process(self, request, secrets)
        event = request.header(self.EVENT)
        if self.changed_files and event in ("pull_request", "push"):
            return self._with_files(passed, request, secrets, self.changed_files)
        if self.owners and event in ("pull_request", "issue_comment"):
            return self._owned(passed, request, secrets, self.owners)
        return passed

    def _problem(self, request: Request, secret: bytes) -> str:
        header = signature.of_github(request.headers)
        return signature.problem(header, request.raw, secret, name=self.PROOF)

    def _with_files(
        self, passed: Passed, request: Request, secrets: Secrets, wanted: ChangedFiles
    ) -> Passed:
        body = request.body
        try:
            if request.header(self.EVENT) == "push":
                files = [
                    str(name)
                    for commit in body.get("commits") or []
                    for kind in ("added", "modified", "removed")
                    for name in commit[kind]
                ]
            else:
                with _api(request, wanted.token, secrets) as api:
                    files = api.pull_request_files(_repository(body), int(body["number"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise StoppedError(f"error parsing body: payload body missing {error}") from None
        except TouchstoneError as error:
            raise StoppedError(f"error getting changed files: {error}") from None
        added = {"changed_files": ",".join(files)}
        return replace(passed, extensions=added, notes=(*passed.notes, f"{len(files)} files"))

    def _owned(self, passed: Passed, request: Request, secrets: Secrets, rule: Owners) -> Passed:
        if rule.token is None and rule.check != "none":
            raise StoppedError(
                "checkType is set to check org or repo members but no personalAccessToken was"
                " supplied"
            )
        try:
            body = request.body
            repository, sender = _repository(body), str(body["sender"]["login"])
            comment = ""
            if request.header(self.EVENT) == "issue_comment":
                comment = str(body["comment"]["body"])
            with _api(request, rule.token, secrets) as api:
                owner = is_owner(api, repository, sender, rule.check)
        except (KeyError, TypeError) as error:
            raise StoppedError(f"error parsing body: payload body missing {error}") from None
        except TouchstoneError as error:
            raise StoppedError(f"error checking owner verification: {error}") from None
        asked = "/ok-to-test" in comment.splitlines()
        if not owner or (request.header(self.EVENT) == "issue_comment" and not asked):
            raise StoppedError(
                "owners check requirements not met", notes=(f"{sender} owns it: {owner}",)
            )
        return replace(passed, notes=(*passed.notes, f"{sender} owns it"))


def _enabled(
    params: Mapping[str, Any], name: str, further: tuple[str, ...]
) -> Mapping[str, Any] | None:
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"got {name} {value!r}, expected an object with enabled")
    found = by_name(value, ("enabled", "personalAccessToken", *further), of=name)
    return found if flag(found.get("enabled"), name=f"{name}.enabled") else None


def _token(value: Mapping[str, Any]) -> SecretRef | None:
    return secret_ref(value.get("personalAccessToken"), name="personalAccessToken")


def _repository(body: Any) -> str:
    name = str(body["repository"]["full_name"])
    if name.count("/") != 1:
        raise StoppedError(f"got the repository {name!r}, expected owner/name")
    return name


def _api(request: Request, token: SecretRef | None, secrets: Secrets) -> GitHubApi:
    host = request.header("x-github-enterprise-host")
    return GitHubApi.at(host, secrets(*token).decode().strip() if token else "")
