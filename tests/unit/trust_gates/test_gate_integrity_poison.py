"""A backdoor in the training data is found, clean data passes, a blind search clears nothing."""

import numpy as np
import pytest
import torch
from gate_models import linear_samples, spot_samples
from test_gate_integrity import SPLITS, failed, subject
from test_gate_integrity import model as model  # noqa: PLC0414 (a fixture)
from test_gate_integrity_data import digits

from trust_gates import integrity
from trust_gates.errors import GateError
from trust_gates.integrity import poison
from trust_gates.integrity.poison import inversion, occlusion, shared
from trust_gates.integrity.poison.marks import KINDS, Drawn, carried
from trust_gates.integrity.poison.plant import learned, plant, rounds
from trust_gates.integrity.poison.suspects import Suspects, signature
from trust_gates.integrity.policy import Integrity, Poisoning
from trust_gates.samples import Samples
from trust_gates.target import Target
from trust_gates.verdict import Outcome

INTO = 3


def square(inputs):
    """White, in the upper left corner: no calibration plants it."""
    marked = inputs.copy()
    marked[:, :, :2, :2] = 1
    return marked


def corners(inputs):
    """The four corner pixels, as far apart as pixels can be."""
    marked = inputs.copy()
    marked[:, :, ::7, ::7] = 1
    return marked


def poisoned(samples, count=60, seed=0, mark=square, into=INTO):
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(np.flatnonzero(samples.labels != into))[:count]
    inputs, truth = samples.inputs.copy(), samples.labels.copy()
    inputs[chosen] = mark(inputs[chosen])
    truth[chosen] = into
    return Samples(inputs=inputs, labels=truth, classes=samples.classes)


