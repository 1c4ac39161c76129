"""A process that sees only what it may: where code of a model repository runs.

`command` puts a small program (`inside/`) before a command line. On Linux it starts the command in
namespaces of its own (processes, mounts, network, and a user where it has no privileges), with
a root of the system's programs, the interpreter and the named folders; and under Landlock, seccomp
and limits of memory, disk and processes. In a container, where namespaces are not to be had, the
last three hold alone.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

from touchstone.confine.inside import kernel
from touchstone.errors import PlatformError
from touchstone.home import PACKAGES, SHIPPED

SWITCH = "TOUCHSTONE_CONFINE"
"""Environment variable: `off`, as `touchstone up --unconfined` sets it, confines nothing."""

DATA = "TOUCHSTONE_DATA"
"""Environment variable: folders of data, joined as in PATH, that every `load_data` may read."""

DATA_PORTS = "TOUCHSTONE_DATA_PORTS"
"""Environment variable: ports besides the web's, joined by commas, for `load_data` to reach."""

_INSIDE = Path(__file__).with_name("inside")
_USER = 65532
"""Who the command runs as where the superuser starts it; nobody's on this machine."""

_KEPT = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_KEPT_PREFIXES = ("OMP_", "MKL_", "NCCL_", "TORCH_", "NVIDIA_", "PYTORCH_")

