"""What is in this image? Its CycloneDX bill of materials, from what the image itself says it has.

    python -P -m touchstone.driver.image_bom NAME

Python packages by their metadata, Debian's by dpkg's record of what is installed. No time and no
random number is in it, so that equal images have equal ones.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.utils import canonicalize_name

from trust_gates.report import bom

_DPKG = Path("/var/lib/dpkg/status")


def of(name: str, dpkg: Path = _DPKG) -> dict[str, Any]:
    """The bill of materials of the image `name`.

    Args:
        dpkg: the record of installed Debian packages (deb-control(5)); there may be none.
    """
    own = metadata.version("touchstone")
    found = {part["bom-ref"]: part for part in (*_python(), *_debian(dpkg))}
    components = [found[ref] for ref in sorted(found)]
    identity = json.dumps([name, *sorted(found)])
    return {
        **bom.head(f"image/{uuid5(NAMESPACE_URL, identity)}"),
        "metadata": {
            "component": {"type": "container", "bom-ref": name, "name": name, "version": own}
        },
        "components": components,
        "dependencies": [{"ref": name, "dependsOn": sorted(found)}],
    }


def _python() -> Iterator[dict[str, Any]]:
    yield bom.library("python", platform.python_version())
    for one in metadata.distributions():
        yield bom.library(canonicalize_name(one.metadata["Name"]), one.version)


def _debian(dpkg: Path) -> Iterator[dict[str, Any]]:
    text = dpkg.read_text(encoding="utf-8") if dpkg.is_file() else ""
    for paragraph in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.splitlines()
            if ": " in line and line[0] != " "
        )
        if fields.get("Status", "").endswith(" installed"):
            name, version, machine = (fields[key] for key in ("Package", "Version", "Architecture"))
            yield bom.package(f"deb/debian/{name}", name, version, f"?arch={machine}")


if __name__ == "__main__":
    json.dump(of(sys.argv[1]), sys.stdout, indent=2)
    sys.stdout.write("\n")
