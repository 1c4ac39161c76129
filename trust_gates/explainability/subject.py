"""What is explained: for each sample one decision, as a number that depends on the input.

A regression decides how far a sample lies above or below what an average one is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.embedded import Space
from trust_gates.errors import GateError
from trust_gates.matching import IOU, SURE, overlaps
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target, boxes_of, column

if TYPE_CHECKING:
    import torch

Inputs = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """Decisions of one model: a class or a number per sample, or one true object per image that it
    found."""

    target: Target
    rows: NDArray[np.int64]
    """(n,): which of the samples they are of."""

    inputs: Inputs
    """(n, C, H, W) or (n, F)."""

    baseline: Inputs
    """As `inputs`: what an input that says nothing looks like."""

    labels: NDArray[np.int64]
    """(n,): the class that was decided for; of a number 1 above and 0 below the baseline's."""

    boxes: NDArray[np.float64] | None = None
    """(n, 4): the object, for a detector; x1, y1, x2, y2 in pixels."""

    told: NDArray[np.float64] | None = None
    """(n, 2): of a regression the number of each input, and that of its baseline."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(n,): what `score` and `certainty` know the decisions by."""
        return np.arange(len(self))

    def score(self, inputs: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """(m,): how strongly each input speaks for the decision `which`, differentiable.

        A classifier's log-odds of the class, which do not saturate as its probability does; a
        regression's number, or what it lacks where it was below the baseline's; a detector's best
        score among claims of the object's class that overlap it enough.

        Raises:
            GateError: the answers do not depend on the inputs differentiably.
        """
        import torch

        answers = self.target.predict(inputs)
        scores: torch.Tensor
        if self.told is not None:
            upwards = torch.from_numpy(2 * self.labels - 1).to(answers.device)[which]
            scores = column(answers)[:, 0] * upwards
        elif self.boxes is None:
            labels = torch.from_numpy(self.labels).to(answers.device)[which]
            own = torch.nn.functional.one_hot(labels, answers.shape[1]).bool()
            chosen = answers[own]
            scores = chosen - answers.masked_fill(own, -torch.inf).logsumexp(dim=1)
        else:
            scores = torch.stack(
                [self._found(*pair) for pair in zip(answers, which.tolist(), strict=True)]
            )
        if torch.is_grad_enabled() and inputs.requires_grad and not scores.requires_grad:
            if self.boxes is None or any(len(image.scores) for image in answers):
                raise GateError(
                    "the model's predictions have no gradient to its inputs; choose the method "
                    "occlusion, or leave torch.no_grad and detach out of `predict`"
                )
            # Nothing was claimed anywhere: the score is flat there.
            scores = inputs.flatten(1).sum(dim=1) * 0.0
        return scores

    def certainty(self, inputs: Inputs, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """(m,): the same from 0 to 1: a classifier's probability, a detector's score; how much of
        the way from the baseline's number to the input's a regression goes."""
        import torch

        parts = [np.zeros(0)]
        self.target.module.eval()
        with torch.no_grad():
            for start in range(0, len(inputs), 64):
                some = slice(start, start + 64)
                scores = self.score(self.target.tensor(inputs[some]), torch.from_numpy(which[some]))
                scores = scores.sigmoid() if self.boxes is self.told is None else scores
                parts.append(scores.double().cpu().numpy())
        found = np.concatenate(parts)
        return found if self.told is None else self._way(found, self.told[which])

    def _way(self, scores: NDArray[np.float64], told: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) of scores (m,) and the numbers (m, 2) of their decisions; 0 where they are one."""
        whole = np.abs(told[:, 0] - told[:, 1])
        gone = scores - np.sign(told[:, 0] - told[:, 1]) * told[:, 1]
        share = np.divide(gone, whole, out=np.zeros_like(gone), where=whole > 0)
        found: NDArray[np.float64] = np.nan_to_num(share).clip(0, 1)
        return found

    def take(self, index: NDArray[np.int64]) -> Subject:
        """The decisions at `index`, in that order."""
        return Subject(
            target=self.target,
            rows=self.rows[index],
            inputs=self.inputs[index],
            baseline=self.baseline[index],
            labels=self.labels[index],
            boxes=None if self.boxes is None else self.boxes[index],
            told=None if self.told is None else self.told[index],
        )

    def _found(self, image: Any, which: int) -> torch.Tensor:
        assert self.boxes is not None  # noqa: S101 (only called so)
        claims = boxes_of(image)
        near = overlaps(claims.boxes, self.boxes[which][None])[:, 0] >= IOU
        mine = np.flatnonzero(near & (claims.labels == self.labels[which]))
        # The empty sum keeps the device and the type.
        score: torch.Tensor = image.scores[mine].max() if len(mine) else image.scores[:0].sum()
        return score


def of_samples(
    target: Target, samples: Samples, most: int, seed: int, space: Space | None = None
) -> Subject:
    """The decisions on at most `most` samples, drawn at random.

    Each image of a detector gives the one object it found most surely, so that decisions are
    independent of each other. Images in which it found none, and samples that a classifier
    or a regression answers with something that is no number, give nothing to explain.

    Args:
        space: where the inputs are tokens in it.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(samples))[:most])
    inputs = samples.inputs[rows]
    baseline = _baseline(samples.inputs, rows)
    if space is not None:
        baseline = space.beside(baseline, inputs)
    boxes = told = None
    if samples.targets is not None:
        both = [target.logits(x) for x in (inputs, baseline)]
        if both[0].shape != (len(rows), 1):
            raise GateError(
                f"got answers of shape {both[0].shape} for {len(rows)} samples, expected one number"
                " for each: the task is a regression"
            )
        told = np.concatenate(both, axis=1)
        kept = np.asarray(np.isfinite(told).all(axis=1))
        told = told[kept]
        labels = (told[:, 0] > told[:, 1]).astype(np.int64)
    elif samples.objects is None:
        logits = target.logits(inputs)
        kept = np.asarray(np.isfinite(logits).all(axis=1))
        labels = logits[kept].argmax(axis=1)
    else:
        surest = [
            _surest(claims, samples.objects[row])
            for claims, row in zip(target.claims(inputs), rows, strict=True)
        ]
        kept = np.array([index is not None for index in surest], dtype=bool)
        found = [
            (samples.objects[r], i) for r, i in zip(rows, surest, strict=True) if i is not None
        ]
        labels = np.array([truth.labels[index] for truth, index in found], dtype=np.int64)
        boxes = np.array([truth.boxes[index] for truth, index in found]).reshape(-1, 4)
    return Subject(
        target=target,
        rows=rows[kept],
        inputs=inputs[kept],
        baseline=baseline[kept],
        labels=labels,
        boxes=boxes,
        told=told,
    )


