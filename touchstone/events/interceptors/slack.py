"""The interceptor `slack`: fields of a slash command's form become extensions.

As in Tekton it only looks whether X-Slack-Signature is there: put a `cel` interceptor with
`body.token[0].compareSecret('key', 'name')` behind it, which also the embedded listener asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from touchstone.events.interceptors.interceptor import FORM, Passed, Request, Secrets, StoppedError
from touchstone.events.interceptors.params import SecretRef, by_name, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """Which fields of the form to take."""

    kind: ClassVar[str] = "slack"
    fields: tuple[str, ...]

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> Slack:
        """Raises ValueError where the params are not what Tekton defines."""
        given = by_name(params, ("requestedFields",), of=cls.kind)
        fields = texts(given.get("requestedFields"), name="requestedFields")
        if fields is None:
            raise ValueError("missing requested field definition, expected requestedFields")
        return cls(fields=fields)

    @property
    def secrets_used(self) -> frozenset[SecretRef]:
        """None: it proves nothing."""
        return frozenset()

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Take the wanted fields, each a list of texts."""
        if request.header("content-type") != FORM or not request.header("x-slack-signature"):
            raise StoppedError(f"missing header in payload: ContentType {FORM}")
        form = request.body
        if not isinstance(form, dict):
            raise StoppedError("failed to unmarshl slack payload: it is no form")
        if missing := [name for name in self.fields if name not in form]:
            raise StoppedError(f"requested field does not exists in payload: {missing[0]}")
        return Passed(
            extensions={name: form[name] for name in self.fields},
            notes=(f"fields: {', '.join(self.fields)}",),
        )

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Nothing to check."""
