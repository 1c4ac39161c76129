"""What does a spec become behind its defences: as it answers, and as it is trained?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from touchstone.training.defences import Defence
from touchstone.training.defences.inputs import Defended
from touchstone.training.spec import ModelSpec
from trust_gates.inputs.description import DTYPES

if TYPE_CHECKING:
    import torch

_OF_NUMBERS = frozenset({"gaussian_augmentation"})
"""Defences in training that change the inputs of the data, before there is a network."""


def inputs(spec: ModelSpec, defences: Sequence[Defence], described: Mapping[str, Any]) -> ModelSpec:
    """The spec as it answers: each input goes through the input defences, in their order.

    Raises:
        ValueError: a defence does not work on such inputs.
    """
    chosen = [defence for defence in defences if defence.stage == "input"]
    if not chosen:
        return spec
    _refuse_tokens(chosen, described)
    return Defended(spec, chosen, described)


def _refuse_tokens(defences: Sequence[Defence], described: Mapping[str, Any]) -> None:
    if defences and described.get("dtype", DTYPES[0]) != DTYPES[0]:
        raise ValueError(
            f"got {defences[0].method} for inputs that are tokens, expected inputs of numbers, "
            "which it changes; adversarial_training works from an embedding on"
        )


def seen(spec: ModelSpec, inputs: torch.Tensor) -> torch.Tensor:
    """The inputs as the network behind the spec's defences sees them."""
    return spec.defend(inputs) if isinstance(spec, Defended) else inputs


def training(
    spec: ModelSpec, defences: Sequence[Defence], described: Mapping[str, Any]
) -> ModelSpec:
    """The spec as it is trained. Give it `inputs`' spec: attacks in training go through those.

    Args:
        described: the inputs, of the dataset's description.

    Raises:
        ValueError: a defence does not work for the spec's task.
    """
    tokens = described.get("dtype", DTYPES[0]) != DTYPES[0]
    _refuse_tokens([one for one in defences if one.method in _OF_NUMBERS], described)
    for defence in defences:
        if defence.stage == "training":
            module = import_module(f"touchstone.training.defences.trained.{defence.method}")
            if tokens:
                from touchstone.training.defences.embedded import Embedded

                spec = Embedded(spec, defence, described, module.wrap)
            else:
                spec = cast("ModelSpec", module.wrap(spec, defence, described))
    return spec
