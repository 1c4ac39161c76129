"""`touchstone hook post-receive`: announce a push to the listener, as a forge would."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.errors import PlatformError

if TYPE_CHECKING:
    from touchstone.events.forge_hook import Sent

_PATIENCE = 2.0
"""Seconds that a push may take longer to hear what came of it."""

_EXAMPLE = (
    "Example, as hooks/post-receive: exec touchstone hook post-receive"
    " --url http://127.0.0.1:8080 --secret-file token --spool spool --clone-url file:///srv/m.git"
)


def register(app: typer.Typer) -> None:
    """Add the group `hook` to `app`."""
    hooks = typer.Typer(help="What the platform's git repositories call.", no_args_is_help=True)
    app.add_typer(hooks, name="hook")

    @hooks.callback()
    def root() -> None:
        """Keep the group form also while there is a single hook."""

    @hooks.command("post-receive", epilog=_EXAMPLE)
    def post_receive(
        url: Annotated[str, typer.Option(help="The listener, for example http://127.0.0.1:8080")],
        secret_file: Annotated[Path, typer.Option(help="File that holds the webhook's secret.")],
        spool: Annotated[Path, typer.Option(help="Folder where deliveries wait to be taken.")],
        clone_url: Annotated[str, typer.Option(help="Where this repository is cloned from.")],
    ) -> None:
        """Send GitHub-shaped push webhooks for the refs on standard input.

        Never fails the push, which is done by then: what cannot be sent waits in the spool, and
        the person who pushed is told, also where not even the spool can be written. What comes of
        the push is told too where it shows within two seconds.
        """
        from touchstone.events import forge_hook

        secret = _secret(secret_file)
        repository = Path(os.environ.get("GIT_DIR", "."))
        now = time.time()
        # Alone: what another sends meanwhile, this person would hear nothing of.
        with forge_hook.alone(spool):
            for update in forge_hook.read_updates(sys.stdin):
                payload = forge_hook.push_payload(repository, update, clone_url=clone_url, now=now)
                try:
                    forge_hook.spool(spool, payload)
                except OSError as error:
                    text = f"{update.ref} was not announced: {error}; push again once it is mended"
                    typer.echo(f"touchstone: {text}", err=True)
            for sent in forge_hook.drain_spool(spool, url=url, secret=secret, patience=_PATIENCE):
                if sent.taken:
                    typer.echo(f"touchstone: {sent.ref}: {_words(sent)}", err=True)
                else:
                    text = f"{sent.ref} was not announced: {sent.message}"
                    typer.echo(f"touchstone: {text}", err=True)
        if waiting := len(list(spool.glob("*.json"))):
            typer.echo(
                f"touchstone: {waiting} of your pushes wait in {spool};"
                " `touchstone up --detach` sends what waits there, every ten seconds",
                err=True,
            )


def _words(sent: Sent) -> str:
    """What came of a push, and what its author can do next."""
    if not sent.outcome:
        return "stored; what comes of it: touchstone events"
    if not sent.runs:
        return sent.outcome
    return f"{sent.outcome}; follow it: touchstone watch {sent.runs[0]}"


def _secret(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PlatformError(
            f"got {error.strerror} for {file}, expected the webhook's secret",
            hint="`touchstone up` writes it",
        ) from None
