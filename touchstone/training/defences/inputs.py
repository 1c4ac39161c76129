"""A spec whose network sees every input through defences; the exported model keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from touchstone.training.defences import Defence
from touchstone.training.spec import Batch, ModelSpec, Parameter
from touchstone.training.wrapped import Wrapped

if TYPE_CHECKING:
    import torch

_IMAGES_ONLY = frozenset({"spatial_smoothing", "jpeg_compression", "total_variance_minimisation"})


class Defended(Wrapped):
    """A model repository's spec behind input defences.

    Thermometer encoding gives each channel several: the network's first layer is then built anew
    for that many, since a model repository's `build` does not know of them.
    """

    def __init__(
        self, spec: ModelSpec, defences: Sequence[Defence], inputs: Mapping[str, Any]
    ) -> None:
        super().__init__(spec)
        self._defences = defences
        self._shape = tuple(inputs["shape"])
        self._low, self._high = float(inputs["low"]), float(inputs["high"])
        for place, defence in enumerate(defences):
            if defence.method in _IMAGES_ONLY and len(self._shape) != 3:
                raise ValueError(
                    f"{defence.method} works on images (channels, height, width), got inputs "
                    f"{self._shape}; feature_squeezing and thermometer_encoding work on any"
                )
            if defence.method == "thermometer_encoding" and place < len(defences) - 1:
                raise ValueError(
                    "got a defence of inputs after thermometer_encoding, expected it to be the "
                    "last one: what it gives is no image"
                )

    def build(self, parameters: Mapping[str, Parameter]) -> torch.nn.Module:
        """The inner network, its first layer as wide as what the defences give."""
        module = self.inner.build(parameters)
        last = self._defences[-1]
        if last.method == "thermometer_encoding":
            _widen(module, self._shape, last.option("levels"))
        return module

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The inner loss of the defended inputs."""
        return self.inner.loss(module, replace(batch, inputs=self.defend(batch.inputs)))

    def predict(self, module: torch.nn.Module, inputs: torch.Tensor) -> Any:
        """The inner prediction for the defended inputs."""
        return self.inner.predict(module, self.defend(inputs))

    def defend(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the network sees, with a gradient to `inputs`."""
        span = self._high - self._low
        seen = reduce(_apply, self._defences, (inputs - self._low) / span)
        return seen * span + self._low


def _apply(inputs: torch.Tensor, defence: Defence) -> torch.Tensor:
    """One defence of inputs in [0, 1]."""
    from touchstone.training.defences import transforms

    option = defence.option
    match defence.method:
        case "feature_squeezing":
            return transforms.squeeze(inputs, option("bits"))
        case "spatial_smoothing":
            return transforms.smooth(inputs, option("window"))
        case "jpeg_compression":
            return transforms.jpeg(inputs, option("quality"))
        case "total_variance_minimisation":
            return transforms.minimise_variance(inputs, option("weight"), option("steps"))
        case "thermometer_encoding":
            return transforms.thermometer(inputs, option("levels"))
    raise AssertionError(f"{defence.method} is no defence of inputs")


def _widen(module: torch.nn.Module, shape: tuple[int, ...], levels: int) -> None:
    """Put a first layer for `levels` times as many channels in the place of the network's own."""
    import torch

    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    }
    name, first = next(iter(layers.items()), ("", None))
    wide: torch.nn.Module
    match first:
        case torch.nn.Conv2d(in_channels=size, groups=1) if name and shape[:1] == (size,):
            wide = torch.nn.Conv2d(
                size * levels,
                first.out_channels,
                first.kernel_size,  # type: ignore[arg-type]  # as it was given itself
                stride=first.stride,  # type: ignore[arg-type]
                padding=first.padding,  # type: ignore[arg-type]
                dilation=first.dilation,  # type: ignore[arg-type]
                bias=first.bias is not None,
                padding_mode=first.padding_mode,
            )
        case torch.nn.Linear(in_features=size) if name and size == math.prod(shape):
            wide = torch.nn.Linear(size * levels, first.out_features, bias=first.bias is not None)
        case _:
            raise ValueError(
                f"thermometer_encoding needs a network whose first layer is a Conv2d or Linear "
                f"that takes inputs {shape}, got {first or 'none'}"
            )
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, wide)
