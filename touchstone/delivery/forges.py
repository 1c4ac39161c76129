"""How each forge is told of a commit's status: the request, made from a repository's clone URL.

Their own references: GitHub REST "Create a commit status"; GitLab "Set commit pipeline status";
Forgejo and Gitea `POST /repos/{owner}/{repo}/statuses/{sha}`; Bitbucket Cloud "Create a build
status for a commit"; Bitbucket Data Center 7.4 and later "Store a build status".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from touchstone.errors import UsageError

GITHUB, GITLAB, FORGEJO, BITBUCKET = "github", "gitlab", "forgejo", "bitbucket"
FORGES = (GITHUB, GITLAB, FORGEJO, BITBUCKET)
_HOSTS = {
    "github.com": GITHUB,
    "gitlab.com": GITLAB,
    "codeberg.org": FORGEJO,
    "bitbucket.org": BITBUCKET,
}
_BITBUCKET_KEY = 40
"""Bitbucket Cloud refuses a longer key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One POST that tells of a status."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    page: str
    """Where a person reads it."""
    permission: str
    """What the token must be allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One commit of a repository on a forge."""

    host: str
    path: str
    """Owner and name; of GitLab with all groups, of Bitbucket Data Center with the context path."""
    commit: str

    @property
    def web(self) -> str:
        return f"https://{self.host}/{self.path}"


def request(
    url: str, commit: str, fields: Mapping[str, str], *, forge: str, token: str, api: str = ""
) -> Request:
    """The request for the repository cloned from `url`, which must be https.

    `fields` are state (success, failure, error, pending), description, context and target_url.
    `forge` may be empty where the host says it; `api` takes the place of the API's usual address.

    Raises:
        UsageError: it cannot be told which forge this is, or what it calls the repository.
    """
    parts = urlsplit(url)
    forge = forge or _HOSTS.get(parts.hostname or "", "")
    path = parts.path.strip("/").removesuffix(".git")
    segment = r"(?!\.\.?(?:/|$))[\w.~-]+"
    known = forge in FORGES and re.fullmatch(f"{segment}(?:/{segment})+", path)
    if parts.scheme != "https" or not parts.hostname or not known:
        raise UsageError(
            f"got status URL {parts.scheme}://{parts.hostname or ''}{parts.path} of the forge"
            f" {forge!r}, expected https://host/owner/name of one of {', '.join(FORGES)}, or"
            " file:///a/bare/repository",
            hint="the param forge says whose API answers there",
        )
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    place = _Place(host=host, path=path, commit=commit)
    return _MAKERS[forge](place, fields, token, api.rstrip("/"))


def _github(place: _Place, fields: Mapping[str, str], token: str, api: str) -> Request:
    usual = (
        "https://api.github.com" if place.host == "github.com" else f"https://{place.host}/api/v3"
    )
    return Request(
        url=f"{api or usual}/repos/{place.path}/statuses/{place.commit}",
        headers={
            "accept": "application/vnd.github+json",
            "authorization": f"Bearer {token}",
            "x-github-api-version": "2022-11-28",
        },
        body=fields,
        page=f"{place.web}/commit/{place.commit}",
        permission="the repository permission 'Commit statuses: write'",
    )


def _gitlab(place: _Place, fields: Mapping[str, str], token: str, api: str) -> Request:
    states = {"failure": "failed", "error": "failed"}
    renamed = {**fields, "state": states.get(fields["state"], fields["state"])}
    renamed["name"] = renamed.pop("context")
    base = api or f"https://{place.host}/api/v4"
    return Request(
        url=f"{base}/projects/{quote(place.path, safe='')}/statuses/{place.commit}",
        headers={"private-token": token},
        body=renamed,
        page=f"{place.web}/-/commit/{place.commit}",
        permission="the scope api and the role Developer",
    )


def _forgejo(place: _Place, fields: Mapping[str, str], token: str, api: str) -> Request:
    return Request(
        url=f"{api or f'https://{place.host}/api/v1'}/repos/{place.path}/statuses/{place.commit}",
        headers={"authorization": f"token {token}"},
        body=fields,
        page=f"{place.web}/commit/{place.commit}",
        permission="the scope write:repository",
    )


def _bitbucket(place: _Place, fields: Mapping[str, str], token: str, api: str) -> Request:
    states = {"success": "SUCCESSFUL", "pending": "INPROGRESS"}
    if place.host == "bitbucket.org":
        base = f"{api or 'https://api.bitbucket.org/2.0'}/repositories/{place.path}"
        url, page = f"{base}/commit/{place.commit}/statuses/build", f"{place.web}/commits"
    else:
        context, _, name = f"/{place.path}".rpartition("/scm/")
        project, _, slug = name.partition("/")
        base = f"{api or f'https://{place.host}{context}/rest/api/latest'}/projects/{project}"
        url = f"{base}/repos/{slug}/commits/{place.commit}/builds"
        page = f"https://{place.host}{context}/projects/{project}/repos/{slug}/commits"
    page = f"{page}/{place.commit}"
    return Request(
        url=url,
        headers={"authorization": f"Bearer {token}"},
        body={
            "key": fields["context"][:_BITBUCKET_KEY],
            "name": fields["context"],
            "state": states.get(fields["state"], "FAILED"),
            "description": fields["description"],
            "url": fields.get("target_url") or page,  # both refuse a status without one
        },
        page=page,
        permission="to write to the repository",
    )


_MAKERS: dict[str, Callable[[_Place, Mapping[str, str], str, str], Request]] = {
    GITHUB: _github,
    GITLAB: _gitlab,
    FORGEJO: _forgejo,
    BITBUCKET: _bitbucket,
}
