"""Whose runs does a command mean: those of an embedded platform, or of a cluster's namespace?

The embedded platform's, unless an option names a cluster or $TOUCHSTONE_CLUSTER does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.cluster.runs import ClusterPlace
    from touchstone.runs.lookup import Found, Kept

CLUSTER = "TOUCHSTONE_CLUSTER"
"""`1` for the current context of the kubeconfig, or a context's name; for every command."""

NAMESPACE = "TOUCHSTONE_NAMESPACE"

Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", metavar="FILE", help="Ask the cluster of this kubeconfig.")
]
Context = Annotated[
    str, typer.Option("--context", metavar="NAME", help="Ask the cluster of this context.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", metavar="NAME", help="Ask this namespace of a cluster.")
]


class Where(Protocol):
    """What commands ask, wherever the runs are."""

    @property
    def title(self) -> str:
        """The place, for messages."""
        ...

    def find(self, run: str = "", *, model: str = "") -> Found[Any]:
        """The run that is meant. Raises UsageError where there is none."""
        ...

    def all_runs(self) -> list[Found[Any]]:
        """Every run, newest first."""
        ...

    def waits(self) -> Mapping[str, str]:
        """Why queued runs wait, by name."""
        ...

    def settle(self) -> None:
        """Wait for what has just come in to become runs."""
        ...

    def bring(self, found: Found[Any], *, stage: str = "", tail: int = 0) -> None:
        """Have what the run has printed so far where logs are read: all, or so many lines."""
        ...

    def follow(self, found: Found[Any], *, stage: str = "", tail: int = 0) -> None:
        """The same from now on, until the run has ended."""
        ...

    def ask_on(self, found: Found[Any]) -> None:
        """Asked again and again while a run is followed. Raises PlatformError where it is in vain:
        nobody executes the run any more."""
        ...

    def way_on(self, found: Found[Any]) -> str:
        """What to do so that an interrupted run ends."""
        ...


@dataclass(slots=True)
class Here:
    """The embedded platform, and `touchstone run`."""

    home: Home
    _patience: Any = field(default=None, init=False)

    @property
    def title(self) -> str:
        """See `Where`."""
        return str(self.home.root)

    def find(self, run: str = "", *, model: str = "") -> Found[Any]:
        """See `Where`."""
        from touchstone.runs.lookup import find

        return find(self.home, run, model=model)

    def all_runs(self) -> list[Found[Any]]:
        """See `Where`."""
        from touchstone.runs.lookup import all_runs

        return [*all_runs(self.home)]

    def waits(self) -> Mapping[str, str]:
        """See `Where`."""
        from touchstone.commands.waiting import waiting

        return waiting(self.home)

    def settle(self) -> None:
        """See `Where`."""
        from touchstone.runs.lookup import settle

        settle(self.home)

    def bring(self, found: Found[Any], *, stage: str = "", tail: int = 0) -> None:
        """They are there already."""

    def follow(self, found: Found[Any], *, stage: str = "", tail: int = 0) -> None:
        """They come there as they are written."""

    def ask_on(self, found: Found[Any]) -> None:
        """See `Where`."""
        from touchstone.commands.waiting import Patience

        self._patience = self._patience or Patience(self.home)
        self._patience.ask(found)

    def way_on(self, found: Found[Any]) -> str:
        """See `Where`."""
        from touchstone.commands.waiting import way_on

        return way_on(self.home, found)


@dataclass(slots=True)
class There:
    """A namespace of a cluster, whose controllers execute what it holds."""

    place: ClusterPlace

    @property
    def title(self) -> str:
        """See `Where`."""
        return self.place.title

    def find(self, run: str = "", *, model: str = "") -> Found[Any]:
        """See `Where`."""
        from touchstone.cluster.runs import find

        return find(self.place, run, model=model)

    def all_runs(self) -> list[Found[Any]]:
        """See `Where`."""
        from touchstone.cluster.runs import all_runs

        return [*all_runs(self.place)]

    def waits(self) -> Mapping[str, str]:
        """Tekton starts what is created; what a Pod waits for is said by its stage."""
        return {}

    def settle(self) -> None:
        """Nothing says what an EventListener has taken in."""

    def bring(self, found: Found[Any], *, stage: str = "", tail: int = 0) -> None:
        """See `Where`."""
        self.place.state.bring(found.run, stage=stage, tail=tail)

    def follow(self, found: Found[Any], *, stage: str = "", tail: int = 0) -> None:
        """See `Where`."""
        if found.run.done:
            self.bring(found, stage=stage, tail=tail)
        else:
            self.place.state.follow(found.run, stage=stage, tail=tail)

    def ask_on(self, found: Found[Any]) -> None:
        """Following raises by itself where the API is out of reach."""

    def way_on(self, found: Found[Kept]) -> str:
        """Nothing is interrupted for good: controllers take up what they find."""
        return ""


def where(kubeconfig: str = "", context: str = "", namespace: str = "") -> Here | There:
    """The place that options and environment name.

    Raises:
        UsageError: no such kubeconfig or context.
        PlatformError: there is no way to the cluster, or the home may be somebody else's.
    """
    named = os.environ.get(CLUSTER, "")
    if not (kubeconfig or context or namespace or named not in ("", "0")):
        return Here(Home.default())
    from touchstone.cluster.connect import connect
    from touchstone.cluster.runs import place

    chosen = context or (named if named not in ("", "0", "1") else "")
    found = namespace or os.environ.get(NAMESPACE, "")
    cluster = connect(kubeconfig=kubeconfig, context=chosen, namespace=found)
    return There(place(cluster, os.environ))
