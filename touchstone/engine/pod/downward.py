"""What does a step read of its Pod's own fields? What Tekton would have written there.

There is no Pod, but the fields that Kubernetes lets a container read by `fieldRef` all have an
honest answer for a process of this machine. Resource limits have none.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping

from touchstone.errors import ManifestError

Fields = Mapping[str, "str | Mapping[str, str]"]
"""The fields of a Pod by their path; labels and annotations as a whole."""

_ENTRY = re.compile(r"(metadata\.(?:labels|annotations))\['([^']+)'\]")
_LOOPBACK = "127.0.0.1"


def fields_of(
    *, name: str, uid: str, account: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Fields:
    """The fields of the Pod called `name`."""
    return {
        "metadata.name": name,
        "metadata.namespace": "default",
        "metadata.uid": uid,
        "metadata.labels": labels,
        "metadata.annotations": annotations,
        "spec.serviceAccountName": account,
        "spec.nodeName": socket.gethostname(),
        **dict.fromkeys(
            ("status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs"), _LOOPBACK
        ),
    }


def hostname(fields: Fields) -> str:
    """What the Pod's containers take for the name of their machine: its own, cut to 63 letters."""
    return str(fields["metadata.name"])[:63].rstrip("-.")


def read(fields: Fields, path: str) -> str:
    """The field at `path`, a label or annotation that is not there being empty.

    A whole map reads as in a downwardAPI volume: a line KEY="VALUE" for each. Raises ManifestError
    for a path that is none of Kubernetes' or has no answer here.
    """
    entry = _ENTRY.fullmatch(path)
    found = fields.get(entry[1] if entry else path)
    if found is None:
        raise ManifestError(
            f"fieldRef: got {path!r}, expected one of {', '.join(fields)}, or a label or annotation"
            " as in metadata.labels['KEY']"
        )
    if isinstance(found, str):
        return found
    if entry:
        return found.get(entry[2], "")
    return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(found.items()))