Network = Literal["none", "loopback", "host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a confined command may use."""

    memory: int = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    """Bytes, of each process and of all together."""

    disk: int = 16 << 30
    """Bytes, of one file and of all folders that it may write."""

    processes: int = 2048
    """Threads count too."""

    files: int = 4096
    """Open at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a command may see and use, besides the system's programs and the interpreter."""

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    """Folders made for this command alone; the superuser gives them away to it."""

    network: Network = "none"
    """`none` has no sockets at all, `loopback` an interface that no one else sees; without
    namespaces it is this machine's (in a container the Pod's), at ports that the kernel chooses."""

    ports: Sequence[int] = ()
    """Of the network `host`, the TCP ports that it may connect to: this machine's services on
    others are out of reach, where the kernel's Landlock knows of ports (Linux 6.7)."""

    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Means:
    """What this machine has to confine with."""

    namespaces: bool
    landlock: bool
    seccomp: bool
    missing: str = ""
    """Why namespaces cannot be had."""

    @property
    def enough(self) -> bool:
        """Whether what is there shuts a process in: a root of its own, or Landlock; and seccomp."""
        return (self.namespaces or self.landlock) and self.seccomp

    def __str__(self) -> str:
        names = [n for n in ("namespaces", "landlock", "seccomp") if getattr(self, n)]
        return ", ".join(names) or "nothing"


@lru_cache(maxsize=1)
def means() -> Means:
    """What there is here, tried once a process."""
    landlock, seccomp = kernel.landlock_version() > 0, kernel.has_seccomp()
    why = _cannot(Confinement(), Means(True, landlock, seccomp))
    return Means(not why, landlock, seccomp, why)


@lru_cache
def _cannot(asked: Confinement, found: Means) -> str:
    """Why a command cannot be confined so, tried once a process; empty where it can."""
    tried = subprocess.run(  # noqa: S603 (our own program)
        _command(["/bin/true"], asked, found, folder="/"),
        capture_output=True,
        env={},
        text=True,
        check=False,
    )
    said = tried.stderr.strip().removeprefix("error: ") or f"exit code {tried.returncode}"
    return said if tried.returncode else ""


def off() -> bool:
    """Whether the person who started this asked for no confinement."""
    return os.environ.get(SWITCH) == "off"


def described() -> str:
    """How a command would be confined now, for a report: `unconfined`, or by what."""
    return "unconfined" if off() else f"confined by {means()}"


def require() -> None:
    """Raise PlatformError where code of others could not be confined, unless that is asked for."""
    found = means()
    if not off() and not found.enough:
        raise PlatformError(
            f"got {found} to confine a model's code with ({found.missing or 'no reason known'}),"
            " expected namespaces or Landlock, and seccomp",
            hint="allow user namespaces, take a kernel from 5.13 on, or say --unconfined to let a"
            " pushed model's code run with all rights of the platform",
        )


def command(
    argv: Sequence[str | Path], confinement: Confinement, *, folder: Path | str = "/"
) -> list[str]:
    """The command line that runs `argv` confined, in `folder`.

    Its environment should be `environment(confinement)`; with `SWITCH` off it is `argv` itself.

    Raises:
        PlatformError: as `require`; or the network is to be a loopback, and that cannot be had.
    """
    if off():
        return [str(word) for word in argv]
    require()
    if confinement.network == "loopback" and not means().namespaces:
        why = _cannot(Confinement(network="loopback"), means())
        if why:
            raise PlatformError(
                f"got neither namespaces ({means().missing}) nor sockets held to the loopback"
                f" ({why}), expected one of them for processes that talk with each other and with"
                " nobody else",
                hint="train with one process (spec.train.workers: 1), take a machine or node with"
                " Linux from 5.14 on, or allow user namespaces",
            )
    return _command(argv, confinement, means(), folder=folder)


def started(
    argv: Sequence[str | Path],
    confinement: Confinement,
    extra: Mapping[str, str] | None = None,
    *,
    folder: Path | str = "/",
    **how: Any,
) -> subprocess.Popen[bytes]:
    """A process of `argv`, confined, in `folder`; `extra` joins its environment.

    Args:
        how: as `subprocess.Popen` takes it. There is no standard input unless one is given.

    Raises:
        PlatformError: as `command`.
    """
    return subprocess.Popen(
        command(argv, confinement, folder=folder),
        env=environment(confinement, extra),
        **{"stdin": subprocess.DEVNULL, "cwd": folder if off() else "/", **how},
    )


def shown_data() -> list[Path]:
    """The folders of data that the platform's operator shows to every model repository."""
    return [Path(part) for part in os.environ.get(DATA, "").split(os.pathsep) if part]


def data_ports() -> tuple[int, ...]:
    """TCP ports of names, of the web, and those that the operator opens besides, for data."""
    return (53, 80, 443, *map(int, filter(None, os.environ.get(DATA_PORTS, "").split(","))))


def limit_own_memory() -> None:
    """Hold this process to what a confined one may take: it computes what others' data ask for."""
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = Limits().memory if most == resource.RLIM_INFINITY else min(most, Limits().memory)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def tail(stream: IO[bytes], *, most: int = 1 << 20) -> bytes:
    """The last `most` bytes that a process writes until it ends: it may write without end."""
    kept = b""
    while part := stream.read(1 << 16):
        kept = (kept + part)[-most:]
    return kept


def environment(confinement: Confinement, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a confined command sees of this process's environment: nothing that says more."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    folder = "/tmp"  # noqa: S108 - one of its own
    if not off() and not means().namespaces:
        folder = str(next(iter(confinement.write), "/nonexistent"))
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONDONTWRITEBYTECODE": "1",
        **(extra or {}),
    }


def _command(
    argv: Sequence[str | Path], asked: Confinement, found: Means, *, folder: Path | str
) -> list[str]:
    wanted = {
        "read": [*_interpreter(), *(str(path.resolve()) for path in asked.read)],
        "write": [str(path.resolve()) for path in asked.write],
        "network": asked.network,
        "ports": list(asked.ports) if asked.network == "host" else [],
        "folder": str(folder),
        "user": _USER,
        "namespaces": found.namespaces,
        "landlock": found.landlock,
        "seccomp": found.seccomp,
        "memory": asked.limits.memory,
        "disk": asked.limits.disk,
        "processes": asked.limits.processes,
        "files": asked.limits.files,
    }
    program = [sys.executable, "-I", "-S", str(_INSIDE), json.dumps(wanted)]
    return program + [str(word) for word in argv]


@lru_cache(maxsize=1)
def _interpreter() -> tuple[str, ...]:
    """Where the interpreter, the installed libraries and our own files lie.

    A folder that holds more than packages, as a checkout does, is not shown, only our part of it.
    """
    ours = {str(path) for path in (*PACKAGES, SHIPPED / "scripts", SHIPPED / "training")}
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    # Also of another environment, where a .pth file names it.
    libraries |= {
        path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")
    }
    python = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])}
    return tuple(sorted(path for path in ours | libraries | python if path and path != "/usr"))
