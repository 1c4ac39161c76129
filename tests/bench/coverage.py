"""How often is a verdict wrong, and what does it cost?

`python tests/bench/coverage.py` prints two tables. Exit code 1 where more verdicts are wrong than
declared.

Robustness: 200 models whose robust accuracy is known in closed form, judged with real attacks, by
the sequential verdict and by one on all samples. The models are linear, and their samples lie at
distances from the border that are drawn from a known normal distribution: a sample survives when
its distance exceeds epsilon.

Fairness: of each design, whose true figure lies just outside of the range that is required, 2000
data sets; how often it passes all the same, with a binomial bound on that; beside it the percentile
bootstrap, which these intervals replace. Then the same groups treated alike: how often that passes,
and how wide the interval is, by both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.stats import binomtest, norm

from trust_gates.fairness import figures
from trust_gates.fairness.bounds import Compared
from trust_gates.fairness.counts import FN, FP, TN, TP, Counts, Seen
from trust_gates.policy import Check, Setting
from trust_gates.proportions import effective
from trust_gates.robustness.measure import measure
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import decide, proportion
from trust_gates.target import Target
from trust_gates.verdict import Outcome

MODELS = 200
PLANNED = 400
LOW = 0.5
CONFIDENCE = 0.95
TRUTHS = (0.2, 0.35, 0.42, 0.46, 0.49, 0.51, 0.54, 0.58, 0.65, 0.8)
EPSILON = 0.05

DATA_SETS = 2000
PEER_DATA_SETS, PEER_RESAMPLES = 400, 500
SURE = 0.999
"""A design breaks its declared error where even this lower bound of its rate is above it."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class Design:
    """Two groups of fixed numbers of rows, unprivileged first, and what is required of them."""

    figure: str
    low: float
    high: float
    favorable: Pair
    """Rows of each group whose label is favorable."""
    unfavorable: Pair
    found: Pair
    """Share of the former that is favored, and of the latter:"""
    alarmed: Pair
    confidence: float = 0.95
    scenes: int = 0
    """Rows come in scenes of so many, favored all or none; 0 for rows by themselves."""
    scored: bool = False
    """Rows have scores with the mean `found`, which a Beta distribution of 4 in all skews."""


