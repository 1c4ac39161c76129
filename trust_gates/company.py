"""Does an answer depend on who else is in the request, or on what was asked before?

A server asks the model what one request holds, most often a single sample; gates ask in batches. A
model whose answers lean on their company (statistics of the batch, dropout left on, a memory) is
judged as something that is never served. So every gate that asks a model first asks a few samples
alone and in other company, and at its end alone once more.

What cannot be seen so: a model that behaves until it has answered more requests than a gate sends,
or until one certain sample stands beside another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import PolicyError, UnfitModelError
from trust_gates.matching import overlaps
from trust_gates.policy import COMPANY, GatePolicy, Setting
from trust_gates.samples import Boxes, Ints, Samples
from trust_gates.statistics import Measure, decide, exact, missing, named
from trust_gates.target import Target
from trust_gates.verdict import Evidence

_ASKED = 64
"""Samples, each asked about six times: where 5 % differ, one look in 27 misses it."""

_PAIRS = 16
"""Of them, asked beside themselves and, at the ends, alone again."""

_SIZES = (2, 3, 5, 8, 13, 21)
"""Of requests; the last one takes the rest."""

_TIMES = 3
"""How often each is in the one request that is larger than a gate's own."""

_ROUNDING = 1e-3
"""Float32 sums come in another order, by another kernel, so a thousandth is allowed for: in logits
of how far the best class is ahead where it is rather close (the tenth percentile); where the class
is the same, in probabilities of how far it is ahead in the middle; in numbers of how far they
commonly lie from the median."""

_MOST = 0.01
"""More than this is never rounding: in logits whatever the margins, in scores of claims, and in the
logit of how suspicious an input is."""

_DIGITS = 32
"""So many times what float32 can tell apart, a number may differ by in any case."""

_HEARD = 1e-4
"""Classes with less of a chance than this in both answers are left out: what is masked by -1e9 is
rounded to hundreds."""

_SCORE, _OVERLAP = 0.05, 0.9
"""A claim this sure must have its like in the other answer: of its class, overlapping as much."""

Judge = TypeVar("Judge", bound=Callable[..., Evidence])
_Answers = Sequence[Any]
"""Of each sample: its logits (K,) or number (1,), or a detector's `Boxes`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Some samples with the answers that each got alone, and which of them got another one."""

    samples: Samples
    alone: _Answers
    suspicion: NDArray[np.float64]
    """(n,): alone, of the detector of adversarial inputs; zeros without one."""

    differ: NDArray[np.bool_]
    ways: Sequence[str]
    """In what company they differed, with how many."""

    failed: str = ""
    """Why the model cannot be asked so."""

    @property
    def measure(self) -> Measure:
        """How many samples got another answer."""
        if self.failed or not len(self.samples):
            return missing(self.failed or "there were no samples to ask about")
        return exact(float(self.differ.sum()), len(self.samples))

    @property
    def notes(self) -> list[str]:
        """What was seen, in words; why it could not be seen is the check's own reason."""
        return [f"answered otherwise than alone: {', '.join(self.ways)}"] if self.ways else []

    @property
    def asked(self) -> tuple[str, str]:
        """What was looked at, in words."""
        return "asked alone and in other company", f"{len(self.samples)} samples"


def as_served(gate: str) -> Callable[[Judge], Judge]:
    """`judge` of the gate, with a check that the answers do not depend on their company.

    A model that cannot be asked alone is refused before anything else is measured.
    """

    def wrap(judge: Judge) -> Judge:
        @wraps(judge)
        def judged(
            target: Target,
            samples: Samples,
            policy: GatePolicy,
            setting: Setting = Setting(),
            *more: Any,
        ) -> Evidence:
            if not target.asked_as:  # recorded answers have no company
                return judge(target, samples, policy, setting, *more)
            found = _look(target, samples, setting.seed)
            if found.failed:
                return _refusal(gate, found, policy, setting)
            try:
                evidence = judge(target, samples, policy, setting, *more)
            except PolicyError as error:
                if isinstance(error, UnfitModelError) and found.differ.any():
                    return _refusal(gate, found, policy, setting)
                raise
            except Exception:  # of whoever leans on company, whatever comes of it
                if found.differ.any():
                    return _refusal(gate, found, policy, setting)
                raise
            found = _again(target, found)
            checks = decide(
                gate,
                {COMPANY: found.measure},
                named(policy.as_served),
                confidence=setting.confidence,
                minimum=0,
            )
            return replace(
                evidence,
                checks=[*evidence.checks, *checks],
                figures={**evidence.figures, COMPANY: found.measure.value},
                notes=[*evidence.notes, *found.notes],
                asked=[*evidence.asked, found.asked],
            )

        return cast(Judge, judged)

    return wrap


