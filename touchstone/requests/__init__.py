"""Starting, finding and ending runs from within a step: on a cluster, and on the embedded platform.

A Trigger can only create objects. What a pull request's comment or a branch without a commit asks
for takes a step that looks first; it acts through a `Control`.
"""

from __future__ import annotations

import os

from touchstone.home import VARIABLE, Home
from touchstone.requests.keeper import Control


def open_control() -> Control:
    """The embedded platform's where $TOUCHSTONE_HOME is set, as in its steps; else the cluster's.

    Raises:
        PlatformError: there is neither.
    """
    if os.environ.get(VARIABLE):
        from touchstone.requests.embedded import EmbeddedControl

        return EmbeddedControl(Home.default())
    from touchstone.requests.cluster import ClusterControl

    return ClusterControl.connect()