_EO, _SPD, _DI = "equal_opportunity_difference", "statistical_parity_difference", "disparate_impact"
_FPR, _ABS = "false_positive_rate_difference", "average_abs_odds_difference"
_HALF, _FEW = (100, 500), (100, 100)
DESIGNS = (
    Design(_EO, -0.1, 0.1, (30, 500), _HALF, (0.889, 0.99), (0.1, 0.1)),
    Design(_EO, -0.1, 0.1, (33, 500), _HALF, (0.889, 0.99), (0.1, 0.1)),
    Design(_EO, -0.1, 0.1, (36, 500), _HALF, (0.889, 0.99), (0.1, 0.1)),
    Design(_EO, -0.1, 0.1, (45, 500), _HALF, (0.889, 0.99), (0.1, 0.1)),
    Design(_EO, -0.1, 0.1, (30, 500), _HALF, (0.869, 0.97), (0.1, 0.1)),
    Design(_EO, -0.1, 0.1, (60, 100), _HALF, (0.899, 0.999), (0.1, 0.1)),
    Design(_EO, -0.1, 0.1, (30, 2000), _HALF, (0.889, 0.99), (0.1, 0.1), 0.9875),
    Design(_EO, -0.1, 0.1, (35, 2000), _HALF, (0.869, 0.97), (0.1, 0.1), 0.9875),
    Design(_EO, -0.1, 0.1, (100, 500), _HALF, (0.889, 0.99), (0.1, 0.1), 0.9975),
    Design(_EO, -0.05, 0.05, (60, 2000), _HALF, (0.939, 0.99), (0.1, 0.1)),
    Design(_EO, -0.2, 0.2, (300, 30), _HALF, (0.769, 0.97), (0.1, 0.1)),
    Design(_EO, -0.2, 0.2, (500, 30), _HALF, (0.789, 0.99), (0.1, 0.1), 0.9875),
    Design("false_negative_rate_difference", -1, 0.1, (30, 2000), _HALF, (0.889, 0.99), (0.1, 0.1)),
    Design(_FPR, -0.1, 0.1, _HALF, (30, 500), (0.9, 0.9), (0.102, 1e-3)),
    Design("false_discovery_rate_difference", -0.2, 0.2, _HALF, _HALF, (0.5, 0.9), (0.22, 0.1)),
    Design("error_rate_difference", -0.1, 0.1, (50, 250), (50, 250), (0.85, 0.95), (0.152, 0.05)),
    Design(_SPD, -0.1, 0.1, (15, 250), (15, 250), (0.101, 1e-4), (0.101, 1e-4)),
    Design(_SPD, -0.1, 0.1, (200, 500), (200, 500), (0.5, 0.601), (0.5, 0.601)),
    Design(_SPD, -0.05, 0.05, (50, 500), (50, 500), (0.94, 0.9901), (0.94, 0.9901)),
    Design(_DI, 0.8, 1.25, (150, 15), (150, 15), (0.775, 0.97), (0.775, 0.97)),
    Design(_DI, 0.8, 1.25, (50, 250), (50, 250), (0.399, 0.5), (0.399, 0.5)),
    Design(_DI, 0.8, 1.25, (2000, 2000), (2000, 2000), (0.0799, 0.1), (0.0799, 0.1)),
    Design(_DI, 0.8, 1.25, (30, 250), (30, 250), (0.759, 0.95), (0.759, 0.95), 0.9875),
    Design("false_positive_rate_ratio", 0, 1.25, _HALF, (300, 500), (0.9, 0.9), (0.376, 0.3)),
    Design("average_odds_difference", -0.1, 0.1, (60, 60), (60, 60), (0.79, 0.9), (0.01, 0.101)),
    Design("average_odds_difference", -0.1, 0.1, (30, 500), (30, 500), (0.889, 0.99), (0.01, 0.11)),
    Design("average_predictive_value_difference", -0.1, 0.1, _FEW, _FEW, (0.8, 0.8), (0.5, 0.05)),
    Design(_ABS, 0, 0.1, (60, 500), (60, 500), (0.889, 0.99), (0.101, 0.0)),
    Design("equalized_odds_difference", 0, 0.1, (45, 500), (45, 500), (0.889, 0.99), (0.05, 0.05)),
    Design(_EO, -0.1, 0.1, (120, 600), _HALF, (0.889, 0.99), (0.1, 0.1), scenes=3),
    Design(_EO, -0.1, 0.1, (200, 2000), _HALF, (0.889, 0.99), (0.1, 0.1), scenes=5),
    Design(_EO, -0.2, 0.2, (120, 120), _HALF, (0.6, 0.801), (0.1, 0.1), scenes=3),
    Design("generalized_true_positive_rate_difference", -0.1, 0.1, (30, 500), _HALF, (0.849, 0.95),
           (0.1, 0.1), scored=True),
    Design("generalized_true_positive_rate_difference", -0.1, 0.1, (60, 60), _HALF, (0.399, 0.5),
           (0.1, 0.1), scored=True),
)  # fmt: skip


def main() -> int:
    """Judge, print the tables, and say whether the declared error rates were kept."""
    kept = [_sequential_verdict(), _fairness(), _entropies()]
    return 0 if all(kept) else 1


