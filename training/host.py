"""A model host: `python -P host.py SOCKET MEMORY THREADS FOLDER PACKAGES`.

The first two are descriptors, the last a folder of packages or empty. It loads the model tree in
FOLDER and answers the gate or server that started it (see
`touchstone.training.host`). Start it confined: it runs whatever the tree holds.

`python -P host.py --listen PATH` starts such hosts, confined, for a gate in another container.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path


def main(connection: int, memory: int, threads: int, folder: str, packages: str) -> None:
    """Answer until the other side is gone."""
    import torch

    from touchstone.training import host
    from touchstone.training.packages import use
    from trust_gates.host.protocol import Memory

    use(packages)
    torch.set_num_threads(threads)
    host.serve(socket.socket(fileno=connection), Memory(memory), Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--listen"] and len(sys.argv) == 3:
        from touchstone.commands import stage  # noqa: F401 (shows control characters of others)
        from touchstone.training.host_listener import listen

        listen(Path(sys.argv[2]))
    elif len(sys.argv) == 6:
        main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
    else:
        sys.stderr.write(
            "usage: python -P host.py SOCKET MEMORY THREADS FOLDER PACKAGES, or"
            " host.py --listen PATH\n"
        )
        sys.exit(2)