def _surest(claims: Boxes, truth: Boxes) -> int | None:
    """Index of the true object that the surest claim of its class overlaps enough."""
    pairs = overlaps(claims.boxes, truth.boxes) >= IOU
    pairs &= claims.labels[:, None] == truth.labels[None, :]
    if not pairs.any() or claims.scores is None:
        return None
    scores = np.where(pairs.any(axis=1), claims.scores, -np.inf)
    if scores.max() < SURE:
        return None
    return int(pairs[scores.argmax()].argmax())


def _baseline(inputs: Inputs, rows: NDArray[np.int64]) -> Inputs:
    """The average sample for rows of features; its own mean colour, everywhere, for an image.

    Black would be no neutral choice: to a picture taken by night it is hardly a change.
    """
    if inputs.ndim == 2:
        return np.broadcast_to(inputs.mean(axis=0), (len(rows), inputs.shape[1])).astype(np.float32)
    colors = inputs[rows].mean(axis=tuple(range(2, inputs.ndim)), keepdims=True)
    return np.broadcast_to(colors, (len(rows), *inputs.shape[1:])).astype(np.float32)


def feature_names(given: Sequence[str], inputs: Inputs) -> list[str]:
    """The names of an input's features (of an image's channels), or their numbers.

    Raises:
        ValueError: there are more or fewer names than features.
    """
    count = inputs.shape[1]
    if given and len(given) != count:
        raise ValueError(f"got {len(given)} names of features {list(given)}, expected {count}")
    return list(given) or [f"feature {index}" for index in range(count)]