def _fairness() -> bool:
    print(
        f"\n{DATA_SETS} data sets a design; wrong: passed though the true figure is outside; "
        "fair: passed where both groups are alike; in brackets by percentile bootstrap\n"
    )
    print(
        f"{'figure':<42}{'required':>14}{'rows':>11}{'true':>8}{'declared':>10}"
        f"{'wrong':>16}{'at least':>10}{'fair':>16}{'width':>16}"
    )
    kept = True
    for number, design in enumerate(DESIGNS):
        generator = np.random.default_rng(number)
        truth = float(_true(design))
        assert not design.low <= truth <= design.high, design
        wrong, peer, *_ = _passed(design, generator, alike=False)
        fair, peer_fair, width, peer_width = _passed(design, generator, alike=True)
        least = binomtest(round(wrong * DATA_SETS), DATA_SETS).proportion_ci(2 * SURE - 1).low
        declared = 1 - design.confidence
        kept &= least <= declared
        rows = [sum(pair) for pair in zip(design.favorable, design.unfavorable, strict=True)]
        of = {figures.RATES[rate].of for rate in figures.compared(design.figure)}
        if of == {(FN, TP)} or of == {(TN, FP)}:
            rows = list(design.favorable if of == {(FN, TP)} else design.unfavorable)
        print(
            f"{design.figure:<42}{f'[{design.low:g}, {design.high:g}]':>14}"
            f"{f'{rows[0]}/{rows[1]}':>11}{truth:8.3f}{declared:10.4f}"
            f"{f'{wrong:.4f} ({peer:.4f})':>16}{least:10.4f}"
            f"{f'{fair:.3f} ({peer_fair:.3f})':>16}{f'{width:.3f} ({peer_width:.3f})':>16}"
        )
    print(f"\ndeclared errors of fairness: {'kept' if kept else 'NOT KEPT'}")
    return bool(kept)


def _true(design: Design) -> np.ndarray:
    columns = [
        np.array([[u * (1 - a), u * a, f * (1 - t), f * t, u * a, f * t]])
        for f, u, t, a in zip(
            design.favorable, design.unfavorable, design.found, design.alarmed, strict=True
        )
    ]
    return figures.pair(*columns, alpha=2)[design.figure][0]


def _passed(
    design: Design, generator: np.random.Generator, *, alike: bool
) -> tuple[float, float, float, float]:
    """How often it passes, and how wide the interval is on average: ours, the bootstrap's."""
    found, alarmed = (
        (pair[1], pair[1]) if alike else pair for pair in (design.found, design.alarmed)
    )
    sides, drawn = [], []
    for side in (0, 1):
        cells, seen = _side(
            design, generator, design.favorable[side], design.unfavorable[side],
            found[side], alarmed[side],
        )  # fmt: skip
        sides.append(seen)
        drawn.append(cells)
    limits = Compared(*sides).limits(design.figure, design.confidence)
    tail = (1 - design.confidence) / 2
    peers = figures.pair(*(one.reshape(-1, 6) for one in drawn), alpha=2)[design.figure]
    bounds = np.nanquantile(peers.reshape(PEER_DATA_SETS, -1), [tail, 1 - tail], axis=1)
    ours = (limits.low >= design.low) & (limits.high <= design.high)
    theirs = (bounds[0] >= design.low) & (bounds[1] <= design.high)
    finite = np.isfinite(limits.high)
    return (
        float(ours.mean()),
        float(theirs.mean()),
        float((limits.high - limits.low)[finite].mean()),
        float((bounds[1] - bounds[0])[np.isfinite(bounds[1])].mean()),
    )


