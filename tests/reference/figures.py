"""docs/reference/figures.md: how far is each figure from an independent reference of it?

Each row is measured when the page is made, and again by `tests/contract/test_figures.py`. What is
written is a power of ten above it, so that the last digit of a processor changes no page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn import metrics as sklearn

from tests.contract import test_aif360_figures as aif360
from tests.support import gate_models as models
from trust_gates.explainability import methods, sanity
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.subject import of_samples
from trust_gates.fairness import counts, distortion, individual
from trust_gates.fairness import figures as fairness
from trust_gates.integrity import chance, data, labels, tensors
from trust_gates.quality import regression
from trust_gates.quality.champion import Discordant
from trust_gates.quality.classification import Answers
from trust_gates.robustness import ensemble, figures
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.figures.clever import Effort, scores
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import proportion

Pairs = Mapping[str, tuple[object, object]]
"""By figure: ours, and the reference's; numbers or arrays of them."""

_HEADER = """\
# Figures against their references

*Made by `make reference`, which measures each anew; do not edit by hand.*

Each figure is computed on the data of its row by Touchstone and by something that shares no code
with it. The difference is the largest of the row, rounded up to a power of ten (of a thousand
below a millionth); `relative` is by the reference's size. `tests/contract/test_figures.py` fails
where one exceeds its tolerance; the test that is named beside it holds the figure on other data.
"""
_LEAST = 1e-12
_NORMS = {"linf": 1, "l2": 2, "l1": np.inf}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Figures that one reference gives on one set of data."""

    gate: str
    reference: str
    data: str
    tolerance: float
    relative: bool = False
    test: str
    measure: Callable[[], Pairs]

    def differences(self) -> dict[str, float]:
        """The largest difference of each figure."""
        return {name: self._far(ours, theirs) for name, (ours, theirs) in self.measure().items()}

    def _far(self, ours: object, theirs: object) -> float:
        one, other = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
        far = np.abs(one - other)
        return float((far / np.maximum(np.abs(other), _LEAST) if self.relative else far).max())


def page() -> str:
    """The whole page."""
    return _HEADER + "".join(_parts())


def _parts() -> Iterator[str]:
    for gate in dict.fromkeys(one.gate for one in COMPARED):
        yield f"\n## {gate.capitalize()}\n\n"
        yield "| figure | reference | data | difference | tolerance | test |\n"
        yield "| --- | --- | --- | --- | --- | --- |\n"
        for one in COMPARED:
            if one.gate == gate:
                relative = " relative" if one.relative else ""
                for name, far in one.differences().items():
                    bound = _rounded(far, one.tolerance)
                    yield (
                        f"| `{name}` | {one.reference} | {one.data} | {bound}{relative} "
                        f"| {one.tolerance:g}{relative} | `{one.test}` |\n"
                    )


def _rounded(far: float, tolerance: float) -> str:
    """A bound that every machine keeps: the next power of ten, at most what is tolerated."""
    power = math.ceil(math.log10(max(far, _LEAST)) - 1e-9)
    if power < -6:
        power -= power % -3
    return f"≤ {min(10.0**power, tolerance):g}"


def _answers() -> tuple[Answers, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    truth = draw.integers(3, size=500)
    logits = 1.5 * draw.normal(size=(500, 3)) + np.eye(3)[truth]
    samples = Samples(inputs=np.zeros((500, 1), np.float32), labels=truth, classes=list("abc"))
    answers = Answers.of(logits, samples)
    return answers, truth, answers.probabilities


def _quality() -> Pairs:
    answers, truth, probabilities = _answers()
    ours = answers.figures(np.ones((1, len(truth))))
    told = probabilities.argmax(axis=1)
    one_hot = np.eye(3)[truth]
    theirs = {
        "balanced_accuracy": sklearn.balanced_accuracy_score(truth, told),
        "f1_macro": sklearn.f1_score(truth, told, average="macro"),
        "auc": sklearn.roc_auc_score(truth, probabilities, multi_class="ovr"),
        "log_loss": sklearn.log_loss(truth, probabilities),
        "brier": ((probabilities - one_hot) ** 2).sum(axis=1).mean(),
    }
    return {name: (ours[name], value) for name, value in theirs.items()}


def _numbers() -> Pairs:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=300)
    told = truth + draw.normal(size=300)
    samples = Samples(inputs=np.zeros((300, 1), np.float32), targets=truth, classes=())
    ours = regression.Answers.of(told[:, None], samples).figures(np.ones((1, 300)))
    theirs = {
        "r2": sklearn.r2_score,
        "explained_variance": sklearn.explained_variance_score,
        "mean_absolute_error": sklearn.mean_absolute_error,
        "root_mean_squared_error": sklearn.root_mean_squared_error,
        "median_absolute_error": sklearn.median_absolute_error,
        "mean_absolute_percentage_error": sklearn.mean_absolute_percentage_error,
    }
    return {name: (ours[name], figure(truth, told)) for name, figure in theirs.items()}


def _paired() -> Pairs:
    from scipy.stats import binomtest

    cases = [(1, 9), (4, 4), (12, 30)]
    ours = [Discordant(gained=g, lost=n, samples=100).mcnemar for g, n in cases]
    return {"mcnemar": (ours, [binomtest(g, g + n).pvalue for g, n in cases])}


def _intervals() -> Pairs:
    from scipy.stats import beta

    found = proportion(17, 60).interval(0.95)
    theirs = beta.ppf(0.025, 17, 44), beta.ppf(0.975, 18, 43)
    return {"interval of a share": ((found.low, found.high), theirs)}


def _fairness() -> Pairs:
    rows = aif360.decisions(0)
    metric = aif360.whole_frame(rows)
    columns = counts.collapse(rows, 4).observed()
    sides = (columns[:, side].sum(axis=1) for side in (aif360.LOW, aif360.HIGH))
    ours = {**fairness.pair(*sides, alpha=2), **fairness.whole(columns, alpha=2)}
    known = {name: value[0] for name, value in ours.items() if name != "balanced_accuracy"}
    return {name: (value, aif360.asked(metric, name)) for name, value in known.items()}


def _consistency() -> Pairs:
    from aif360.metrics import BinaryLabelDatasetMetric

    rows = aif360.decisions(2, count=1000)
    table = aif360.dataset(rows, rows.truth)
    ours = individual.consistency(table.features, rows.truth).mean()
    return {"consistency": (ours, BinaryLabelDatasetMetric(table).consistency()[0])}


def _distances() -> Pairs:
    from scipy.spatial import distance

    draw = np.random.default_rng(3)
    before = draw.normal(size=(200, 4))
    after = before + draw.normal(size=before.shape)
    ours = distortion.distances(before, after)
    theirs = {
        "euclidean": [distance.euclidean(a, b) for a, b in zip(before, after, strict=True)],
        "manhattan": [distance.cityblock(a, b) for a, b in zip(before, after, strict=True)],
    }
    return {f"average_{kind}_distance": (ours[kind], value) for kind, value in theirs.items()}


_WEIGHT = np.random.default_rng(5).normal(size=12)


def _scene(norm: str) -> tuple[figures.Scene, np.ndarray]:
    samples = models.linear_samples(_WEIGHT, count=80)
    victim = Victim.of(models.linear_target(_WEIGHT), samples)
    budget = Budget(norm=norm, epsilon=0.02)
    attacked = ensemble.attack(victim, samples, ("fgsm", "pgd"), budget)
    scene = figures.Scene(
        victim=victim, samples=samples, attacked=attacked, budget=budget, confidence=0.95
    )
    dual = np.linalg.norm(_WEIGHT, ord=_NORMS[norm])
    return scene, np.abs((samples.inputs - 0.5) @ _WEIGHT) / dual


def _robust() -> Pairs:
    found = {}
    for norm in _NORMS:
        scene, distances = _scene(norm)
        share = ensemble.ratio(scene.attacked.held, scene.attacked.total)
        found[f"robust_accuracy ({norm})"] = share, np.mean(distances > 0.02)
    return found


def _perturbation() -> Pairs:
    found = {}
    for norm in _NORMS:
        scene, distances = _scene(norm)
        (figure,) = figures.chosen(["minimal_perturbation"], norm)
        value = figure.measure(scene).measures["minimal_perturbation"].value
        found[f"minimal_perturbation ({norm})"] = value, np.median(distances)
    return found


def _sensitivity() -> Pairs:
    scene, distances = _scene("l2")
    (figure,) = figures.chosen(["loss_sensitivity"], "l2")
    slope = np.linalg.norm(_WEIGHT)
    doubt = 1 / (1 + np.exp(2 * distances * slope))
    value = figure.measure(scene).measures["loss_sensitivity"].value
    return {"loss_sensitivity": (value, (doubt * 2 * slope).mean())}


def _clever() -> Pairs:
    found = {}
    for norm in _NORMS:
        target, samples, distances = models.many_class_linear(norm, count=12)
        radius = float(np.quantile(distances, 0.7))
        effort = Effort(batches=10, size=8, pool=5)
        budget = Budget(norm=norm, epsilon=1.0)
        scored = scores(Victim.of(target, samples), samples, budget, radius=radius, effort=effort)
        found[f"clever ({norm})"] = scored.score.min(axis=1), np.minimum(distances, radius)
    return found


def _attributions() -> Pairs:
    weight = np.array([0.5, -1.0, 2.0, 0.0, 0.3, -0.7])
    samples = models.linear_samples(weight, 40, spread=0.4)
    subject = of_samples(models.linear_target(weight), samples, most=5, seed=0)
    sign = np.where(subject.labels == 1, 2, -2)[:, None]
    expected = sign * weight * (subject.inputs - subject.baseline)
    return {
        f"attribution by {name}": (
            methods.attribute(name, subject, Parts.of((6,)), seed=0),
            expected,
        )
        for name in ("integrated_gradients", "occlusion", "kernel_shap")
    }


def _ranks() -> Pairs:
    from scipy.stats import spearmanr

    left, right = np.random.default_rng(0).normal(size=(2, 3, 9))
    theirs = [spearmanr(a, b).statistic for a, b in zip(left, right, strict=True)]
    return {"stability, of one pair": (sanity.rank_correlation(left, right), theirs)}


def _noise() -> Pairs:
    from sklearn.datasets import load_digits

    inputs, truth = load_digits(return_X_y=True)
    draw = np.random.default_rng(0)
    wrong = draw.random(len(truth)) < 0.2
    given = (truth + wrong * draw.integers(1, 10, len(truth))) % 10
    samples = Samples(
        inputs=inputs.astype(np.float32), labels=given, classes=[str(n) for n in range(10)]
    )
    return {"label_noise": (labels.noise(samples, samples.inputs, 0).value, wrong.mean())}


def _single() -> Pairs:
    from sklearn.tree import DecisionTreeClassifier

    draw = np.random.default_rng(0)
    rows = draw.integers(0, 8, (600, 1)).astype(np.float32)
    truth = (draw.random(600) < rows[:, 0] / 8).astype(int)
    train, test = (
        Samples(inputs=rows[part], labels=truth[part], classes=["a", "b"])
        for part in (slice(0, 400), slice(400, 600))
    )
    tree = DecisionTreeClassifier(class_weight="balanced").fit(train.inputs, train.labels)
    theirs = sklearn.balanced_accuracy_score(test.labels, tree.predict(test.inputs))
    return {"single_feature_accuracy": (labels.single_feature(train, test, (), 0).value, theirs)}


def _chance() -> Pairs:
    """Of a row's copies, those in the test split count unless all of them are there."""
    from scipy.stats import hypergeom

    draw = np.random.default_rng(0)
    rows, truth = draw.integers(0, 9, (400, 2)).astype(float), draw.integers(0, 2, 400)
    test = draw.permutation(400) < 100
    copies = np.unique(rows, axis=0, return_counts=True)[1]
    theirs = sum(sum(k * hypergeom.pmf(k, 400, c, 100) for k in range(min(c, 101))) for c in copies)
    return {"doubles by chance": (chance.doubles(rows, test, truth).chance, theirs)}


