"""Figures beyond robust accuracy, by name; each is measured where the policy asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from trust_gates.errors import PolicyError
from trust_gates.progress import tell
from trust_gates.robustness.budget import Norm
from trust_gates.robustness.figures.clever import CLEVER
from trust_gates.robustness.figures.confidence import CONFIDENCE
from trust_gates.robustness.figures.corruption import CORRUPTION
from trust_gates.robustness.figures.distance import DISTANCE
from trust_gates.robustness.figures.figure import Figure, Found, Scene
from trust_gates.robustness.figures.sensitivity import SENSITIVITY
from trust_gates.samples import Task
from trust_gates.wording import alike

__all__ = ["FIGURES", "Found", "Scene", "chosen", "measure", "refuse_slopes"]

FIGURES: dict[str, Figure] = {
    name: figure
    for figure in (SENSITIVITY, CONFIDENCE, DISTANCE, CORRUPTION, CLEVER)
    for name in figure.names
}
"""By the name of each figure, the cheapest first."""


def chosen(names: Iterable[str], norm: Norm, task: Task | None = None) -> list[Figure]:
    """What must be measured for the figures `names`, each once.

    Raises:
        ValueError: a name is unknown, or does not serve the norm or the task.
    """
    wanted = list(names)
    if unknown := [name for name in wanted if name not in FIGURES]:
        near = alike(unknown[0], FIGURES)
        raise ValueError(f"got figures {unknown}, expected some of {sorted(FIGURES)}{near}")
    serving = [n for n, f in FIGURES.items() if norm in f.norms and task in (None, *f.tasks)]
    if strangers := [name for name in wanted if name not in serving]:
        raise ValueError(
            f"got figures {strangers} for {task or 'a model'} under the norm {norm}, "
            f"expected some of {serving}"
        )
    return list({id(FIGURES[n]): FIGURES[n] for n in FIGURES if n in wanted}.values())


def refuse_slopes(figures: Iterable[Figure]) -> None:
    """Raise PolicyError where one of them is a slope, and the model has none because of steps."""
    if names := [name for one in figures if one.of_slopes for name in one.names]:
        raise PolicyError(
            f"gates.robustness: got {', '.join(names)} for a model made of steps, which has no "
            "slope to measure; expected minimal_perturbation or robust_accuracy in its place"
        )


def measure(figures: Iterable[Figure], scene: Scene) -> Found:
    """All of `figures` together, in one `Found`."""
    wanted, parts = list(figures), []
    for number, figure in enumerate(wanted, start=1):
        parts.append(figure.measure(scene))
        tell("further figure", number, len(wanted), ", ".join(figure.names))
    return Found.joined(parts)
