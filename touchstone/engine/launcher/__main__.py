"""A small program that starts the processes of one run, each with the surroundings it asks for.

The engine has threads and much memory, from which one cannot fork safely and cheaply; this program
has neither. It runs by itself (standard library only), takes requests over a socket, and outlives
a killed engine just long enough to kill everything it had started.

Requests are JSON after a length of four bytes, with the descriptors for standard input, output and
error and one for a complaint:
  {"start": {argv, environment, folder, mounts, user, group, terminal, script}}  → {"pid": N}, or
      {"errno": N} where there is no room for another process
      each mount as [target, source, read_only, identity], or null for no mounts at all
  {"reap": PID}  → {"code": N}; the process has ended, its number was kept until now
With the argument `warm` it imports what our own scripts do, and where `script` says so it runs
the script itself in the fork, in place of an interpreter that would import all that again.
"""

from __future__ import annotations

import array
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
from collections.abc import Generator, Sequence
from typing import Any

# Started as a script, without the package around it.
_OWN = (
    os.path.dirname(__file__),
    os.path.join(os.path.dirname(__file__), "..", "..", "confine", "inside"),
)
sys.path.append(_OWN[1])
import kernel  # type: ignore[import-not-found]  # noqa: E402
import rootfs  # type: ignore[import-not-found]  # noqa: E402

_DESCRIPTORS = 4
_NOT_STARTED = 127
_OVER = object()


def main() -> dict[str, Any] | None:
    """Serve the socket whose descriptor is the argument, until the engine closes it.

    In a fork that is to be a script, what was asked for it; else None.
    """
    channel = socket.socket(fileno=int(sys.argv[1]))
    imports = _imports() if sys.argv[2:] == ["warm"] else None
    me = os.getpid()
    started: set[int] = set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    try:
        while True:
            while imports is not None and not select.select([channel], [], [], 0)[0]:
                if next(imports, _OVER) is _OVER:
                    imports = None
            request, descriptors = _receive(channel)
            if "start" in request:
                wanted: dict[str, Any] = request["start"]
                try:
                    planned = _planned(wanted, descriptors)
                    pid = os.fork()
                except OSError as error:
                    _close(descriptors)
                    _send(channel, {"errno": error.errno or errno.EAGAIN})
                    continue
                if pid == 0:
                    channel.close()
                    started = set()  # the launcher's own to end
                    _become(wanted, planned, descriptors, me)
                    return wanted
                started.add(pid)
                _close(descriptors)
                _send(channel, {"pid": pid})
            else:
                pid = request["reap"]
                _, status = os.waitpid(pid, 0)
                started.discard(pid)
                _send(channel, {"code": os.waitstatus_to_exitcode(status)})
    except (EOFError, OSError):
        pass  # the engine is gone, or wants no more
    finally:
        for pid in started:
            _kill(pid)
        if imports is not None:
            imports.close()
    return None


def _imports() -> Generator[None]:
    import warm  # type: ignore[import-not-found]  # the others need less, and start sooner

    found: Generator[None] = warm.imports()
    return found


def _planned(wanted: dict[str, Any], descriptors: list[int]) -> rootfs.Plan | None:
    """Raises OSError where there is no room here for a process's descriptors."""
    if len(descriptors) < _DESCRIPTORS:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    mounts = wanted["mounts"]
    return None if mounts is None else rootfs.plan(mounts)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _become(
    wanted: dict[str, Any], planned: rootfs.Plan | None, descriptors: list[int], launcher: int
) -> None:
    """Turn this process into the one that is wanted, or say through the last descriptor why not.

    Returns where it is to be a script: in its surroundings, with nothing open but its streams.
    """
    complaint = descriptors[3]
    try:
        os.set_inheritable(complaint, False)
        os.setsid()
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number + 100)
        for number in range(3):
            os.dup2(number + 100, number)
            os.close(number + 100)
        _close(descriptors[:3])
        if wanted["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        _surround(planned, wanted["user"], wanted["group"])
        os.chdir(wanted["folder"])
        if wanted["script"]:
            if os.geteuid() != 0:  # of its user namespace it has them all until it starts a program
                kernel.give_up_capabilities()
            # The others end with the launcher that knows them; a fork of it must not outlive it.
            kernel.die_with_parent(signal.SIGKILL)
            if os.getppid() != launcher:  # it ended before it could be told of
                os._exit(_NOT_STARTED)
            os.close(complaint)
            return
        environment = wanted["environment"]
        mounted = [target for target, *_ in wanted["mounts"] or ()]
        program = _program(wanted["argv"][0], environment.get("PATH", os.defpath), mounted)
        os.execve(program, wanted["argv"], environment)
    except OSError as error:
        os.write(complaint, f"{error.strerror or error}".encode("utf-8", "replace"))
    except BaseException as error:
        os.write(complaint, repr(error).encode("utf-8", "replace"))
    os._exit(_NOT_STARTED)


def _surround(planned: rootfs.Plan | None, user: int | None, group: int | None) -> None:
    if planned is not None:
        rootfs.enter(planned, user, group)
    elif user is not None and user != os.geteuid():
        kernel.become(user, group)


def _program(name: str, search: str, mounted: Sequence[str]) -> str:
    """The program's file; an image's path that does not exist here means the name on PATH.

    No path of an image's is one relative to the working folder, or below a mount.
    """
    if "/" in name and os.access(name, os.X_OK):
        return name
    whole = os.path.normpath(name)
    ours = any(whole.startswith(f"{target.rstrip('/')}/") for target in mounted)
    if "/" in name and (ours or not os.path.isabs(name) or os.path.exists(name)):
        raise OSError(f"got the program {name!r}, expected a file that may be executed")
    base = os.path.basename(name)
    for folder in search.split(os.pathsep):
        path = os.path.join(folder, base)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise OSError(f"got the program {name!r}, expected one that is installed on this machine")


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        return


def _receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    space = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = channel.recvmsg(4, space)
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    while len(data) < 4:
        data += _more(channel, 4 - len(data))
    (length,) = struct.unpack("!I", data)
    body = bytearray()
    while len(body) < length:
        body += _more(channel, length - len(body))
    return json.loads(body), list(descriptors)


def _more(channel: socket.socket, length: int) -> bytes:
    data = channel.recv(min(length, 1 << 20))
    if not data:
        raise EOFError
    return data


def _send(channel: socket.socket, answer: dict[str, int]) -> None:
    body = json.dumps(answer).encode()
    channel.sendall(struct.pack("!I", len(body)) + body)


if __name__ == "__main__":
    found = main()
    if found is not None:
        import warm

        sys.path[:] = [path for path in sys.path if path not in _OWN]
        warm.run(found["argv"][2:], found["environment"])