def _duplicates() -> Pairs:
    draw = np.random.default_rng(0)
    rows = draw.random((400, 5)).astype(np.float32)
    rows[300:312] = rows[:12] + np.float32(1e-6)
    parts = {
        name: Samples(inputs=rows[part], labels=np.zeros(len(rows[part]), int), classes=["a"])
        for name, part in (("train", slice(0, 300)), ("test", slice(300, 400)))
    }
    return {"near_duplicate_rate": (data.near_duplicates(parts, 0.0, 1.0).value, 0.12)}


def _finite() -> Pairs:
    """Every value of each type of one byte or two, and whether it is finite."""
    from safetensors.torch import save

    types = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    ours, theirs = [], []
    for kind in types:
        bits = 8 * torch.empty(0, dtype=kind).element_size()
        raw = torch.arange(1 << bits, dtype=torch.int32)
        values = raw.to(torch.uint8 if bits == 8 else torch.uint16).view(kind)
        for value in values[:: 1 if bits == 8 else 97]:
            file = save({"w": value.reshape(1)})
            ours.append(not list(tensors.broken(file, tensors.header(file))))
            theirs.append(bool(value.float().isfinite()))
    return {"bad_weights": (ours, theirs)}


_LINEAR = "80 rows, linear model of 12 features"
COMPARED = (
    Compared(
        gate="quality",
        reference="scikit-learn",
        data="500 answers in 3 classes",
        tolerance=1e-9,
        test="test_a_classifiers_figures_are_scikit_learns",
        measure=_quality,
    ),
    Compared(
        gate="quality",
        reference="scikit-learn",
        data="300 numbers, without and with repeated rows",
        tolerance=1e-9,
        test="test_a_regressions_figures_are_scikit_learns",
        measure=_numbers,
    ),
    Compared(
        gate="quality",
        reference="SciPy's exact binomial test",
        data="three pairs of counts",
        tolerance=1e-9,
        test="test_mcnemars_test_is_exact",
        measure=_paired,
    ),
    Compared(
        gate="quality",
        reference="quantiles of SciPy's beta distribution",
        data="17 of 60",
        tolerance=1e-9,
        test="test_the_interval_of_a_proportion_is_clopper_pearsons",
        measure=_intervals,
    ),
    Compared(
        gate="fairness",
        reference="AIF360 on the whole frame",
        data="4016 decisions on 4 groups",
        tolerance=1e-9,
        test="test_every_group_figure_equals_that_of_aif360_on_the_whole_frame",
        measure=_fairness,
    ),
    Compared(
        gate="fairness",
        reference="AIF360",
        data="1016 rows of 3 features",
        tolerance=1e-9,
        test="test_consistency_equals_that_of_aif360_where_no_distances_tie",
        measure=_consistency,
    ),
    Compared(
        gate="fairness",
        reference="SciPy's distances",
        data="200 rows of 4 features",
        tolerance=1e-9,
        test="test_distances_of_a_repair_equal_those_of_aif360",
        measure=_distances,
    ),
    Compared(
        gate="robustness",
        reference="closed form: distance to the border",
        data=_LINEAR,
        tolerance=0.025,
        test="test_two_linear_classes_have_one_gradient_so_each_attack_alone_is_exact",
        measure=_robust,
    ),
    Compared(
        gate="robustness",
        reference="closed form: distance to the border",
        data=_LINEAR,
        tolerance=0.03,
        relative=True,
        test="test_the_minimal_perturbation_of_a_linear_model_is_its_distance_to_the_border",
        measure=_perturbation,
    ),
    Compared(
        gate="robustness",
        reference="closed form: gradient of the logistic loss",
        data=_LINEAR,
        tolerance=1e-4,
        relative=True,
        test="test_loss_sensitivity_is_the_closed_form_and_arts",
        measure=_sensitivity,
    ),
    Compared(
        gate="robustness",
        reference="closed form: distance to each border",
        data="12 rows, linear model of 5 classes",
        tolerance=1e-3,
        relative=True,
        test="test_clever_of_a_linear_model_is_the_distance_to_each_border",
        measure=_clever,
    ),
    Compared(
        gate="explainability",
        reference="closed form: weight times change",
        data="5 rows, linear model of 6 features",
        tolerance=2e-3,
        test="test_a_linear_models_attributions_are_its_weights_times_the_change",
        measure=_attributions,
    ),
    Compared(
        gate="explainability",
        reference="SciPy's spearmanr",
        data="3 pairs of 9 values",
        tolerance=1e-9,
        test="test_rank_correlation_is_spearmans_and_nothing_without_an_order",
        measure=_ranks,
    ),
    Compared(
        gate="integrity",
        reference="the share that was exchanged",
        data="scikit-learn's digits, a fifth of the labels exchanged",
        tolerance=0.05,
        test="test_label_noise_is_estimated",
        measure=_noise,
    ),
    Compared(
        gate="integrity",
        reference="scikit-learn's tree on the one feature",
        data="600 rows of one feature with 8 values",
        tolerance=1e-9,
        test="test_a_feature_that_is_the_label_under_another_name_is_refused",
        measure=_single,
    ),
    Compared(
        gate="integrity",
        reference="expectation by SciPy's hypergeometric distribution",
        data="400 rows of 81 kinds",
        tolerance=0.02,
        relative=True,
        test="test_a_sound_table_has_no_leak_and_no_near_duplicates",
        measure=_chance,
    ),
    Compared(
        gate="integrity",
        reference="the share that was planted",
        data="100 rows, 12 of them nearly copied",
        tolerance=1e-9,
        test="test_rows_that_differ_in_the_last_digit_are_near_duplicates",
        measure=_duplicates,
    ),
    Compared(
        gate="integrity",
        reference="PyTorch's isfinite",
        data="values of float16, bfloat16, float8 e4m3fn and e5m2",
        tolerance=0,
        test="test_values_that_are_no_number_are_found_in_every_type",
        measure=_finite,
    ),
)
"""Every comparison of the page."""
