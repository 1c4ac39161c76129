"""What does a store cost? A tree of small files and one large file, into each kind and out again.

`python tests/bench/stores.py [--store URI] [--files 500] [--large 256]`: a folder, moto's S3 and a
stand-in of a registry on this machine, or the store of the URI (s3:// with AWS_* variables) alone.
Exit code 1 where something came back other than it went in, or memory grew with the large file.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from object_stores import registry, registry_backend, s3, s3_backend, serving

from touchstone.artifacts.store import Store, open_store

_SERVERS = 3
"""Times the large file that the servers, which are part of this process, may hold of it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", help="URI of a store to measure in place of those made here")
    parser.add_argument("--files", type=int, default=500, help="small files, of 2 kB each")
    parser.add_argument("--large", type=int, default=256, help="MiB of the large file")
    asked = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        small, large = root / "small", root / "large"
        small.mkdir()
        for number in range(asked.files):
            (small / str(number)).write_bytes(os.urandom(2000))
        with large.open("wb") as stream:
            for _ in range(asked.large):
                stream.write(os.urandom(1 << 20))
        if asked.store:
            stores = {asked.store: open_store(asked.store)}
        else:
            server = stack.enter_context(serving(registry()))
            stores = {
                "folder": Store(root / "store"),
                "s3 (moto)": Store(s3_backend(stack.enter_context(s3()))),
                "oci (stand-in)": Store(registry_backend(server.server_port)),
            }
        print(f"{asked.files} files of 2 kB, one of {asked.large} MiB; seconds")
        print(f"{'':24}{'put small':>10}{'again':>8}{'get':>8}{'put large':>11}{'get':>8}")
        sound = all(_measure(*item, small, large, root) for item in stores.items())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"most memory: {grown} MB")
    bound = 400 + (0 if asked.store else _SERVERS * asked.large)
    if grown > bound:
        print(f"expected at most {bound} MB: what moves a file must not hold it")
    return 0 if sound and grown <= bound else 1


def _measure(name: str, store: Store, small: Path, large: Path, root: Path) -> bool:
    out = root / "out" / name.replace("/", "_")
    times, found = [], []
    for work in (
        lambda: store.put(small),
        lambda: store.put(small),
        lambda: store.get(found[0], out / "small"),
        lambda: store.put(large),
        lambda: store.get(found[3], out / "large"),
    ):
        begun = time.perf_counter()
        found.append(work())
        times.append(time.perf_counter() - begun)
    print(
        f"{name:24}"
        + "".join(f"{t:>{w}.2f}" for t, w in zip(times, (10, 8, 8, 11, 8), strict=True))
    )
    again = Store(root / "check")
    return again.put(out / "small") == found[0] and again.put(out / "large") == found[3]


if __name__ == "__main__":
    sys.exit(main())
