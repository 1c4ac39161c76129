"""From an interceptor in a trigger's YAML to the object that judges events."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

from touchstone.events.headers import canonical
from touchstone.events.interceptors.cel import Cel
from touchstone.events.interceptors.delivery import Delivery
from touchstone.events.interceptors.forge import Bitbucket, GitLab
from touchstone.events.interceptors.github import GitHub
from touchstone.events.interceptors.interceptor import Interceptor
from touchstone.events.interceptors.slack import Slack
from touchstone.events.interceptors.webhook import OldWebhook, Remote
from touchstone.events.kinds import ClientConfig, Webhook

_CORE_SERVICE = "tekton-triggers-core-interceptors"
_OURS = "http://touchstone-interceptor"
"""Where tekton/triggers/interceptor.yaml puts our own, which here needs no address."""


class _Kind(Protocol):
    def build(self, params: Mapping[str, Any]) -> Interceptor: ...


_CORE: dict[str, _Kind] = {
    "bitbucket": Bitbucket,
    "cel": Cel,
    "github": GitHub,
    "gitlab": GitLab,
    "slack": Slack,
}


def build(
    name: str, params: Mapping[str, Any], *, config: ClientConfig | None, namespace: str
) -> Interceptor:
    """The interceptor `name`: at the address in `config`, or one of Tekton's own.

    Raises:
        ValueError: unknown, without an address, or with params that it does not take.
    """
    if config is not None and config.url == _OURS:
        return Delivery.build(params)
    if config is None or (config.service and config.service.name == _CORE_SERVICE):
        kind = _CORE.get(name)
        if kind is None:
            raise ValueError(
                f"got the interceptor {name!r}, expected one of {sorted(_CORE)} or an object of"
                " that name in the same files"
            )
        return kind.build(params)
    return Remote(name=name, url=_address(config, namespace), ca=_authority(config), params=params)


def build_webhook(webhook: Webhook, *, namespace: str) -> Interceptor:
    """The old form. Raises ValueError where it says nowhere to post to."""
    url = webhook.url
    if webhook.object_ref is not None and not url:
        reference = webhook.object_ref
        if (reference.kind, reference.api_version) != ("Service", "v1") or not reference.name:
            raise ValueError("got an objectRef of another kind, expected a v1 Service with a name")
        url = f"http://{reference.name}.{reference.namespace or namespace}.svc/"
    if not url:
        raise ValueError("got a webhook without an address, expected objectRef or url")
    headers = []
    for header in webhook.header:
        if not header.name or canonical(header.name) != header.name or not header.value:
            raise ValueError(f"got the header {header.name!r}, expected a canonical name and value")
        value = header.value if isinstance(header.value, str) else ", ".join(header.value)
        headers.append((header.name, value))
    return OldWebhook(url=url, headers=tuple(headers))


def _address(config: ClientConfig, namespace: str) -> str:
    if config.url and config.service:
        raise ValueError("got url and service, expected one of them")
    if config.url:
        if not config.url.startswith(("http://", "https://")):
            raise ValueError(f"got the url {config.url!r}, expected http:// or https://")
        return config.url
    if config.service is None:
        raise ValueError("got a clientConfig without an address, expected url or service")
    service = config.service
    scheme, port = ("https", 8443) if config.ca_bundle else ("http", 80)
    host = f"{service.name}.{service.namespace or namespace}.svc"
    return f"{scheme}://{host}:{service.port or port}/{service.path.lstrip('/')}"


def _authority(config: ClientConfig) -> str:
    if not config.ca_bundle:
        return ""
    try:
        text = base64.b64decode(config.ca_bundle, validate=True).decode()
        ssl.create_default_context(cadata=text)
    except (binascii.Error, ValueError, ssl.SSLError):
        raise ValueError("got a caBundle that is not base64 of PEM certificates") from None
    return text