def _side(
    design: Design,
    generator: np.random.Generator,
    favorable: int,
    unfavorable: int,
    found: float,
    alarmed: float,
) -> tuple[np.ndarray, dict[str, Seen]]:
    """Of one group: counts (peer's data sets, resamples, 6) of the bootstrap, and its rates."""
    peer, shape = slice(PEER_DATA_SETS), (PEER_DATA_SETS, PEER_RESAMPLES)
    fp = generator.binomial(unfavorable, alarmed, size=DATA_SETS).astype(float)
    drawn_fp = generator.binomial(unfavorable, (fp / unfavorable)[peer, None], size=shape)
    cells = np.zeros((*shape, 6))
    cells[..., TN], cells[..., FP] = unfavorable - drawn_fp, drawn_fp
    units = favorable // (design.scenes or 1)
    if design.scored:
        values = generator.beta(4 * found, 4 * (1 - found), size=(DATA_SETS, favorable))
    else:
        values = (generator.random((DATA_SETS, units)) < found).astype(float)
    value = values.mean(axis=1)
    trials, of_units = np.full(DATA_SETS, float(favorable)), np.inf
    if design.scored or design.scenes:
        each, of_units = favorable / units, units
        squares = ((each * (values - value[:, None])) ** 2).sum(axis=1)
        trials = effective(value, squares, np.float64(favorable), np.float64(units))
        trials = trials if design.scored else np.minimum(trials, favorable)
    if design.scored:
        picked = generator.integers(units, size=(PEER_RESAMPLES, units))
        means = np.stack([one[picked].mean(axis=1) for one in values[peer]])
        cells[..., FN], cells[..., 5] = favorable, means * favorable
    else:
        hits = generator.binomial(units, value[peer, None], size=shape) * (favorable / units)
        cells[..., FN], cells[..., TP] = favorable - hits, hits
    tp = value * favorable
    counted = np.zeros((DATA_SETS, 6))
    counted[:, TN], counted[:, FP] = unfavorable - fp, fp
    counted[:, FN], counted[:, TP] = favorable - tp, tp
    seen = {}
    for name, rate in figures.RATES.items():
        of = counted[:, list(rate.of)].sum(axis=1)
        if rate.of == (FN, TP):  # what may be scored, or come in scenes
            mean = 1 - value if rate.turned or rate.hits == (FN,) else value
            seen[name] = Seen(value=mean, rows=of, trials=trials, units=of_units)
        elif rate.hits:
            with np.errstate(invalid="ignore"):
                share = counted[:, list(rate.hits)].sum(axis=1) / of
            seen[name] = Seen(value=share, rows=of, trials=of, units=np.inf)
    return cells, seen


def _entropies() -> bool:
    """What is no figure of rates: upper limits of inequality, by draws, on 2000 data sets each."""
    print(f"\n{'inequality, at most its true value':<58}{'rows':>6}{'declared':>10}{'wrong':>8}\n")
    kept = True
    share = np.array([[0.3, 0.05, 0.1, 0.55], [0.32, 0.08, 0.05, 0.55]]) / 2
    apart = np.array([[0.4, 0.1, 0.2, 0.3], [0.3, 0.05, 0.05, 0.6]]) / 2
    worst = {
        "theil_index": (share, partial(figures.whole, alpha=2)),
        "coefficient_of_variation": (share, partial(figures.whole, alpha=2)),
        "between_group_theil_index": (apart, _between),
        "differential_fairness_bias_amplification": (apart, partial(figures.whole, alpha=2)),
    }
    for name, (cells, figure) in worst.items():
        for rows, confidence in ((60, 0.95), (300, 0.9875)):
            generator = np.random.default_rng(rows)
            truth = float(figure(_columns(cells * 1e9)[None])[name][0])
            wrong = 0
            for start in range(0, DATA_SETS, 100):  # together: one call for a hundred is faster
                drawn = [_resampled(generator, cells, rows, start + n) for n in range(100)]
                draws = figure(np.concatenate(drawn))[name].reshape(100, -1)
                high = np.nanquantile(draws, (1 + confidence) / 2, axis=1)
                wrong += int((high < truth).sum())
            least = binomtest(wrong, DATA_SETS).proportion_ci(2 * SURE - 1).low
            kept &= least <= 1 - confidence
            print(f"{name:<58}{rows:6}{1 - confidence:10.4f}{wrong / DATA_SETS:8.4f}")
    print(f"\ndeclared errors of inequality: {'kept' if kept else 'NOT KEPT'}")
    return bool(kept)


def _resampled(
    generator: np.random.Generator, cells: np.ndarray, rows: int, seed: int
) -> np.ndarray:
    """Draws of what the counts of one data set could be too."""
    seen = generator.multinomial(rows, cells.ravel()).astype(float)
    there = np.flatnonzero(seen)
    nothing = np.full(len(there), np.nan)
    data = Counts(groups=2, atom=there, count=seen[there], score=nothing, table=None)
    return data.resampled(seed, 1000)


def _between(columns: np.ndarray) -> dict[str, np.ndarray]:
    return figures.pair(columns[:, 0], columns[:, 1], alpha=2)


def _columns(cells: np.ndarray) -> np.ndarray:
    return np.concatenate([cells, np.full((2, 2), np.nan)], axis=1)


