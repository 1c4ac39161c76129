"""How decisions are attributed to inputs: Captum's methods by name.

Every method returns, for each value of each input, how much it speaks for the decision (positive)
or against it (negative; never with `saliency`, which only knows how much it matters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability.parts import Parts
from trust_gates.explainability.subject import Subject

if TYPE_CHECKING:
    import torch

_STEPS = 24
"""Points on the path of integrated gradients, after Gauss and Legendre."""

_BATCH = 32
"""Decisions attributed at once; captum multiplies them by its own steps."""

_DRAWS = 16
"""Noisy copies of each sample for gradient SHAP."""

_COALITIONS = 64
"""Subsets of features tried for each sample by kernel SHAP, besides none and all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One attribution method by name. A new one is a new `Method` in the table."""

    name: str
    source: str
    """Where it was published."""

    attribute: Callable[[Any, Any, Any, Any, Parts], Any]
    """From the score function, inputs, baselines, the decisions' numbers, and the parts."""

    tabular_only: bool = False
    answers_alone: bool = False
    """Whether it needs no gradients."""


def _integrated_gradients(score: Any, inputs: Any, baselines: Any, which: Any, parts: Parts) -> Any:
    from captum.attr import IntegratedGradients

    return IntegratedGradients(score).attribute(
        inputs, baselines, n_steps=_STEPS, internal_batch_size=256, additional_forward_args=which
    )


def _saliency(score: Any, inputs: Any, baselines: Any, which: Any, parts: Parts) -> Any:
    from captum.attr import Saliency

    return Saliency(score).attribute(inputs.requires_grad_(), additional_forward_args=which)


def _occlusion(score: Any, inputs: Any, baselines: Any, which: Any, parts: Parts) -> Any:
    from captum.attr import FeatureAblation

    # Captum's Occlusion slides a box; parts that do not overlap are the same with one mask.
    lost = FeatureAblation(score).attribute(
        inputs, baselines, feature_mask=parts.numbers(inputs.device), additional_forward_args=which
    )
    return lost / parts.sizes(inputs.shape[1:], inputs.device)


def _gradient_shap(score: Any, inputs: Any, baselines: Any, which: Any, parts: Parts) -> Any:
    from captum.attr import GradientShap

    # captum draws the baselines' rows at random: one sample at a time keeps its own.
    return _one_by_one(GradientShap(score), inputs, baselines, which, n_samples=_DRAWS, stdevs=0.01)


def _kernel_shap(score: Any, inputs: Any, baselines: Any, which: Any, parts: Parts) -> Any:
    from captum.attr import KernelShap

    found = _one_by_one(
        KernelShap(score),
        inputs,
        baselines,
        which,
        feature_mask=parts.numbers(inputs.device),
        n_samples=_COALITIONS + 2,
        perturbations_per_eval=_COALITIONS + 2,
    )
    return found / parts.sizes(inputs.shape[1:], inputs.device)


def _one_by_one(method: Any, inputs: Any, baselines: Any, which: Any, **settings: Any) -> Any:
    import torch

    rows = [
        method.attribute(
            inputs[i : i + 1],
            baselines[i : i + 1],
            additional_forward_args=(which[i : i + 1],),  # KernelShap expands tuples only
            **settings,
        )
        for i in range(len(inputs))
    ]
    return torch.cat(rows)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="saliency",
            source="Simonyan, Vedaldi and Zisserman 2014",
            attribute=_saliency,
        ),
        Method(
            name="integrated_gradients",
            source="Sundararajan, Taly and Yan 2017",
            attribute=_integrated_gradients,
        ),
        Method(
            name="gradient_shap",
            source="Erion et al. 2021 (expected gradients)",
            attribute=_gradient_shap,
        ),
        Method(
            name="occlusion",
            source="Zeiler and Fergus 2014",
            attribute=_occlusion,
            answers_alone=True,
        ),
        Method(
            name="kernel_shap",
            source="Lundberg and Lee 2017",
            attribute=_kernel_shap,
            answers_alone=True,
            tabular_only=True,
        ),
    )
}


def attribute(
    name: str,
    subject: Subject,
    parts: Parts,
    *,
    inputs: NDArray[np.float32] | None = None,
    seed: int,
) -> NDArray[np.float64]:
    """Attributions shaped as the subject's inputs, or as `inputs` where others are given.

    One with a value that is no number is zero everywhere: the decision is attributed to nothing,
    which counts with the worst value.

    Raises:
        GateError: the model gives no gradients.
        ValueError: the method does not know such inputs.
    """
    import torch

    method = METHODS[name]
    given = subject.inputs if inputs is None else inputs
    if method.tabular_only and given.ndim != 2:
        raise ValueError(
            f"got the method {name} for inputs of shape {given.shape[1:]}, which only explains "
            "rows of features; choose another"
        )
    subject.target.module.eval()
    found = [np.zeros((0, *given.shape[1:]))]
    with _seeded(seed):
        for start in range(0, len(given), _BATCH):
            some = slice(start, start + _BATCH)
            result = method.attribute(
                subject.score,
                subject.target.tensor(given[some]),
                subject.target.tensor(subject.baseline[some]),
                torch.from_numpy(subject.numbers[some]),
                parts,
            )
            found.append(_array(result))
    attributions = np.concatenate(found)
    broken = ~np.isfinite(attributions).reshape(len(attributions), -1).all(axis=1)
    attributions[broken] = 0.0
    return attributions


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().double().cpu().contiguous().numpy()
    return array


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Captum draws from the global generators: seed them, and give them back as they were."""
    import torch

    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
