"""Where things lie: what came with Touchstone, and $TOUCHSTONE_HOME of an embedded platform.

```
state.sqlite             events, runs and TaskRuns
platform.json            who runs, and at which addresses
git/model.git            what people push to
git/gitops.git           what should be served
volumes/<claim>/         PersistentVolumeClaims; the artifact store is touchstone-artifacts
secrets/<name>/<key>     Secrets, readable by the owner alone
reviewer/                the key that signs this person's decisions
spool/                   deliveries that the listener has not taken yet
logs/                    what processes printed
proxy/                   what Envoy reads
reports/<run>/           what `touchstone report` wrote
revisions/               model trees of what is served
sockets                  a link to where revisions and Envoy listen, for us alone
```
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import PlatformError

VARIABLE = "TOUCHSTONE_HOME"

_CHECKOUT = Path(__file__).parents[1]

PACKAGES = (Path(__file__).parent, _CHECKOUT / "trust_gates")
"""The folders of the import packages."""

SHIPPED = _CHECKOUT if (_CHECKOUT / "tekton").is_dir() else Path(__file__).parent / "shipped"
"""Where tekton/, argocd/, scripts/ and training/ lie: in a checkout, or in the wheel."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one embedded platform."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """$TOUCHSTONE_HOME, or .touchstone in the working directory."""
        return cls(Path(os.environ.get(VARIABLE) or ".touchstone").resolve())

    @property
    def model_repository(self) -> Path:
        """The bare repository that people push to."""
        return self.root / "git" / "model.git"

    @property
    def gitops_repository(self) -> Path:
        """The bare repository that says what should be served."""
        return self.root / "git" / "gitops.git"

    @property
    def artifacts(self) -> Path:
        """The artifact store's folder: the volume that the pipeline's workspace claims."""
        return self.root / "volumes" / "touchstone-artifacts"

    @property
    def spool(self) -> Path:
        """Deliveries on their way from the git hook to the listener."""
        return self.root / "spool"

    @property
    def logs(self) -> Path:
        """What the platform's processes printed."""
        return self.root / "logs"

    @property
    def signing_key(self) -> Path:
        """Folder with private.pem and public.pem (Ed25519)."""
        return self.root / "secrets" / "touchstone-signing-key"

    @property
    def recording_key(self) -> Path:
        """Folder with the key pair that signs what an account decided by a comment."""
        return self.root / "secrets" / "touchstone-recording-key"

    @property
    def reviewer_key(self) -> Path:
        """Folder with the key pair of the person who reviews here."""
        return self.root / "reviewer"

    @property
    def webhook_token(self) -> Path:
        """File with the shared secret that webhooks are signed with."""
        return self.root / "secrets" / "touchstone-webhook" / "token"

    @property
    def platform_file(self) -> Path:
        """Written by `touchstone up`: who runs, and at which addresses."""
        return self.root / "platform.json"

    def prepare(self) -> None:
        """Create the folders and the webhook's secret; what exists stays as it is."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folders = (self.artifacts, self.spool, self.logs, self.root / "git")
        keys = (self.signing_key, self.recording_key, self.reviewer_key)
        for folder in (*folders, *keys, self.webhook_token.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.webhook_token.exists():
            write_private(self.webhook_token, secrets.token_hex(32))

    def secret(self, name: str, key: str) -> bytes:
        """The value of one key of a Secret. Raises PlatformError where it is absent."""
        path = self.root / "secrets" / name / key
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise PlatformError(
                f"secret {name} has no key {key}", hint=f"put it into {path}, mode 0600"
            ) from None

    def platform(self) -> dict[str, Any] | None:
        """What `touchstone up` wrote of itself, or None where it never ran or ended in order."""
        try:
            document: dict[str, Any] = json.loads(self.platform_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return document if is_running(document["pid"], document["started"]) else None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can ever read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def is_running(pid: int, started: float) -> bool:
    """Whether process `pid` runs and is the one created at `started` (seconds since the epoch)."""
    import psutil

    try:
        process = psutil.Process(pid)
        # One that ended, but whose parent has not asked for its exit code yet, runs no more.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return not ended and bool(abs(process.create_time() - started) < 1)
    except psutil.Error:
        return False