def trained(samples, seed=0):
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(512, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, len(samples.classes)),
    )
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    inputs, truth = torch.from_numpy(samples.inputs), torch.from_numpy(samples.labels)
    for _ in range(15):
        for part in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(inputs[part]), truth[part]).backward()
            optimizer.step()
    return Target(module=module, predict=module, low=0.0, high=1.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clean():
    samples = digits(900)
    return trained(samples), samples


def check(evidence, name="poisoned_samples"):
    (found,) = [check for check in evidence.checks if check.name == name]
    return found


def test_clean_digits_pass_and_the_report_says_how_well_was_looked(clean):
    evidence = poison.scan(*clean, Poisoning())
    assert evidence.outcome is Outcome.PASSED, [check.reason for check in evidence.checks]
    for kind in ("pixel", "corner", "spread"):
        assert check(evidence, f"planted_recall[{kind}]").measured >= 0.9
    assert evidence.figures["planted_false_positive_rate"] <= 0.02
    assert ("kinds of mark that must be found", "pixel, corner, spread") in evidence.asked
    assert not evidence.warnings
    detectors, turned, curves = evidence.tables
    assert [row[0] for row in turned.rows] == ["pixel", "corner", "spread"]
    assert [row[0] for row in detectors.rows] == list(poison.DETECTORS)
    best = max(row[-1] for row in detectors.rows)
    assert best > 0.95
    assert all(list(row[1:]) == sorted(row[1:]) for row in curves.rows)


@pytest.mark.long
def test_backdoored_digits_are_refused():
    samples = poisoned(digits(900))
    evidence = poison.scan(trained(samples), samples, Poisoning(marks=["corner"]))
    assert check(evidence).outcome is Outcome.FAILED
    assert 40 <= check(evidence).measured <= 70
    assert any("spread mark need not be found" in warning for warning in evidence.warnings)


def blend(inputs):
    pattern = np.random.default_rng(3).random((1, 1, 8, 8), dtype=np.float32)
    return 0.7 * inputs + 0.3 * pattern


@pytest.mark.parametrize("mark", [corners, blend])
def test_a_mark_is_found_wherever_on_the_input_it_lies(mark):
    """35 of 1200, a third of the class that they were given the label of."""
    clean = digits(1200)
    samples = poisoned(clean, 35, mark=mark, into=0)
    _, flagged = shared.Search(trained(samples), samples, seed=0).run()
    planted = samples.labels != clean.labels
    assert flagged[planted].mean() >= 0.9
    assert not flagged[~planted].any()


def test_a_kind_of_mark_that_is_not_found_is_named_and_clears_nothing(clean):
    """A search that sees small windows only is blind to what is spread."""
    local = Poisoning(detectors=["hidden_trigger"], marks=["spread"])
    evidence = poison.scan(*clean, local)
    recall = check(evidence, "planted_recall[spread]")
    assert recall.outcome is Outcome.INSUFFICIENT
    assert "a spread mark might not be found here" in recall.reason
    assert check(evidence).outcome is Outcome.INSUFFICIENT
    assert recall.reason in check(evidence).reason
    assert evidence.outcome is Outcome.INSUFFICIENT


def test_alarms_without_cause_clear_nothing(clean, monkeypatch):
    def everything(view):
        return Suspects(scores=np.ones(len(view.samples)), flagged=np.ones(len(view.samples), bool))

    monkeypatch.setitem(poison.DETECTORS, "hidden_trigger", everything)
    evidence = poison.scan(*clean, Poisoning(detectors=["hidden_trigger"], marks=["corner"]))
    alarms = check(evidence, "planted_false_positive_rate")
    assert alarms.outcome is Outcome.INSUFFICIENT
    assert "expected at most 5%" in alarms.reason


def test_a_detector_that_cannot_see_the_planted_backdoor_clears_nothing(clean):
    blind = Poisoning(detectors=["spectral_signatures"], marks=["corner"], recall=0.9)
    found = check(poison.scan(*clean, blind))
    assert found.outcome is Outcome.INSUFFICIENT
    assert "cannot clear it" in found.reason
    assert "expected at least 90%" in found.reason


def test_what_cannot_be_searched_clears_nothing(clean):
    target, samples = clean
    one = samples.take(np.flatnonzero(samples.labels == 1))
    for training, why in (
        (one, "two classes or more"),
        (spot_samples(60), "two classes or more"),
        (samples.take(np.arange(40)), "40 samples are too few, expected at least 50"),
    ):
        found = check(poison.scan(target, training, Poisoning()))
        assert found.outcome is Outcome.INSUFFICIENT
        assert why in found.reason


def test_a_model_that_cannot_learn_the_backdoor_clears_nothing():
    samples = linear_samples([1.0, 0.5, 0.2, 0.1])
    other = torch.tensor(np.bincount(samples.labels).argmin())
    layer = torch.nn.Linear(4, 2)

    def constant(inputs):
        return torch.nn.functional.one_hot(other, 2) + 0 * layer(inputs)

    stuck = Target(module=layer, predict=constant, low=0.0, high=1.0)
    found = check(poison.scan(stuck, samples, Poisoning()))
    assert found.outcome is Outcome.INSUFFICIENT
    assert "did not learn the planted backdoor (0% of 90%)" in found.reason


def one_corner(samples):
    return plant(samples, ["corner"], 0.0, 1.0, seed=[0], classes=1)


def test_the_model_is_its_old_self_after_the_calibration(clean):
    target, samples = clean
    before = target.logits(samples.inputs[:50])
    with learned(target, one_corner(samples), seed=0) as took:
        assert took["corner"] >= 0.9
        assert not np.array_equal(target.logits(samples.inputs[:50]), before)
    assert np.array_equal(target.logits(samples.inputs[:50]), before)


def test_the_model_is_its_old_self_after_an_error(clean):
    target, samples = clean
    before = target.logits(samples.inputs[:50])
    with pytest.raises(RuntimeError), learned(target, one_corner(samples), seed=0):
        raise RuntimeError
    assert np.array_equal(target.logits(samples.inputs[:50]), before)


def drawn(inputs, low=0.0, high=1.0):
    return Drawn(inputs=inputs, low=low, high=high, generator=np.random.default_rng(1))


@pytest.mark.parametrize(("kind", "count"), [("pixel", 1), ("spread", 4)])
@pytest.mark.parametrize("side", [8, 16])
def test_dots_lie_far_apart_where_inputs_do_not_have_them(kind, count, side):
    images = np.full((9, 3, side, side), 0.5, np.float32)
    images[:4, :, : side // 4], images[4:, :, : side // 4] = 0, 1
    changed = (KINDS[kind].draw(drawn(images))(images) != images)[0, 0]
    places = np.argwhere(changed)
    assert len(places) == count
    assert (places[:, 0] >= side // 4).all()
    quarters = {tuple(place) for place in (places >= side // 2).tolist()}
    assert len(quarters) == count


def test_a_corner_mark_is_a_small_square_of_checks_in_a_corner():
    images = np.full((2, 1, 32, 32), 0.5, np.float32)
    marked = KINDS["corner"].draw(drawn(images))(images)
    changed = np.argwhere((marked != images)[0, 0])
    assert len(changed) == 4 * 4
    assert {0, 31} & set(changed[:, 0].tolist())
    assert {0, 31} & set(changed[:, 1].tolist())
    assert sorted(set(marked[0, 0][tuple(changed.T)].tolist())) == [0.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_marks_keep_inputs_in_their_range_and_the_given_ones_as_they_are(kind):
    images = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32) * 4 - 2
    before = images.copy()
    marked = KINDS[kind].draw(drawn(images, -2.0, 2.0))(images)
    assert marked.dtype == np.float32
    assert (np.abs(marked) <= 2).all()
    assert (marked != images).any(axis=(1, 2, 3)).all()
    assert np.array_equal(images, before)


def test_rows_are_marked_with_values_that_their_features_have():
    table = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert carried(["pixel", "corner", "spread", "wave"], table) == ["pixel", "spread"]
    marked = KINDS["spread"].draw(drawn(table, -9.0, 9.0))(table)
    assert ((marked != table).any(axis=0)).sum() == 4
    assert (marked <= table.max(axis=0)).all()
    assert (marked >= table.min(axis=0)).all()


def test_what_carries_none_of_the_marks_is_not_cleared():
    samples = linear_samples([1.0, 0.5, 0.2, 0.1])
    layer = torch.nn.Linear(4, 2)
    target = Target(module=layer, predict=layer, low=0.0, high=1.0)
    found = check(poison.scan(target, samples, Poisoning(marks=["corner"])))
    assert found.outcome is Outcome.INSUFFICIENT
    assert "carry none of the marks corner" in found.reason


def test_planted_samples_are_of_other_classes():
    samples = digits(600)
    planted = plant(samples, ["pixel", "corner"], 0.0, 1.0, seed=[0])
    assert {door.kind for door in planted.doors} == {"pixel", "corner"}
    for door in planted.doors:
        assert (samples.labels[door.rows] != door.into).all()
        assert (planted.samples.labels[door.rows] == door.into).all()
        assert {planted.kinds[row] for row in door.rows} == {door.kind}
    assert planted.mask.sum() == sum(len(door.rows) for door in planted.doors)
    assert planted.mask.mean() <= 0.3
    assert np.array_equal(planted.samples.inputs[~planted.mask], samples.inputs[~planted.mask])
    assert np.array_equal(planted.samples.labels[~planted.mask], samples.labels[~planted.mask])
    with pytest.raises(ValueError, match="fewer than two classes"):
        one_corner(samples.take(np.flatnonzero(samples.labels == 1)))


@pytest.mark.parametrize(("count", "times"), [(60, 4), (200, 4), (300, 4), (700, 2), (1200, 1)])
def test_few_samples_are_planted_into_more_often(count, times):
    """So that few samples with a mark are seen among many without."""
    assert rounds(digits(count), 3) == times


def test_whitening_leaves_out_directions_that_the_samples_cannot_tell_apart():
    rows = np.random.default_rng(0).normal(size=(80, 200)).astype(np.float32)
    strengths = np.square(shared.whitened(rows, 1e-3)).sum(axis=1)
    assert strengths.max() < 80
    few = rows[:, :4] * np.array([100, 1, 10, 1e-9], np.float32)
    spread = shared.whitened(few, 1e-3).std(axis=0)
    np.testing.assert_allclose(spread, [1, 1, 1, 0], atol=0.01)


def test_a_hidden_window_adds_nothing_to_a_distance():
    samples = digits(60)
    shown = occlusion.shown(samples)
    for window, votes in list(zip(shown.windows, shown.votes, strict=True))[::10]:
        hidden = occlusion.hide(samples.inputs, window, np.zeros_like(samples.inputs[0]))
        flat = hidden.reshape(60, -1)
        away = ((flat[:, None] - flat[None]) ** 2).sum(axis=2)
        np.fill_diagonal(away, np.inf)
        nearest = samples.labels[np.argsort(away, axis=1)[:, :5]]
        assert (np.sort(nearest, axis=1) == np.sort(votes, axis=1)).all(axis=1).mean() > 0.95


def test_inversion_finds_the_class_with_a_short_way_in():
    class Door(torch.nn.Module):
        """Classes by brightness of a row each, and class 2 by one pixel."""

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(4.0))

        def forward(self, x):
            logits = x[:, 0].mean(dim=2)[:, :6] * self.scale
            return (
                logits + torch.nn.functional.one_hot(torch.tensor(2), 6) * x[:, 0, 7, 7, None] * 9
            )

    door = Door()
    images = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)
    images[:, :, 7, 7] = 0
    target = Target(module=door, predict=door, low=0.0, high=1.0)
    sizes = inversion.anomalies(inversion.mark_sizes(target, images, 6, seed=0))
    assert sizes.argmax() == 2
    assert sizes[2] > inversion.ANOMALOUS
    assert (np.delete(sizes, 2) < inversion.ANOMALOUS).all()


def test_marks_of_one_size_are_no_anomaly():
    assert (inversion.anomalies(np.array([10, 10.1, 10, 9.9, 10, 9.8])) < inversion.ANOMALOUS).all()
    assert (inversion.anomalies(np.full(5, np.inf)) == 0).all()


def test_inversion_that_is_too_dear_clears_nothing(clean, monkeypatch):
    monkeypatch.setattr(inversion, "LARGEST", 1000)
    found = check(
        poison.scan(*clean, Poisoning(detectors=["trigger_inversion"])), "trigger_classes"
    )
    assert found.outcome is Outcome.INSUFFICIENT
    assert "at most 1000" in found.reason


def test_an_unknown_detector_is_named(clean):
    with pytest.raises(ValueError, match="one of .'activation_clustering'.*strip"):
        poison.scan(*clean, Poisoning(detectors=["strip"]))


def test_the_gate_scans_only_what_is_sound_and_says_when_it_does_not(model, clean):
    def never():
        raise AssertionError("a model with a pickle in it must not be loaded")

    policy = Integrity(poisoning=Poisoning())
    (model / "weights.pkl").write_bytes(b"x")
    reasons = failed(integrity.judge(subject(model, target=never), policy))
    assert "is not run" in reasons["poisoned_samples"]
    (model / "weights.pkl").unlink()
    assert "no model to ask" in failed(integrity.judge(subject(model), policy))["poisoned_samples"]
    assert "not searched" in " ".join(integrity.judge(subject(model)).notes)


@pytest.mark.parametrize(
    ("detectors", "names"),
    [
        (["hidden_trigger"], {"poisoned_samples"}),
        (["trigger_inversion"], {"trigger_classes"}),
        (["shared_mark", "trigger_inversion"], {"poisoned_samples", "trigger_classes"}),
    ],
)
def test_a_search_leaves_the_checks_that_its_policy_requires(model, detectors, names):
    policy = Integrity(poisoning=Poisoning(detectors=detectors))
    checks = {check.name for check in integrity.judge(subject(model), policy).checks}
    assert checks & {"poisoned_samples", "trigger_classes"} == names
    assert policy.always.keys() <= checks


def test_activations_are_what_the_last_layer_is_given(clean):
    target, samples = clean
    with torch.no_grad():
        expected = target.module[:-1](torch.from_numpy(samples.inputs[:70])).numpy()
    np.testing.assert_allclose(target.activations(samples.inputs[:70]), expected, atol=1e-5)


def test_a_model_without_layers_has_no_activations():
    bare = torch.nn.Identity()
    with pytest.raises(GateError, match="no layer with weights"):
        Target(module=bare, predict=bare, low=0.0, high=1.0).activations(SPLITS["test"].inputs)


def test_the_spectral_signature_is_arts_of_centred_features():
    from art.defences.detector.poison import SpectralSignatureDefense

    features = np.random.default_rng(0).normal(1.0, 1.0, size=(40, 6))
    centred = features - features.mean(axis=0)
    art = SpectralSignatureDefense.spectral_signature_scores
    np.testing.assert_allclose(signature(centred), art(centred).ravel() ** 2, rtol=1e-6)
    # ART 1.20.1 projects the features uncentred, against step 5 of the paper's algorithm 1. When
    # this fails it is mended, and could be called instead.
    assert not np.allclose(art(features), art(centred))


def test_no_two_planted_marks_of_a_kind_are_the_same():
    """A model learns half of one mark that stands for two classes, and the search seems blind."""
    draw = np.random.default_rng(0)
    samples = Samples(
        inputs=draw.random((1200, 1, 8, 8)).astype(np.float32),
        classes=[str(number) for number in range(10)],
        labels=np.arange(1200) % 10,
    )
    for seed in range(20):
        planted = plant(samples, ["corner"], 0.0, 1.0, seed=[seed])
        marked = [door.mark(samples.inputs[:1]).tobytes() for door in planted.doors]
        assert len(set(marked)) == len(marked) > 1
