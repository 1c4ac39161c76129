"""Look at a model repository: `python -P look.py SOURCE WHAT DESCRIPTOR`, WHAT being JSON.

What it sees goes as lines of JSON to the file descriptor (see `touchstone.training.look`). Start it
confined: it runs the repository's code.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def main(source: Path, what: Mapping[str, Any], descriptor: int) -> None:
    """Look, and say."""
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:

        def say(line: Mapping[str, Any]) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        from touchstone.training.look import look
        from touchstone.training.packages import use

        asked = dict(what)
        use(asked.pop("packages"))
        look(source, **asked, say=say)
        say({"done": True})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.stderr.write("usage: python -P look.py SOURCE WHAT DESCRIPTOR\n")
        sys.exit(2)
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))
