"""Load raw data: `python -P load_data.py SOURCE ENTRYPOINT URI SEED OUTPUT PACKAGES`.

It runs the model repository's `load_data` and writes what that gives into OUTPUT, as `fetch-data`
starts it: confined, since it is anyone's code. PACKAGES is a folder of them, or empty.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(source: str, entrypoint: str, uri: str, seed: str, output: str, packages: str) -> None:
    """Load, check and write."""
    from touchstone.training import dataset, given, raised
    from touchstone.training.load import load_spec
    from touchstone.training.packages import use

    use(packages)
    with raised.told(Path(source)):
        spec = load_spec(Path(source), entrypoint)
        dataset.write_raw(Path(output), given.data(spec, spec.load_data(uri, seed=int(seed))))


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.stderr.write(
            "usage: python -P load_data.py SOURCE ENTRYPOINT URI SEED OUTPUT PACKAGES\n"
        )
        sys.exit(2)
    main(*sys.argv[1:])
