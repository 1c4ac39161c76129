"""Which git and registry credentials does a TaskRun's ServiceAccount bring, and in which files?

As Tekton's creds-init: Secrets annotated tekton.dev/git-N and tekton.dev/docker-N become .ssh,
.gitconfig, .git-credentials and .docker in $(credentials.path), copied to $HOME.
"""

from __future__ import annotations

import base64
import json
import os
import posixpath
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from touchstone import beneath
from touchstone.engine.pod.streams import Place
from touchstone.engine.text.objects import Objects, Secret

DEFAULT_ACCOUNT = "default"
_BASIC, _SSH = "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth"
_CONFIG, _CONFIG_JSON = "kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"


def files_of(account: str, objects: Objects, seen_at: str) -> dict[str, bytes]:
    """The credential files of a ServiceAccount by their path; none where none fits.

    `seen_at` is the folder in which steps see them.
    """
    named = dict.fromkeys(objects.accounts.get(account, ()))
    secrets = {name: objects.secrets[name] for name in named if name in objects.secrets}
    found = _ssh(secrets, seen_at)
    basic = _basic(secrets)
    return {**found, **basic, **_docker(secrets)}


def place(files: Mapping[str, bytes], folder: Place, user: int | None) -> None:
    """Write the files into `folder`, readable by `user` alone (ourselves where it is None).

    Raises NotPlainError where an earlier step left something else than folders on the way.
    """
    owner = user if os.geteuid() == 0 else None
    for path, content in files.items():
        inside = posixpath.join(folder.path, path)
        if posixpath.dirname(path):
            parent = posixpath.dirname(inside)
            beneath.make_folder(folder.base, parent, mode=0o700, user=owner)
        beneath.write(folder.base, inside, content, mode=0o600, user=owner)


def _targets(secret: Secret, kind: str) -> list[str]:
    prefix = f"tekton.dev/{kind}-"
    return [url for key, url in sorted(secret.annotations.items()) if key.startswith(prefix)]


def _text(secret: Secret, key: str) -> str:
    return secret.contents.get(key, b"").decode("utf-8", "replace")


def _ssh(secrets: Mapping[str, Secret], seen_at: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    hosts: dict[str, list[str]] = {}
    known = []
    for name, secret in secrets.items():
        for url in _targets(secret, "git") if secret.type == _SSH else []:
            files[f".ssh/id_{name}"] = secret.contents.get("ssh-privatekey", b"")
            hosts.setdefault(url, []).append(name)
            if "known_hosts" in secret.contents:
                known.append(_text(secret, "known_hosts"))
    if hosts:
        files[".ssh/config"] = "".join(
            _host(url, names, seen_at) for url, names in hosts.items()
        ).encode()
    if known:
        files[".ssh/known_hosts"] = "\n".join(known).encode()
    return files


def _host(url: str, names: list[str], seen_at: str) -> str:
    host, _, port = url.partition(":")
    lines = [f"Host {host}", f"    HostName {host}", f"    Port {port or '22'}"]
    return "\n".join(
        [*lines, *(f"    IdentityFile {seen_at}/.ssh/id_{name}" for name in names), ""]
    )


def _basic(secrets: Mapping[str, Secret]) -> dict[str, bytes]:
    config, urls = ["[credential]\n\thelper = store\n"], []
    for secret in secrets.values():
        for url in _targets(secret, "git") if secret.type == _BASIC else []:
            user, parts = _text(secret, "username"), urlsplit(url)
            escaped = user.replace("\\", "\\\\")
            blurb = f'[credential "{url}"]\n\tusername = {escaped}\n'
            has_path = parts.path not in {"", "/"}
            config.append(blurb + ("\tuseHttpPath = true\n" if has_path else ""))
            login = f"{quote(user, safe='')}:{quote(_text(secret, 'password'), safe='')}"
            urls.append((has_path, parts._replace(netloc=f"{login}@{parts.netloc}").geturl()))
    if not urls:
        return {}
    # What fits a whole host comes first, as what fits one repository alone must win.
    ordered = [url for _, url in sorted(urls, key=lambda item: item[0])]
    return {
        ".gitconfig": "".join(config).encode(),
        ".git-credentials": "\n".join([*ordered, ""]).encode(),
    }


def _docker(secrets: Mapping[str, Secret]) -> dict[str, bytes]:
    logins: dict[str, object] = {}
    for secret in secrets.values():
        if secret.type == _CONFIG_JSON:
            logins |= _json(secret, ".dockerconfigjson").get("auths", {})
        elif secret.type == _CONFIG:
            logins |= _json(secret, ".dockercfg")
        elif secret.type == _BASIC:
            for url in _targets(secret, "docker"):
                user, password = _text(secret, "username"), _text(secret, "password")
                token = base64.b64encode(f"{user}:{password}".encode()).decode()
                logins[url] = {
                    "username": user, "password": password, "auth": token, "email": "not@val.id",
                }  # fmt: skip
    return {".docker/config.json": json.dumps({"auths": logins}).encode()} if logins else {}


def _json(secret: Secret, key: str) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(secret.contents.get(key, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
