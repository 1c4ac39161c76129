"""What in these Tasks will behave differently on this machine than in a Pod?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from touchstone.engine.images import stand_for
from touchstone.engine.steps import name_of
from touchstone.engine.substitute import walk_strings

_POD_PATH = re.compile(r"(?<![\w.)}-])/(?:workspace|tekton)(?=/|\b)")


def remarks(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each kind of difference, naming where it occurs."""
    paths: set[str] = set()
    images: set[str] = set()
    inert: set[str] = set()
    for spec in specs:
        for index, step in enumerate(spec["steps"]):
            name = name_of(step, index)
            literal: list[str] = []

            def visit(text: str, _: object, found: list[str] = literal) -> None:
                found.extend(match[0] for match in _POD_PATH.finditer(text))

            walk_strings({key: step.get(key) for key in ("script", "command", "args")}, visit)
            walk_strings(step.get("env", []), visit)
            paths.update(f"{path} in step {name}" for path in literal)
            image = {**spec.get("stepTemplate", {}), **step}.get("image", "")
            if not stand_for(image).known:
                images.add(image)
        for part in (spec.get("stepTemplate", {}), *spec["steps"]):
            inert.update({"securityContext", "computeResources"} & set(part))
    found = []
    if paths:
        found.append(
            f"got the path {', '.join(sorted(paths))}: it is the host's own path here;"
            " use $(workspaces.NAME.path) or $(results.NAME.path)"
        )
    if images:
        found.append(f"no stand-in for {', '.join(sorted(images))}: the host's own tools run")
    if inert:
        found.append(f"no effect on local processes: {', '.join(sorted(inert))}")
    return found
