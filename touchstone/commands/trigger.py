"""`trigger`: what trigger YAML makes of a saved request, with no platform and no cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchstone.errors import PlatformError, UsageError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(trigger)


def trigger(
    body: Annotated[Path, typer.Argument(help="The request's body, as it was sent.")],
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="Trigger YAML; this project's own by default."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value'; may be repeated.")
    ] = None,
    headers: Annotated[Path | None, typer.Option(help="File of 'Name: value' lines.")] = None,
    secret: Annotated[
        list[str] | None, typer.Option(help="NAME/KEY=FILE with the secret; may be repeated.")
    ] = None,
    sign: Annotated[
        str, typer.Option(help="NAME/KEY of the secret to sign the body with, as a forge would.")
    ] = "",
    url: Annotated[str, typer.Option(help="Path and query it was sent to.")] = "/",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show for every trigger, step by step, why it fires or not, and the objects it creates.

    Any kind of object may be created here, as on a cluster. Secrets of the same files serve;
    --secret takes the place of theirs.

    Example: touchstone trigger push.json -H 'X-GitHub-Event: push' --secret
    touchstone-webhook/token=token --sign touchstone-webhook/token
    """
    from touchstone.artifacts.store import digest_bytes
    from touchstone.commands.explained import read_body, read_headers, show, signed
    from touchstone.documents.yaml import load_files
    from touchstone.engine.text.objects import collect
    from touchstone.events.evaluate import Delivery, evaluate
    from touchstone.events.listener import event_uuid
    from touchstone.events.triggers import load_listeners
    from touchstone.platform.embedded import DEFINITIONS

    paths = file or [DEFINITIONS / "triggers"]
    held = {name: dict(item.contents) for name, item in collect(load_files(paths)).secrets.items()}
    for (name, key), value in map(_secret, secret or []):
        held.setdefault(name, {})[key] = value

    def lookup(name: str, key: str) -> bytes:
        if (value := held.get(name, {}).get(key)) is not None:
            return value
        if name not in held:
            problem = f"got no Secret {name} in the files, expected it there"
        else:
            problem = f"got the keys {sorted(held[name])} of the Secret {name}, expected {key}"
        raise PlatformError(problem, hint=f"give --secret {name}/{key}=FILE")

    content = read_body(body)
    sent = read_headers(headers, header or [])
    if sign:
        sent = signed(sent, content, lookup(*_pair(sign)))
    delivery = Delivery(
        headers=sent,
        body=content,
        url=url,
        event_id=event_uuid("file", digest_bytes(content)),
    )
    found = [
        evaluate(listener, item, delivery, secrets=lookup, overrides={})
        for listener in load_listeners(paths)
        for item in listener.triggers
    ]
    if not found:
        raise UsageError("got no trigger of an EventListener in the files, expected one")
    show(found, as_json=as_json, objects=True)


def _pair(text: str) -> tuple[str, str]:
    name, slash, key = text.partition("/")
    if not slash or not name or not key:
        raise UsageError(f"got {text!r}, expected NAME/KEY of a secret")
    return name, key


def _secret(text: str) -> tuple[tuple[str, str], bytes]:
    reference, _, file = text.partition("=")
    try:
        return _pair(reference), Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"--secret {text}: got {error.strerror}, expected a file") from None
