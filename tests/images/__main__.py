"""Write the images' locks anew: `python -m tests.images`."""

import sys

from tests.images.locks import written
from touchstone.home import SHIPPED

missing = []
for name, text in written():
    if text:
        (SHIPPED / f"requirements-{name}.lock").write_text(text, encoding="utf-8")
    else:
        missing.append(name)
if missing:
    sys.exit(f"left as they were, as their index has no such wheels for us: {', '.join(missing)}")
