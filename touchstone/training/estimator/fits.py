"""What of a recipe does not fit an estimator, which is fitted as a whole and has no gradients?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.mitigation import METHODS, Mitigation

_OTHERS = [name for name, one in METHODS.items() if one.stage != "inprocessing"]


def misfits(
    *,
    mitigation: Mitigation | None = None,
    defences: Sequence[Defence] = (),
    evasion: Evasion | None = None,
    workers: int = 1,
    gpus: int = 0,
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each problem, by the field of `spec.train` that asks for it."""
    if mitigation is not None and mitigation.stage == "inprocessing":
        yield (
            ("mitigation", "method"),
            f"got {mitigation.method} for an estimator, which has no loss to change, expected one"
            f" of {', '.join(_OTHERS)}",
        )
    for index, defence in enumerate(defences):
        if defence.stage == "training":
            yield (
                ("defences", index, "method"),
                f"got {defence.method} for an estimator, which is not trained by gradients,"
                " expected none, or a defence of inputs such as feature_squeezing",
            )
    if evasion is not None:
        yield (
            ("evasionDetector",),
            "got a detector for an estimator, expected none: it looks at the layers of a network",
        )
    if workers > 1:
        yield (
            ("workers",),
            f"got {workers} for an estimator, expected 1: one process fits it",
        )
    if gpus:
        yield ("gpusPerWorker",), f"got {gpus} for an estimator, expected 0: it is fitted on CPUs"
