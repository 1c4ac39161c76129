"""Defences against adversarial inputs: which there are, and how they wrap a model's spec.

Importing this costs nothing: touchstone.yaml is checked against it.

    input       changes every input before the network sees it: part of the exported model, so the
                gates attack through it and the server serves through it
    training    changes what the network learns from, or its loss: done when training is done

`wrap_inputs` makes the spec as it answers, `wrap_training` that one as it is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, cast

from pydantic import TypeAdapter, ValidationError

from touchstone.training.methods import NORMS, Chosen, Method, Value
from touchstone.training.spec import ModelSpec

_STEPS = (1, 1000)
_WIDTH = (1e-6, 1e6)
_NORMS = {"norm": NORMS}
_ATTACK: dict[str, Value] = {"epsilon": 8 / 255, "norm": "linf", "steps": 7}
_BOUNDS = {"epsilon": _WIDTH, "steps": _STEPS}

METHODS: dict[str, Method] = {
    "feature_squeezing": Method(
        "input",
        "Xu, Evans and Qi, Feature squeezing: detecting adversarial examples, NDSS 2018",
        {"bits": 4},
        ranges={"bits": (1, 16)},
    ),
    "spatial_smoothing": Method(
        "input",
        "Xu, Evans and Qi, Feature squeezing: detecting adversarial examples, NDSS 2018",
        {"window": 3},
        ranges={"window": (2, 31)},
    ),
    "jpeg_compression": Method(
        "input",
        "Dziugaite, Ghahramani and Roy, A study of the effect of JPG compression, 2016",
        {"quality": 50},
        ranges={"quality": (1, 95)},
    ),
    "total_variance_minimisation": Method(
        "input",
        "Guo et al., Countering adversarial images using input transformations, ICLR 2018",
        {"weight": 0.05, "steps": 30},
        ranges={"weight": (1e-6, 10), "steps": _STEPS},
    ),
    "thermometer_encoding": Method(
        "input",
        "Buckman et al., Thermometer encoding, ICLR 2018",
        {"levels": 10},
        ranges={"levels": (2, 256)},
    ),
    "gaussian_augmentation": Method(
        "training",
        "Zantedeschi, Nicolae and Rawat, Efficient defenses against adversarial attacks, 2017",
        {"sigma": 0.1, "share": 0.5},
        ranges={"sigma": _WIDTH, "share": (0, 1)},
    ),
    "label_smoothing": Method(
        "training",
        "Szegedy et al., Rethinking the Inception architecture, CVPR 2016",
        {"smoothing": 0.1},
        ranges={"smoothing": (0, 1)},
    ),
    "adversarial_training": Method(
        "training",
        "Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018",
        {**_ATTACK, "share": 1.0},
        _NORMS,
        {**_BOUNDS, "share": (0, 1)},
    ),
    "fast_adversarial_training": Method(
        "training",
        "Wong, Rice and Kolter, Fast is better than free, ICLR 2020",
        {"epsilon": 8 / 255, "norm": "linf", "share": 1.0},
        _NORMS,
        {"epsilon": _WIDTH, "share": (0, 1)},
    ),
    "trades": Method(
        "training",
        "Zhang et al., Theoretically principled trade-off between robustness and accuracy, 2019",
        {**_ATTACK, "beta": 6.0},
        _NORMS,
        _BOUNDS,
    ),
    "virtual_adversarial_training": Method(
        "training",
        "Miyato et al., Virtual adversarial training, TPAMI 2019",
        {"epsilon": 1.0, "alpha": 1.0, "iterations": 1},
        ranges={"epsilon": _WIDTH, "iterations": (1, 100)},
    ),
}


class Defence(Chosen):
    """A defence against adversarial inputs (docs/defences.md)."""

    KNOWN: ClassVar[Mapping[str, Method]] = METHODS


def from_json(documents: Any) -> tuple[Defence, ...]:
    """The defences of a model.json.

    Raises:
        ValueError: one is malformed or unknown.
    """
    try:
        return TypeAdapter(tuple[Defence, ...]).validate_python(documents)
    except ValidationError as error:
        raise ValueError(f"got the defences {documents!r}, expected a list: {error}") from None


def wrap_inputs(
    spec: ModelSpec, defences: Sequence[Defence], inputs: Mapping[str, Any]
) -> ModelSpec:
    """The spec as it answers: each input goes through the input defences, in their order.

    Raises:
        ValueError: a defence does not work on such inputs.
    """
    chosen = [defence for defence in defences if defence.stage == "input"]
    if not chosen:
        return spec
    from touchstone.training.defences.inputs import Defended

    return Defended(spec, chosen, inputs)


def wrap_training(
    spec: ModelSpec, defences: Sequence[Defence], inputs: Mapping[str, Any]
) -> ModelSpec:
    """The spec as it is trained. Give it `wrap_inputs`' spec: attacks in training go through those.

    Args:
        inputs: of the dataset's description.

    Raises:
        ValueError: a defence does not work for the spec's task.
    """
    for defence in defences:
        if defence.stage == "training":
            module = import_module(f"touchstone.training.defences.trained.{defence.method}")
            spec = cast("ModelSpec", module.wrap(spec, defence, inputs))
    return spec
