"""A model host: `python -P host.py SOCKET MEMORY THREADS FOLDER`, the first two as descriptors.

It loads the model tree in FOLDER and answers the gate or server that started it (see
`touchstone.training.host`). Start it confined: it runs whatever the tree holds.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path


def main(connection: int, memory: int, threads: int, folder: str) -> None:
    """Answer until the other side is gone."""
    import torch

    from touchstone.training import host
    from trust_gates.host.protocol import Memory

    torch.set_num_threads(threads)
    host.serve(socket.socket(fileno=connection), Memory(memory), Path(folder))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
