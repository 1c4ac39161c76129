"""Does the detector that is served with the model tell attacked inputs from clean ones?

Judged on the gate's own attacks of the test split, and on attackers who know the detector: those
find what an attack on the model alone would leave (Carlini and Wagner, "Adversarial examples are
not easily detected", 2017).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trust_gates import palette
from trust_gates.png import png
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import Attacked
from trust_gates.robustness.figures.figure import Found
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, missing, proportion, resample_weights, resampled
from trust_gates.target import Watch
from trust_gates.verdict import Table

_STEPS = 40
_REACH = 2.5
_PICTURE = "robustness-evasion"
_CAPTION = (
    "How many attacks the evasion detector finds for how many clean inputs it flags, and where its "
    "threshold lies."
)
_RATES = (0.01, 0.05, 0.1, 0.2)
_ROWS = 128


def look(
    victim: Victim, samples: Samples, attacked: Attacked, budget: Budget, confidence: float
) -> Found | None:
    """Measure the detector of `victim`'s target; None where it has none.

    `evasion_auc`, `evasion_recall` and `evasion_false_positive_rate` compare the clean samples
    with the attacked inputs of those that an attack broke. `evasion_adaptive_recall` (classifiers
    only, and not under l0) is the share of these that also an attacker who knows the detector
    cannot both break and keep unflagged.
    """
    watch = victim.target.watch
    if watch is None:
        return None
    rows = np.flatnonzero(attacked.held < attacked.clean)
    broken = attacked.inputs[rows]
    clean, found = (_suspicion(victim, watch, inputs) for inputs in (samples.inputs, broken))
    measures = {
        "evasion_auc": _auc(clean, found, rows, budget.seed),
        "evasion_recall": _share(watch.flags(found)),
        "evasion_false_positive_rate": _share(watch.flags(clean)),
    }
    if not samples.detection and budget.norm != "l0":  # l0 has no gradient steps
        evaded = _evaded(victim, watch, samples.take(rows), broken, budget)
        measures["evasion_adaptive_recall"] = _share(watch.flags(found) & ~evaded)
    cuts = np.append(np.inf, -np.sort(-clean))
    alarms, hits = _above(clean, cuts), _above(found, cuts)
    shown = len(found) > 0
    return Found(
        measures=measures,
        tables=[_table(measures, alarms, hits, confidence)],
        pictures={_PICTURE: _roc(alarms, hits, measures)} if shown else {},
        captions={_PICTURE: _CAPTION} if shown else {},
    )


def _share(flags: NDArray[np.bool_]) -> Measure:
    if not len(flags):
        return missing("no attack broke a sample, so there was none to detect")
    return proportion(int(flags.sum()), len(flags))


def _suspicion(victim: Victim, watch: Watch, inputs: Inputs) -> NDArray[np.float64]:
    import torch

    parts = [np.zeros(0)]
    with torch.no_grad():
        for start in range(0, len(inputs), _ROWS):
            tensor = victim.target.tensor(inputs[start : start + _ROWS])
            parts.append(watch.suspicion(tensor).double().cpu().numpy())
    return np.concatenate(parts)


def _auc(
    clean: NDArray[np.float64], found: NDArray[np.float64], rows: NDArray[np.int64], seed: int
) -> Measure:
    """The chance that an attacked input is more suspicious than a clean one; ties count half.

    A sample and its attacked input are resampled together.
    """
    if not len(found):
        return missing("no attack broke a sample, so there was none to detect")
    above = (found[None] > clean[:, None]) + 0.5 * (found[None] == clean[:, None])
    weights = resample_weights(len(clean), seed)
    ours = weights[:, rows]
    with np.errstate(invalid="ignore"):
        draws = ((weights @ above) * ours).sum(axis=1) / (weights.sum(axis=1) * ours.sum(axis=1))
    return resampled(float(above.mean()), len(found), draws)


def _evaded(
    victim: Victim, watch: Watch, samples: Samples, starts: Inputs, budget: Budget
) -> NDArray[np.bool_]:
    """(N,): can an attacker who knows the detector break the sample and stay unflagged?

    Selective gradient steps: towards the wrong class while the answer is right, and away from
    suspicion once it is wrong, from the input that the gate's attacks found (Bryniarski et al.,
    "Evading adversarial example detection defenses with orthogonal projected gradient descent",
    ICLR 2022, section 3.2).
    """
    import torch

    from trust_gates.robustness.native import balls
    from trust_gates.robustness.native.losses import lead
    from trust_gates.robustness.native.problem import Problem

    evaded, at = [np.zeros(0, dtype=bool)], 0
    for problem in Problem.batches(victim, samples, budget):
        inputs = victim.target.tensor(starts[at : at + len(problem)])
        at += len(problem)
        done = torch.zeros(len(problem), dtype=torch.bool, device=inputs.device)
        for _ in range(_STEPS):
            inputs = inputs.detach().requires_grad_()
            suspicion = watch.suspicion(inputs)
            ahead = lead(problem.ask(inputs), problem.labels, problem.targets)
            done |= (ahead > 0) & (suspicion <= watch.threshold)
            aim = torch.where(ahead > 0, -suspicion, ahead)
            (gradient,) = torch.autograd.grad(aim.sum(), inputs)
            change = inputs.detach() - problem.clean
            low, high = problem.low - change, problem.high - change
            step = _REACH * budget.epsilon / _STEPS
            move = balls.steepest(gradient, budget.norm, step, low, high)
            inputs = problem.allowed(change + move)
        evaded.append(done.cpu().numpy())
    return np.concatenate(evaded)


def _above(suspicion: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of inputs more suspicious than each cut; NaN without inputs."""
    if not len(suspicion):
        return np.full(len(cuts), np.nan)
    shares: NDArray[np.float64] = (suspicion[None] > cuts[:, None]).mean(axis=1)
    return shares


def _table(
    measures: Mapping[str, Measure],
    alarms: NDArray[np.float64],
    hits: NDArray[np.float64],
    confidence: float,
) -> Table:
    rows: list[tuple[str, float, float | None, float | None]] = []
    for name, measure in measures.items():
        interval = measure.interval(confidence)
        rows.append((name, measure.value, interval.low, interval.high))
    for rate in _RATES:
        best = hits[alarms <= rate].max()
        rows.append((f"attacks found at {rate:.0%} false alarms", float(best), None, None))
    return Table(
        title="The evasion detector, on the test split and on what the gate's attacks made of it",
        columns=("figure", "measured", "low", "high"),
        rows=rows,
    )


def _roc(
    alarms: NDArray[np.float64], hits: NDArray[np.float64], measures: Mapping[str, Measure]
) -> bytes:
    """A PNG of the share of attacks found against the share of clean inputs flagged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.step(alarms, hits, where="post", color=palette.MEASURED, label="evasion detector")
    axes.plot([0, 1], [0, 1], color=palette.BESIDE, linestyle=":", label="guessing")
    axes.plot(
        measures["evasion_false_positive_rate"].value,
        measures["evasion_recall"].value,
        marker="o",
        linestyle="none",
        color="black",
        label="as it is served",
    )
    axes.set(
        xlabel="clean inputs flagged",
        ylabel="attacks found",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        title=f"AUC {measures['evasion_auc'].value:.3f}",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return png(figure)
