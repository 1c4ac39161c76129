"""What in these Tasks will behave differently on this machine than in a Pod?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from touchstone.engine.language.substitute import walk_strings
from touchstone.engine.pod.images import stand_in_for
from touchstone.engine.pod.steps import name_of

_HONORED = {"runAsUser", "runAsGroup"}
_POD_PATH = re.compile(r"(?<![\w.)}-])/(?:workspace|tekton)(?=/|\b)")


def remarks(specs: Sequence[Mapping[str, Any]], without_namespaces: str) -> list[str]:
    """One sentence for each kind of difference, naming where it occurs.

    `without_namespaces` says why processes cannot have mounts of their own; empty where they can.
    """
    paths: set[str] = set()
    images: set[str] = set()
    inert: set[str] = set()
    ports = False
    for spec in specs:
        template = spec.get("stepTemplate", {})
        ports = ports or bool(spec.get("sidecars"))
        for index, step in enumerate(spec["steps"]):
            paths.update(f"{path} in step {name_of(step, index)}" for path in _pod_paths(step))
            image = {**template, **step}.get("image", "")
            if "$(" not in image and not stand_in_for(image).known:
                images.add(image)
        for part in (template, *spec["steps"], *spec.get("sidecars", [])):
            inert.update({"computeResources"} & set(part))
            context = set(part.get("securityContext", {}))
            honored = set() if without_namespaces else _HONORED
            inert.update(f"securityContext.{field}" for field in context - honored)
    found = []
    if without_namespaces:
        found.append(
            "steps see this machine's own paths, as they cannot have mounts of their own"
            f" ({without_namespaces})"
        )
    if paths and without_namespaces:
        found.append(
            f"got the path {', '.join(sorted(paths))}: it is the host's own path here;"
            " use $(workspaces.NAME.path) or $(results.NAME.path)"
        )
    if images:
        found.append(f"no stand-in for {', '.join(sorted(images))}: the host's own tools run")
    if ports:
        found.append("sidecars and steps share this machine's localhost, and so its ports")
    if inert:
        found.append(f"no effect on local processes: {', '.join(sorted(inert))}")
    return found


def _pod_paths(step: Mapping[str, Any]) -> list[str]:
    found: list[str] = []

    def visit(text: str, _: object) -> None:
        found.extend(match[0] for match in _POD_PATH.finditer(text))

    walk_strings({key: step.get(key) for key in ("script", "command", "args")}, visit)
    walk_strings(step.get("env", []), visit)
    return found
