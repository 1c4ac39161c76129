"""Which layer are a network's tokens given to, and what does it answer with other vectors there?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from touchstone.training.spec import ModelSpec


def find(spec: ModelSpec, module: nn.Module, tokens: Tensor) -> tuple[str, nn.Embedding]:
    """The embedding that `tokens` (N, L) go into, and the name of its table: the one that the spec
    names, else the one that is given them as they are.

    Raises:
        ValueError: there is none, there are several, or it is asked more than once.
    """
    own = spec.embedding(module)
    asked: list[tuple[nn.Embedding, bool]] = []

    def note(layer: nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(layer, nn.Embedding)  # noqa: S101 (only these are listened to)
        asked.append((layer, torch.equal(given[0], tokens)))

    layers = [one for one in module.modules() if isinstance(one, nn.Embedding)]
    handles = [one.register_forward_pre_hook(note) for one in layers]
    try:
        with torch.no_grad():
            spec.predict(module, tokens)
    finally:
        for handle in handles:
            handle.remove()
    found = [layer for layer, same in asked if (same if own is None else layer is own)]
    if len(found) != 1:
        raise ValueError(
            f"got tokens that are given to {len(found)} embeddings in a prediction, expected one "
            "torch.nn.Embedding that is given the inputs as they are, or the one that `embedding` "
            "of the ModelSpec names"
        )
    # Of weights that layers share, the first name is the one that the network's state has.
    named = (name for name, one in module.named_parameters() if one is found[0].weight)
    return next(named, ""), found[0]


@contextmanager
def replaced(layer: nn.Embedding, values: Tensor) -> Iterator[None]:
    """Within it the layer gives `values` (N, L, D), whatever tokens it is given."""
    handle = layer.register_forward_hook(lambda layer, given, output: values)
    try:
        yield
    finally:
        handle.remove()
