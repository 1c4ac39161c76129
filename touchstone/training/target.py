"""A trained model tree as the gates ask it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trust_gates.inputs.description import DTYPES, WORDS
from trust_gates.reach import Reach
from trust_gates.target import Embedding, Target, Watch, column

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from touchstone.training.spec import Description


def open_described(
    folder: Path, description: Description, spread: NDArray[np.float64] | None = None
) -> Target:
    """`open_tree`, with the limits that the dataset's description sets to inputs.

    Raises:
        ValueError: as `open_tree`; or the description limits a feature that there is not, or the
            tree says otherwise what the answers or the inputs are: it is served by what it says.
    """
    from touchstone.training.export import describe

    inputs = description.inputs
    said, known = describe(folder), description.to_json()
    for name in ("task", "classes", "inputs"):
        if said[name] != known[name]:
            raise ValueError(
                f"{folder / 'model.json'}: got {name} {said[name]!r}, expected the dataset's "
                f"{known[name]!r}; train it again"
            )
    low, high = float(inputs["low"]), float(inputs["high"])
    reach = Reach.described(inputs)
    return open_tree(folder, low=low, high=high, reach=reach, spread=spread)


def open_tree(
    folder: Path,
    *,
    low: float,
    high: float,
    reach: Reach | None = None,
    spread: NDArray[np.float64] | None = None,
) -> Target:
    """The model of a tree that `train` wrote, on the GPU where there is one.

    Args:
        spread: how far each value of an input (...) varies, for gradients of an estimator, which
            are differences (see `trust_gates.inputs.opaque`).

    Raises:
        ValueError: the tree is incomplete, malformed, or holds a pickle.
    """
    import torch

    from touchstone.training.evasion.guard import Guard
    from touchstone.training.export import is_estimator
    from touchstone.training.mitigation.apply import asked
    from touchstone.training.mitigation.served import Served
    from touchstone.training.opened import open_model
    from touchstone.training.spec import Batch
    from trust_gates.inputs import opaque
    from trust_gates.network import Network

    opened = open_model(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spec, module = opened.spec, opened.module.to(device)

    def loss(inputs: torch.Tensor, boxes: torch.Tensor, box_labels: torch.Tensor) -> torch.Tensor:
        return spec.loss(module, Batch(inputs=inputs, boxes=boxes, box_labels=box_labels))

    described, network = opened.document["inputs"], module

    def embedding(tokens: NDArray[np.int64]) -> Embedding:
        assert isinstance(network, Network)  # noqa: S101 (a graph, or what lies behind a host)
        table = network.embedding(torch.from_numpy(tokens).to(device)).cpu().numpy()
        return Embedding(
            table,
            lambda some, vectors: column(network.embedded(some, vectors)),
            None if served is None else served.answer,
        )

    guard = Guard.read(folder, spec, module)
    serve, repair = asked(folder, spec, module, device)
    served = Served.read(folder)
    encode = opened.encode if opened.document.get("encodes") else None
    if is_estimator(opened.document):

        def answer(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
            found = spec.predict(module, torch.from_numpy(inputs))
            assert isinstance(found, torch.Tensor)  # noqa: S101 (no detector is an estimator)
            return found.numpy()

        only = opaque.target(answer, low=low, high=high, spread=spread, asked_as=opened.asked_as)
        return replace(only, module=module, reach=reach, serve=serve, repair=repair, encode=encode)
    return Target(
        module=module,
        predict=lambda inputs: spec.predict(module, inputs),
        loss=loss if opened.document["task"] == "detection" else None,
        low=low,
        high=high,
        dtype=described.get("dtype", DTYPES[0]),
        device=device,
        reach=reach,
        serve=serve,
        repair=repair,
        asked_as=opened.asked_as,
        watch=None if guard is None else Watch(guard.logits, guard.threshold),
        embedding=embedding if described.get("dtype", DTYPES[0]) != DTYPES[0] else None,
        words=described.get(WORDS, ()),
        encode=encode,
    )
