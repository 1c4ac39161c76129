"""Start model hosts for whoever asks through a socket: what a sidecar next to a gate does.

The sidecar has no token, no credentials and no folder but the one that it shares with the gate. It
loads no code itself: each connection is handed to a confined process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

from touchstone import confine
from touchstone.home import packages_of
from touchstone.training.hosted import launch

_MOST_WORDS = 4096


def listen(path: Path) -> None:
    """Answer at the socket `path` until the container ends."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        before = os.umask(0o077)
        server.bind(str(path))
        os.umask(before)
        server.listen()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection, path.parent), daemon=True).start()


def _serve(connection: socket.socket, shared: Path) -> None:
    """One host for one connection, from its start to its end."""
    descriptors: list[int] = []
    try:
        words, descriptors, _, _ = socket.recv_fds(connection, _MOST_WORDS, 1)
        asked = json.loads(words)
        tree = Path(asked["tree"]).resolve()
        if not tree.is_relative_to(shared.resolve()) or len(descriptors) != 1:
            raise ValueError(f"got the tree {tree}, expected one below {shared}, and memory")
        os.set_inheritable(descriptors[0], True)
        packages = packages_of(tree) if packages_of(tree).is_dir() else None
        threads = int(asked["threads"])
        process = launch(connection.fileno(), descriptors[0], threads, tree, packages)
    except Exception as error:  # whatever was asked, the next may ask again
        sys.stderr.write(f"error: {type(error).__name__}: {error}\n")
        return
    finally:
        connection.close()
        for descriptor in descriptors:
            os.close(descriptor)
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    output = confine.tail(process.stdout, most=_MOST_WORDS)
    process.wait()
    sys.stdout.write(output.decode(errors="replace"))
    sys.stdout.flush()