def _refusal(gate: str, found: _Look, policy: GatePolicy, setting: Setting) -> Evidence:
    why = f"the model cannot be judged as it is served, see {COMPANY}"
    required = named({**policy.always, **policy.as_served})
    measures = {one.metric: missing(why) for one in (*policy.requirements, *required)}
    measures[COMPANY] = found.measure
    return Evidence(
        gate=gate,
        checks=[
            *decide(gate, measures, policy.requirements, confidence=setting.confidence),
            *decide(gate, measures, required, confidence=setting.confidence, minimum=0),
        ],
        figures={COMPANY: found.measure.value},
        notes=found.notes,
        asked=[found.asked],
    )


def _look(target: Target, samples: Samples, seed: int) -> _Look:
    """Ask some samples alone, beside themselves, and together in requests of other sizes.

    Raises:
        Exception: whatever the model's code raises where it cannot be asked together either.
    """
    generator = np.random.default_rng(seed)
    some = samples.take(generator.permutation(len(samples))[:_ASKED])
    count = len(some)
    found = _Look(some, (), np.zeros(count), np.zeros(count, bool), ())
    if not count:
        return found
    each = [np.array([row]) for row in range(count)]
    try:
        alone, suspicion = _asked(target, some, each)
    except Exception as error:  # the model's code may fail in any way
        _asked(target, some, [np.arange(count)])
        return replace(found, failed=f"asked about one sample alone, {_words(error)}")
    found = replace(found, alone=alone, suspicion=suspicion)
    most = generator.permutation(np.tile(np.arange(count), _TIMES))
    own = min(target.batch, len(samples))
    ordered = most[np.argsort([_kind(found.alone[row]) for row in most], kind="stable")]
    companies = {
        "beside itself": [np.array([row, row]) for row in range(min(count, _PAIRS))],
        "in requests of other sizes": np.split(
            generator.permutation(count), [end for end in np.cumsum(_SIZES) if end < count]
        ),
        f"in a request of {len(ordered)}, sorted by answer": [ordered],
        f"in a request of {own}, as a gate asks": [np.resize(generator.permutation(count), own)],
    }
    for way, requests in companies.items():
        found = _compared(target, found, way, requests)
    return _again(target, found)


def _again(target: Target, found: _Look) -> _Look:
    """The look with what some of the samples are answered now, alone once more."""
    rows = [np.array([row]) for row in reversed(range(min(len(found.samples), _PAIRS)))]
    return _compared(target, found, "alone once more", rows)


def _compared(target: Target, found: _Look, way: str, requests: Sequence[Ints]) -> _Look:
    if found.failed or not requests:
        return found
    rows = np.concatenate(requests)
    try:
        answers, suspicion = _asked(target, found.samples, requests)
    except Exception as error:  # as above
        return replace(found, failed=f"asked about samples {way}, {_words(error)}")
    alike = _alike(found.alone, [found.alone[row] for row in rows], answers)
    if target.watch is not None:
        before = found.suspicion[rows]
        flagged = target.watch.flags(before) == target.watch.flags(suspicion)
        alike &= flagged | (np.abs(before - suspicion) <= _MOST)
    other = rows[~alike]
    if not len(other):
        return found
    differ = found.differ.copy()
    differ[other] = True
    return replace(found, differ=differ, ways=[*found.ways, f"{len(set(other))} {way}"])


def _asked(
    target: Target, samples: Samples, requests: Sequence[Ints]
) -> tuple[_Answers, NDArray[np.float64]]:
    """The answers to requests of the samples at these rows, each as one, and how suspicious."""
    import torch

    answers: list[Any] = []
    suspicion = [np.zeros(0)]
    for rows in requests:
        asked = samples.take(rows)
        one = replace(target, batch=len(rows))
        answers += one.claims(asked.inputs) if samples.detection else list(one.answers(asked))
        if target.watch is not None:
            with torch.no_grad():
                found = target.watch.suspicion(target.tensor(asked.inputs))
            suspicion.append(found.double().cpu().numpy())
    if len(answers) != sum(map(len, requests)):
        raise ValueError(f"it gave {len(answers)} answers to {sum(map(len, requests))} samples")
    return answers, np.concatenate(suspicion)


