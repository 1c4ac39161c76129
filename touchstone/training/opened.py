"""A model tree as something to ask, without its code in this process.

A tree with a graph is data: its operators run here. Any other one is asked in a model host, as is
an estimator, whose types may run code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.training.spec import AskedSpec, ModelSpec
from trust_gates.verdict import GRAPH

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model tree, ready to be asked."""

    spec: ModelSpec
    """Predictions and losses go through the defences of inputs that the model has."""

    module: torch.nn.Module
    document: dict[str, Any]
    """Its model.json."""

    asked_as: str
    """`graph`; or how the host that runs its code is confined, or `unconfined`."""

    encode: Callable[[Sequence[Any]], NDArray[Any]] | None
    """Inputs (N, ...) of N raw values: rows of the table that it describes, here; or whatever its
    own `encode` takes, in a host. None where it takes inputs only.

    Raises:
        ValueError: a value does not fit.
        GateError: the model's code failed, or gave something else than inputs.
    """


def open_model(folder: Path) -> Opened:
    """The model of a tree, in evaluation mode.

    Raises:
        ValueError: a file is absent or malformed, or the tree holds a pickle.
        GateError: its code cannot be loaded in a host.
        PlatformError: a host cannot be confined here.
    """
    from touchstone import confine
    from touchstone.training import graph, hosted
    from touchstone.training.defences import from_json, wrap
    from touchstone.training.export import describe, is_estimator, read_weights, refuse_pickles
    from trust_gates.inputs.table import Columns

    document = describe(folder)
    if is_estimator(document):
        refuse_pickles(folder)
        weights, network = {}, None
    else:
        weights = read_weights(folder)
        network = graph.read(folder, weights)
    if network is not None:
        spec: ModelSpec = AskedSpec(document["task"])
        module: torch.nn.Module = network
        asked_as = GRAPH
    else:
        spec, module = hosted.start(folder, document, weights)
        asked_as = confine.described()
    encode: Callable[[Sequence[Any]], NDArray[Any]] | None = None
    if columns := Columns.of(document["inputs"]):
        encode = columns.encode
    elif document.get("encodes"):
        encode = hosted.Encoder(folder, document, spec)
    defended = wrap.inputs(spec, from_json(document.get("defences", ())), document["inputs"])
    return Opened(defended, module.eval(), document, asked_as, encode)