def _sequential_verdict() -> bool:
    torch.set_num_threads(1)
    print(f"{MODELS} models, at most {PLANNED} samples each, required >= {LOW} at {CONFIDENCE}\n")
    print("truth   passed  failed  not decided  wrong  average samples  fixed size: wrong, decided")
    wrong_sequential = wrong_fixed = 0
    used = []
    for number, truth in enumerate(TRUTHS):
        rows = [_judged(truth, seed=number * 1000 + n) for n in range(MODELS // len(TRUTHS))]
        sequential = [(check.outcome, check.samples) for check, _ in rows]
        fixed = [check.outcome for _, check in rows]
        right = Outcome.PASSED if truth >= LOW else Outcome.FAILED
        counts = {o: sum(found is o for found, _ in sequential) for o in Outcome}
        wrong = sum(found not in (right, Outcome.INSUFFICIENT) for found, _ in sequential)
        wrong_of_fixed = sum(found not in (right, Outcome.INSUFFICIENT) for found in fixed)
        decided = sum(found is not Outcome.INSUFFICIENT for found in fixed)
        wrong_sequential, wrong_fixed = wrong_sequential + wrong, wrong_fixed + wrong_of_fixed
        used += [samples for _, samples in sequential]
        print(
            f"{truth:.2f} {counts[Outcome.PASSED]:9}{counts[Outcome.FAILED]:8}"
            f"{counts[Outcome.INSUFFICIENT]:13}{wrong:7}"
            f"{np.mean([samples for _, samples in sequential]):17.0f}{wrong_of_fixed:16}{decided:9}"
        )
    share = wrong_sequential / MODELS
    print(
        f"\nwrong: {wrong_sequential} of {MODELS} ({share:.3f}, declared {1 - CONFIDENCE:.3f}); "
        f"fixed size {wrong_fixed}\naverage samples: {np.mean(used):.0f} of {PLANNED}, "
        f"{PLANNED / np.mean(used):.1f}x fewer"
    )
    return share <= 1 - CONFIDENCE


def _judged(truth: float, seed: int):  # noqa: ANN202
    """The sequential check, and the one on all samples at once."""
    target, samples = _model(truth, seed)
    policy = Robustness(
        checks=[Check(metric="robust_accuracy", at_least=LOW)],
        epsilon=EPSILON,
        attacks=("fgsm", "square"),
        queries=1,  # one step is exact on a linear model: Square could find nothing more
        samples=PLANNED,
    )
    required, setting = policy.requirements, Setting(confidence=CONFIDENCE, seed=seed)
    victim = Victim.of(target, samples)
    (sequential,) = decide(
        "", measure(victim, samples, policy, setting).figures, required, confidence=CONFIDENCE
    )
    whole = measure(victim, samples, policy.model_copy(update={"sequential": False}), setting)
    hits = proportion(int(whole.attacked.held.sum()), PLANNED)
    (fixed,) = decide("", {"robust_accuracy": hits}, required, confidence=CONFIDENCE)
    return sequential, fixed


def _model(truth: float, seed: int, features: int = 8) -> tuple[Target, Samples]:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=features)
    spread = 0.02
    distances = EPSILON + spread * (generator.normal(size=PLANNED) + norm.ppf(truth))
    labels = generator.integers(0, 2, size=PLANNED)
    # Moved by d in every value along the weight's signs, the nearest wrong input is d away.
    signs = np.where(labels == 1, 1, -1)[:, None] * np.sign(weight)
    inputs = (0.5 + distances[:, None] * signs).astype(np.float32)
    module = torch.nn.Linear(features, 2)
    module.weight.data = torch.as_tensor(np.stack([-weight, weight]), dtype=torch.float32)
    module.bias.data = torch.as_tensor([weight.sum() / 2, -weight.sum() / 2], dtype=torch.float32)
    target = Target(module=module, predict=module, low=0.0, high=1.0)
    return target, Samples(inputs=inputs, classes=["no", "yes"], labels=labels)


if __name__ == "__main__":
    raise SystemExit(main())