def _kind(answer: NDArray[np.float64] | Boxes) -> float:
    """What answers are sorted by: the class, the number itself, or how many claims."""
    if isinstance(answer, Boxes):
        return float(len(answer))
    return float(answer[0] if len(answer) == 1 else answer.argmax())


def _alike(all_alone: _Answers, alone: _Answers, other: _Answers) -> NDArray[np.bool_]:
    """(n,): is it the same answer, but for rounding?"""
    if isinstance(all_alone[0], Boxes):
        pairs = zip(alone, other, strict=True)
        return np.array([_within(a, b) and _within(b, a) for a, b in pairs], dtype=bool)
    first, then = np.stack(alone), np.stack(other)
    if first.shape != then.shape:
        return np.zeros(len(first), bool)
    finite = np.isfinite(first).all(axis=1)
    both = finite & np.isfinite(then).all(axis=1)
    same: NDArray[np.bool_] = ~finite & ~np.isfinite(then).all(axis=1)
    if both.any():
        alike = _same_numbers if first.shape[1] == 1 else _same_logits
        same[both] = alike(first[both], then[both], np.stack(all_alone))
    return same


def _same_numbers(
    first: NDArray[np.float64], then: NDArray[np.float64], usual: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(n,) of numbers (n, 1), by how far the model's `usual` answers (m, 1) commonly lie apart."""
    finite = usual[np.isfinite(usual)]
    apart = np.median(np.abs(finite - np.median(finite)))
    digits = _DIGITS * np.finfo(np.float32).eps * np.maximum(np.abs(first), np.abs(then))
    same: NDArray[np.bool_] = np.abs(first - then) <= np.maximum(_ROUNDING * apart, digits)
    return same[:, 0]


def _same_logits(
    first: NDArray[np.float64], then: NDArray[np.float64], usual: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(n,) of logits (n, K), by the scale that the model's `usual` answers (m, K) have.

    Logits may be of any scale, and near a tie any rounding changes the class.
    """
    from scipy.special import log_softmax

    before, after = log_softmax(first, axis=1), log_softmax(then, axis=1)
    finite = usual[np.isfinite(usual).all(axis=1)]
    close = np.quantile(_ahead(finite), 0.1)
    heard = np.maximum(before, after) > np.log(_HEARD)
    moved = np.where(heard, np.abs(after - before), 0.0).max(axis=1)
    # Of the numbers themselves: a common offset of all classes takes their last digits.
    digits = 8 * np.finfo(np.float32).eps * np.abs(first).max(axis=1)
    rounding = np.minimum(np.maximum(_ROUNDING * close, digits), _MOST)
    decided = first.argmax(axis=1) == then.argmax(axis=1)
    shares = np.abs(np.exp(after) - np.exp(before)).max(axis=1)
    typical = np.median(_ahead(np.exp(log_softmax(finite, axis=1))))
    same: NDArray[np.bool_] = (moved <= rounding) | (decided & (shares <= _ROUNDING * typical))
    return same


def _ahead(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): by how much the best class is ahead of the next."""
    best, *others = np.sort(answers, axis=1).T[::-1]
    ahead: NDArray[np.float64] = best - others[0] if others else np.zeros_like(best)
    return ahead


def _within(claims: Boxes, others: Boxes) -> bool:
    """Has every claim that is sure enough its like among the others?"""
    sure = claims.above(_SCORE + _ROUNDING)
    others = others.above(_SCORE - _ROUNDING)
    if not len(sure) or len(sure) > len(others):
        return not len(sure)
    assert sure.scores is not None and others.scores is not None  # noqa: S101, PT018 (claims)
    like = (overlaps(sure.boxes, others.boxes) >= _OVERLAP) | (
        sure.boxes[:, None] == others.boxes[None]
    ).all(axis=2)
    like &= sure.labels[:, None] == others.labels[None, :]
    like &= np.abs(sure.scores[:, None] - others.scores[None, :]) <= _MOST
    return bool(like.any(axis=1).all())


def _words(error: Exception) -> str:
    return f"the model failed: {type(error).__name__}: {error}".strip()[:500]
