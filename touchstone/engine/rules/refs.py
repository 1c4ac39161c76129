"""Is this a reference to a Task, Pipeline or StepAction that can be followed? (validateRef)"""

from __future__ import annotations

import re

from touchstone.documents.naming import check_unique, is_qualified
from touchstone.documents.problems import Field
from touchstone.engine.text.remote import REFUSED

_URL = re.compile(r"[\w-]+://")
_GROUP_VERSION = re.compile(r"[^/]+/[^/]+")
OWN_VERSION = "tekton.dev/v1"
"""To Tekton a taskRef with it is a custom task; here it names a Task."""


def check_reference(ref: Field) -> None:
    """A taskRef, pipelineRef or step `ref` gives a name, or a resolver and its params."""
    name, resolver = ref.get("name", ""), ref.get("resolver", "")
    params = ref.get("params") is not None
    if params and not resolver:
        ref.refuse("got params without a resolver, expected them only with one", "params")
    elif name and resolver:
        ref.refuse("got name and resolver, expected exactly one", "name")
    elif name and not is_qualified(name):
        what = "a URL" if _URL.match(name) else repr(name)
        ref.refuse(f"got {what}, expected the name of an object; a URL needs a resolver", "name")
    elif not name and not resolver:
        ref.refuse("got neither name nor resolver, expected exactly one")
    check_unique(ref.each("params"), fold=True)
    if resolver in REFUSED:
        ref.refuse(f"cannot be honored here: {REFUSED[resolver]}", "resolver", by="embedded")


def is_custom(task: Field) -> bool:
    """Whether a pipeline task is one that another controller runs: it says apiVersion or kind."""
    return any(
        ref.get("apiVersion") or ref.get("kind", "") not in {"", "Task"}
        for ref in (task.at("taskRef"), task.at("taskSpec"))
    )


def check_custom(task: Field) -> None:
    """A custom task says apiVersion and kind; it needs a controller that is not here."""
    embedded = "taskRef" not in task.value
    ref = task.at("taskSpec" if embedded else "taskRef")
    version, kind = str(ref.get("apiVersion", "")), ref.get("kind", "")
    if not kind:
        ref.refuse("got apiVersion without kind, expected both", "apiVersion")
    if not version:
        ref.refuse("got another kind without apiVersion, expected both", "kind")
    elif not _GROUP_VERSION.fullmatch(version):
        ref.refuse(f"got {version!r}, expected group/version", "apiVersion")
    if embedded and ref.get("steps"):
        ref.refuse("got steps of a custom task, expected a spec", "steps")
    # The shape of a taskSpec refuses these fields already.
    if not embedded and (version != OWN_VERSION or kind != "Task"):
        ref.refuse(
            f"cannot be honored here: a custom task ({version or kind}) becomes a CustomRun,"
            " which needs a controller of its own",
            "apiVersion" if version else "kind",
            by="embedded",
        )
