"""Where things lie: what came with Touchstone, and $TOUCHSTONE_HOME of an embedded platform.

```
state.sqlite             events, runs and TaskRuns
platform.json            who runs, and at which addresses
git/<name>.git           what people push to, a repository for each model; the first is model.git
git/gitops.git           what should be served
volumes/<claim>/         PersistentVolumeClaims; the artifact store is touchstone-artifacts
secrets/<name>/<key>     Secrets, readable by the owner alone
reviewer/                the key that signs this person's decisions
spool/                   deliveries that the listener has not taken yet
logs/                    what processes printed
proxy/                   what Envoy reads
reports/<run>/           what `touchstone report` wrote
revisions/               model trees of what is served, with the packages that they need
sockets                  a link to where revisions and Envoy listen, for us alone
```
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from touchstone.errors import PlatformError

VARIABLE = "TOUCHSTONE_HOME"
FOLDER = ".touchstone"
PORT = 8470
"""Of the listener, on loopback, unless told otherwise; serving takes the next one."""

_OURS = 0o1700
"""Mode of a folder that we made: private, and with the sticky bit, which no clone brings along."""

_CHECKOUT = Path(__file__).parents[1]

PACKAGES = (Path(__file__).parent, _CHECKOUT / "trust_gates")
"""The folders of the import packages."""

SHIPPED = _CHECKOUT if (_CHECKOUT / "tekton").is_dir() else Path(__file__).parent / "shipped"
"""Where tekton/, argocd/, scripts/ and training/ lie: in a checkout, or in the wheel."""


def packages_of(tree: Path) -> Path:
    """Where the packages lie that a model tree's code needs: beside it, they are no part of it."""
    return tree.with_name(f"{tree.name}.packages")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one embedded platform."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """$TOUCHSTONE_HOME, else the nearest .touchstone that holds something, as git finds .git.

        Where no folder above has one, it is .touchstone in the working directory. What lies in it
        decides what we run: one that may be somebody else's is never found.

        Raises:
            PlatformError: that of the working directory may be somebody else's.
        """
        if chosen := os.environ.get(VARIABLE):
            return cls(Path(chosen).resolve())
        here = Path.cwd()
        for folder in (here, *here.parents):
            if _is_home(folder / FOLDER) and not _doubt(folder / FOLDER):
                return cls((folder / FOLDER).resolve())
        own = here / FOLDER
        if _holds(own) and (why := _doubt(own)):
            raise PlatformError(
                f"got {own}, {why}, expected a folder of your own",
                hint=f"if you trust all that is in it: chmod {_OURS:o} {FOLDER}",
            )
        return cls(own)

    @property
    def model_repository(self) -> Path:
        """The bare repository that people push to, before they add others."""
        return self.repository("model")

    def repository(self, name: str) -> Path:
        """The bare repository of that name, whether there is one or not."""
        return self.root / "git" / f"{name}.git"

    @property
    def model_repositories(self) -> dict[str, Path]:
        """The bare repositories that people push to, by name."""
        found = sorted((self.root / "git").glob("*.git"))
        return {path.stem: path for path in found if path != self.gitops_repository}

    @property
    def gitops_repository(self) -> Path:
        """The bare repository that says what should be served."""
        return self.repository("gitops")

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

    def make(self) -> None:
        """Create the folder, for its owner alone; what has become a home stays as it is."""
        known = _is_home(self.root)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not known and self.root.name == FOLDER:  # another may hold more than ours
            self.root.chmod(_OURS)

    def prepare(self) -> None:
        """Create the folders and the webhook's secret; what exists stays as it is."""
        self.make()
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
        """What `touchstone up` wrote of itself, or None where it never ran or runs no more."""
        life = self.life()
        return life.document if life.state is Is.RUNNING else None

    def life(self) -> Life:
        """Whether a platform runs here, died, or was never started since it last ended in order."""
        try:
            document: dict[str, Any] = json.loads(self.platform_file.read_text())
            running = is_running(document["pid"], document["started"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return Life(self.root, Is.DOWN, {})
        return Life(self.root, Is.RUNNING if running else Is.DEAD, document)


class Is(Enum):
    """How a platform is."""

    RUNNING = "running"
    DEAD = "dead"
    """It was killed, or its machine stopped."""
    DOWN = "down"
    """None ever ran, or it ended in order."""


@dataclass(frozen=True, slots=True)
class Life:
    """The platform of a home, or what is left of it."""

    root: Path
    state: Is
    document: dict[str, Any]
    """What it wrote of itself; empty where it is down."""

    def __str__(self) -> str:
        process = f"process {self.document.get('pid')}"
        return {
            Is.RUNNING: f"a platform runs in {self.root} ({process})",
            Is.DEAD: f"the platform in {self.root} died ({process} is gone)",
            Is.DOWN: f"no platform runs in {self.root}",
        }[self.state]

    @property
    def remedy(self) -> str:
        """What to type so that one runs; empty where one does."""
        # On the port that it had: what was connected to it finds it again.
        port = str(self.document.get("listener", "")).rpartition(":")[2]
        up = "touchstone up --detach" + (f" --port {port}" if port not in ("", str(PORT)) else "")
        return {
            Is.RUNNING: "",
            Is.DEAD: f"{up} starts it again, unfinished runs go on",
            Is.DOWN: f"{up} starts one",
        }[self.state]

    @property
    def missing(self) -> PlatformError:
        """The error of a command that cannot do without one."""
        return PlatformError(str(self), hint=self.remedy)


def _is_home(folder: Path) -> bool:
    """Whether a platform was laid out here, or `touchstone run` has left its runs."""
    return any(os.path.lexists(folder / mark) for mark in ("git", "run/state.sqlite"))


def _holds(folder: Path) -> bool:
    """Whether something is there that we would take for ours."""
    try:
        return any(folder.iterdir())
    except OSError:
        return os.path.lexists(folder)


def _doubt(folder: Path) -> str:
    """Why it may be somebody else's; empty where it is certainly ours.

    Ours is private, and we made it. A folder that a clone of a model repository has brought along
    may be private too, where the umask says so; keys and runs in it are those of its author.
    """
    try:
        found = (folder.lstat(), folder.stat())
    except OSError as error:
        return f"which cannot be looked at ({error.strerror})"
    if {one.st_uid for one in found} != {os.geteuid()}:
        return "which is somebody else's"
    mode = stat.S_IMODE(found[1].st_mode)
    if mode & 0o077:
        return f"which others may enter (mode {mode:o})"
    return "" if mode == _OURS else f"which Touchstone did not make (mode {mode:o}, not {_OURS:o})"


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
