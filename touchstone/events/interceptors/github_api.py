"""The few questions that the github interceptor asks GitHub's REST API."""

from __future__ import annotations

import base64
import os
import re
from types import TracebackType
from typing import TYPE_CHECKING, Any

from touchstone.errors import PlatformError

if TYPE_CHECKING:
    import httpx

VARIABLE = "TOUCHSTONE_GITHUB_API"
_PAGE = 100
_PAGES = 50
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?")


class GitHubApi:
    """A connection to one API, authorized by a token where there is one; closed by `with`."""

    def __init__(self, url: str, token: str, *, timeout: float = 3.0) -> None:
        import httpx

        headers = {"accept": "application/vnd.github+json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._client: httpx.Client = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, follow_redirects=False
        )

    @classmethod
    def at(cls, enterprise_host: str, token: str) -> GitHubApi:
        """The API of that GitHub Enterprise host, of $TOUCHSTONE_GITHUB_API, or of github.com.

        The host comes from an unsigned header; the token is sent only where $TOUCHSTONE_GITHUB_API
        names the same host, or no host was given.

        Raises:
            PlatformError: the host is none, or is not the one configured.
        """
        configured = os.environ.get(VARIABLE, "")
        if enterprise_host:
            wanted = f"https://{enterprise_host}/api/v3"
            if not _HOST.fullmatch(enterprise_host) or configured.rstrip("/") != wanted:
                raise PlatformError(
                    f"got the enterprise host {enterprise_host!r}, expected the one configured",
                    hint=f"set {VARIABLE}={wanted} where this host is to be asked",
                )
        return cls(configured or "https://api.github.com", token)

    def __enter__(self) -> GitHubApi:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def pull_request_files(self, repository: str, number: int) -> list[str]:
        """Names of all files that the pull request changes."""
        return [
            str(file["filename"]) for file in self._all(f"/repos/{repository}/pulls/{number}/files")
        ]

    def organization_members(self, organization: str) -> set[str]:
        """Logins of the public members; empty where it is a person or unknown."""
        return {str(user["login"]) for user in self._all(f"/orgs/{organization}/public_members")}

    def collaborators(self, repository: str) -> set[str]:
        """Logins of the repository's collaborators."""
        return {str(user["login"]) for user in self._all(f"/repos/{repository}/collaborators")}

    def file(self, repository: str, path: str) -> str:
        """A file of the default branch; empty where there is none."""
        answer = self._get(f"/repos/{repository}/contents/{path}", {})
        if answer is None:
            return ""
        return base64.b64decode(answer.json()["content"]).decode("utf-8", "replace")

    def _all(self, path: str) -> list[Any]:
        items: list[Any] = []
        for page in range(1, _PAGES + 1):
            answer = self._get(path, {"per_page": str(_PAGE), "page": str(page)})
            batch = [] if answer is None else answer.json()
            items += batch
            if len(batch) < _PAGE:
                break
        return items

    def _get(self, path: str, query: dict[str, str]) -> Any:
        """The answer, None for 404. Raises PlatformError for every other failure."""
        import httpx

        try:
            answer = self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise PlatformError(f"GitHub's API does not answer: {type(error).__name__}") from None
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise PlatformError(f"GitHub's API answered {answer.status_code} for {path}")
        return answer


def is_owner(api: GitHubApi, repository: str, sender: str, check: str) -> bool:
    """Whether `sender` is a member that `check` counts, or stands in the file OWNERS."""
    from touchstone.documents import yaml

    organization = repository.partition("/")[0]
    if check in ("orgMembers", "all") and sender in api.organization_members(organization):
        return True
    if check in ("repoMembers", "all") and sender in api.collaborators(repository):
        return True
    document = yaml.load_one(api.file(repository, "OWNERS"), "OWNERS")
    if document is None:
        return False
    named = [
        name for field in ("approvers", "reviewers") for name in document.body.get(field) or []
    ]
    return sender.casefold() in {str(name).casefold() for name in named}
