"""A small program that starts another one confined, and stays to count what it uses.

Standard library only. Its argument is JSON (see `touchstone.confine`): what may be read, written
and used. With namespaces it makes a root of only that, in which the program has number 2 and cannot
outlive number 1; with or without them, Landlock and seccomp hold the program to the same. It ends
with the program's exit code, 128 + signal where a signal ended it, or 137 where it used too much.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

import kernel  # type: ignore[import-not-found]  # beside this file, which is run as a script

NOT_STARTED = 125
"""The confinement could not be made; what was wanted has not run."""

TOO_MUCH = 137
_PERIOD = 0.25
"""Seconds between two looks at what is used."""

_LEAST = 4096
"""Bytes that a file or folder counts for at least."""

_RESERVE = 1 << 30
"""Bytes of a disk, of a smaller one a twentieth, that are left to others."""

_DEVICES = ("null", "zero", "full", "random", "urandom")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "passwd", "group",
    "nsswitch.conf", "localtime", "timezone", "mime.types", "fonts",
)  # fmt: skip
_OF_NETWORK = (
    "hosts",
    "resolv.conf",
    "ssl",
    "ca-certificates",
    "pki",
    "crypto-policies",
    "host.conf",
    "services",
)
_SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - a tmpfs of the program's own


def main() -> None:
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    argv = sys.argv[2:]
    gc.disable()
    os.umask(0o022)  # the root's folders are for another user to enter
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        seen = _readable(wanted)
        if wanted["namespaces"]:
            _leave(wanted)
            inner = os.fork()
            if inner:
                kernel.die_with_parent(signal.SIGKILL)
                _pass_on_to(inner)
                sys.exit(_code(os.waitpid(inner, 0)[1]))
            _be_the_first(wanted, seen)
        else:
            kernel.collect_orphans()
        kernel.die_with_parent(signal.SIGKILL)
        asks = wanted["network"] == "loopback" and not wanted["namespaces"]
        ends = _two_ends() if asks else None
        program = os.fork()
        if not program:
            _become(wanted, seen, argv, ends and ends[1])
        if ends:
            _give_sockets(*ends)
    except OSError as error:
        _fail(error)
    _pass_on_to(program)
    code = _watch(program, wanted)
    _end_orphans()
    sys.exit(code)


def _two_ends() -> tuple[Any, Any]:
    """What the program's listener comes through; OSError where no socket is held to loopback."""
    import socket

    os.close(kernel.loopback_socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    return socket.socketpair()


def _give_sockets(ours: Any, theirs: Any) -> None:
    """Make, on the side, the sockets that the program asks for."""
    import socket
    import threading

    theirs.close()
    with ours:
        for listener in socket.recv_fds(ours, 1, 1)[1]:  # none where it could not be started
            threading.Thread(target=kernel.give_sockets, args=(listener,), daemon=True).start()


def _pass_on_to(process: int) -> None:
    """Let what asks this program to end ask the one inside, which may want to end in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's reaches all by itself
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(process, number))


def _leave(wanted: dict[str, Any]) -> None:
    """New namespaces; without privileges a user namespace makes the others possible."""
    namespaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC
    namespaces |= 0 if wanted["network"] == "host" else kernel.CLONE_NEWNET
    if os.geteuid() == 0:
        # Given away here: what is mounted from another user's folders keeps its owner.
        for folder in wanted["write"]:
            _give(folder, wanted["user"])
        kernel.unshare(namespaces)
    else:
        kernel.unshare_as(None, None, namespaces)


def _be_the_first(wanted: dict[str, Any], seen: dict[str, str]) -> None:
    """Number 1 of the new namespaces: make the root, wake the loopback, drop privileges."""
    kernel.begin_root()
    size = f"mode=1777,size={wanted['disk']}"
    for path in _SCRATCH:
        os.makedirs("/new" + path, exist_ok=True)
        kernel.mount("tmpfs", "/new" + path, kernel.MS_NOSUID | kernel.MS_NODEV, "tmpfs", size)
    for path, source in seen.items():
        _bind(path, source)
        if not path.startswith("/dev/") and os.path.ismount("/new" + path):
            kernel.make_read_only("/new" + path)
    for path in wanted["write"]:
        _bind(path, path)
    os.mkdir("/new/proc")
    kernel.mount("proc", "/new/proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, "proc")
    kernel.end_root()
    if wanted["network"] == "loopback":
        kernel.wake_loopback()
    if os.geteuid() == 0:
        kernel.become(wanted["user"], wanted["user"])


def _readable(wanted: dict[str, Any]) -> dict[str, str]:
    """What may be read and is there, with where it lies; folders before what lies in them."""
    settings = (*_SETTINGS, *(() if wanted["network"] == "none" else _OF_NETWORK))
    paths = {*_SYSTEM, "/sys/devices/system", *(f"/etc/{name}" for name in settings)}
    paths |= {f"/dev/{name}" for name in (*_DEVICES, *_graphics())} | set(wanted["read"])
    # A setting may be a link to where another program writes it, which is not shown.
    return {
        path: os.path.realpath(path) if path.startswith("/etc/") else path
        for path in sorted(paths)
        if os.path.exists(path)
    }


def _graphics() -> list[str]:
    """The devices of GPUs."""
    return sorted(name for name in os.listdir("/dev") if name.startswith("nvidia"))


def _bind(path: str, source: str) -> None:
    old, new = "/old" + source, "/new" + path
    os.makedirs(os.path.dirname(new), exist_ok=True)
    if os.path.islink(old):
        if not os.path.lexists(new):
            os.symlink(os.readlink(old), new)
        return
    if not os.path.lexists(new):
        kernel.touch(new, is_folder=os.path.isdir(old))
    kernel.bind(old, new)


def _become(
    wanted: dict[str, Any], seen: dict[str, str], argv: list[str], end: Any | None
) -> NoReturn:
    """Turn this process into the program, shut in; `end` takes who makes its sockets, if any."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit(resource.RLIMIT_NOFILE, wanted["files"])
        _limit(resource.RLIMIT_FSIZE, wanted["disk"])
        _limit(resource.RLIMIT_DATA, wanted["memory"])
        _limit(resource.RLIMIT_NPROC, wanted["processes"])
        if os.geteuid() == 0:
            kernel.drop_capabilities()
        kernel.no_new_privileges()
        loopback = wanted["network"] == "loopback"
        if wanted["landlock"]:
            root = [("/", kernel.READ_DIR)] if wanted["namespaces"] else []
            if end:  # gloo looks at the devices of the machine, and ends where it may not
                root = [("/sys", kernel.READ_DIR), ("/sys/devices", kernel.READ)]
            scratch = _SCRATCH if wanted["namespaces"] else ()
            kernel.landlock(
                root
                + [(path, kernel.READ) for path in [*seen, "/proc"]]
                + [(path, kernel.WRITE) for path in wanted["write"]]
                + [(path, kernel.SCRATCH) for path in scratch]
                + [(path, kernel.DEVICE) for path in seen if _takes_writes(path)],
                ports=_own_ports() if end else None if loopback else wanted["ports"],
                binds=loopback,
            )
        os.chdir(wanted["folder"])
        if wanted["seccomp"]:
            scoped = kernel.landlock_version() >= kernel.SCOPES_SIGNALS
            listener = kernel.seccomp(
                sockets=wanted["network"] != "none",
                listens=loopback,
                # Abstract names are the network's; without namespaces others' paths are in sight.
                unix=wanted["namespaces"] and (wanted["network"] != "host" or scoped),
                namespaces=wanted["namespaces"],
                signals=wanted["namespaces"] or scoped,
                asks=end is not None,
            )
            if end:
                import socket

                socket.send_fds(end, [b"x"], [listener])
        os.execv(argv[0], argv)
    except OSError as error:
        _fail(error)


def _own_ports() -> range:
    """The TCP ports that the kernel chooses from: services of others listen elsewhere."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
        first, last = map(int, stream.read().split())
    return range(first, last + 1)


def _takes_writes(path: str) -> bool:
    return path == "/dev/null" or path.startswith("/dev/nvidia")


def _limit(which: int, value: int) -> None:
    _, most = resource.getrlimit(which)
    least = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(which, (least, least))


def _watch(program: int, wanted: dict[str, Any]) -> int:
    """Wait for the program, collecting orphans; kill all where it uses too much."""
    last_disk = 0.0
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == program:
            return _code(status)
        if pid:
            continue
        running = _running(wanted["namespaces"])
        # The superuser's processes have no limit of the kernel's, other users' share one.
        if sum(running.values()) > wanted["processes"]:
            return _stop(program, f"more than {wanted['processes']} processes and threads")
        used = _memory(running) + (_scratch() if wanted["namespaces"] else 0)
        if used > wanted["memory"]:
            return _stop(program, _much(used, wanted["memory"], "memory"))
        if time.monotonic() - last_disk > 1:
            used = 0
            for folder in wanted["write"]:
                try:
                    used += _size(folder)
                except OSError as error:
                    return _stop(program, f"a folder that nobody can look into ({error.strerror})")
                if why := _full(folder):
                    return _stop(program, why)
            if used > wanted["disk"]:
                return _stop(program, _much(used, wanted["disk"], "disk"))
            last_disk = time.monotonic()
        signal.sigtimedwait({signal.SIGCHLD}, _PERIOD)


def _end_orphans() -> None:
    """Kill what the program left running; in a namespace it ends with number 1."""
    while True:
        try:
            for child in kernel.children():
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _much(got: int, most: int, of: str) -> str:
    return f"{got >> 20} MiB of {of}, expected at most {most >> 20} MiB"


def _stop(program: int, why: str) -> int:
    sys.stderr.write(f"error: stopped, it used {why}\n")
    os.kill(program, signal.SIGKILL)
    return TOO_MUCH


def _running(namespaces: bool) -> dict[int, int]:
    """The processes that the program consists of, each with its number of threads."""
    parents, threads = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    after = stream.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended
            parents[int(name)], threads[int(name)] = int(after[1]), int(after[17])
    if namespaces:
        return {number: count for number, count in threads.items() if number != 1}
    ours = {os.getpid()}
    while more := {one for one, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return {number: threads[number] for number in ours - {os.getpid()}}


def _memory(running: dict[int, int]) -> int:
    """Bytes that the processes hold; what several share counts for each of them."""
    total = 0
    for number in running:
        try:
            with open(f"/proc/{number}/status", "rb") as stream:
                lines = [line.split() for line in stream if line.startswith((b"RssA", b"RssS"))]
        except OSError:
            continue  # it ended
        total += sum(int(line[1]) << 10 for line in lines)
    return total


def _scratch() -> int:
    """Bytes in the program's own temporary folders, which are memory."""
    total = 0
    for path in _SCRATCH:
        found = os.statvfs(path)
        total += (found.f_blocks - found.f_bfree) * found.f_frsize
    return total


def _size(folder: str) -> int:
    """Bytes below a folder; a file without any costs something too.

    Raises OSError where a folder cannot be read: what is hidden there cannot be counted.
    """
    total = 0
    for root, folders, names in os.walk(folder, onerror=_unless_gone):
        for name in (*folders, *names):
            try:
                total += max(_LEAST, os.lstat(os.path.join(root, name)).st_blocks * 512)
            except OSError as error:
                _unless_gone(error)
    return total


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _full(folder: str) -> str:
    """Why nothing more may be written, if so: files without a name are in no folder's size."""
    found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < min(_RESERVE, found.f_blocks * found.f_frsize // 20):
        return "the last of the disk"
    if found.f_files and found.f_favail < found.f_files // 50:
        return "the last of the disk's places for files"
    return ""


def _give(folder: str, user: int) -> None:
    """Let a folder and everything in it belong to the user; no link is followed."""
    os.chown(folder, user, user)
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.chown(os.path.join(root, name), user, user, follow_symlinks=False)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _fail(error: OSError) -> NoReturn:
    sys.stderr.write(f"error: cannot confine a program here: {error}\n")
    sys.stderr.flush()
    os._exit(NOT_STARTED)


if __name__ == "__main__":
    main()
