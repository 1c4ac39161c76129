"""Rounds of a remedy: declared, offered, admitted; splits drawn anew."""

import numpy as np
import pytest

from touchstone.artifacts.store import Store, digest_bytes
from touchstone.contract.model_repo import load
from touchstone.contract.remedy import Round, admit, judged_by, offered, read, remedied, written
from touchstone.errors import ManifestError, PlatformError, UsageError
from touchstone.training.dataset import split
from touchstone.training.spec import Description, RawData

BEGIN = """\
apiVersion: touchstone.dev/v1
kind: ModelPipeline
metadata: {name: m}
spec:
  entrypoint: model.py:M
  data: {uri: generate}
  train: {defences: [{method: label_smoothing}]}
  gates:
    quality: {checks: [{metric: accuracy, atLeast: 0.8}]}
    fairness:
      protected: sex
      privileged: [man]
      favorable: hired
      checks: [{metric: statistical_parity_difference, within: [-0.1, 0.1]}]
    robustness: {epsilon: 0.03, checks: [{metric: robust_accuracy, atLeast: 0.3}]}
    confidence: 0.9
"""
BOTH = "  remedy: {fairness: reweighing, robustness: {method: trades, options: {beta: 3}}, "
BOTH += "maxRounds: 2}"
FAIR, ROBUST = {"fairness": "reweighing"}, {"robustness": "trades"}
SOURCE = digest_bytes(b"source")


def spec(tmp_path, remedy=BOTH):
    file = tmp_path / "touchstone.yaml"
    file.write_text(BEGIN + remedy + "\n")
    return load(file).spec


def test_a_round_trains_with_the_remedies_of_its_gates_and_leaves_the_rest_as_declared(tmp_path):
    declared = spec(tmp_path)
    assert remedied(declared, []) == declared
    fair = remedied(declared, FAIR)
    assert (fair.mitigation.method, fair.mitigation.privileged) == ("reweighing", ("man",))
    assert [defence.method for defence in fair.defences] == ["label_smoothing"]
    both = remedied(declared, {**FAIR, **ROBUST})
    assert [defence.method for defence in both.defences] == ["label_smoothing", "trades"]
    trades = both.defences[1]
    # What touchstone.yaml says, and the rest as the gate attacks.
    assert (trades.option("beta"), trades.option("epsilon")) == (3, 0.03)
    assert declared.mitigation is None


@pytest.mark.parametrize(
    ("remedy", "models"),
    [
        ("", 1),
        ("  remedy: {fairness: reweighing}", 2),
        ("  remedy: {robustness: trades, maxRounds: 3}", 4),
        (BOTH, 7),
    ],
)
def test_all_models_that_may_be_judged_share_the_chance_of_error(tmp_path, remedy, models):
    found = spec(tmp_path, remedy)
    assert judged_by(found).confidence == pytest.approx(1 - 0.1 / models)
    assert found.gates.confidence == 0.9


@pytest.mark.parametrize(
    ("remedy", "expected"),
    [
        ("  remedy: {}", "expected a remedy for at least one gate"),
        ("  remedy: {maxRounds: 1}", "expected a remedy for at least one gate"),
        ("  remedy: {fairness: prayer}", "got the method 'prayer', expected one of reweighing"),
        ("  remedy: {robustness: reweighing}", "got the method 'reweighing', expected one of"),
        ("  remedy: {quality: reweighing}", "got unknown key spec.remedy.quality"),
        ("  remedy: {fairness: reweighing, maxRounds: 0}", "greater than or equal to 1"),
        ("  remedy: {fairness: reweighing, maxRounds: 6}", "less than or equal to 5"),
        ("  remedy: {fairness: {method: reweighing, options: {a: 1}}}", "got the option 'a'"),
    ],
)
def test_a_remedy_that_is_none_is_refused_with_its_place(tmp_path, remedy, expected):
    with pytest.raises(ManifestError, match="touchstone.yaml:17:") as caught:
        spec(tmp_path, remedy)
    assert expected in str(caught.value)


def test_a_remedy_for_a_gate_that_judges_nothing_is_refused(tmp_path):
    file = tmp_path / "touchstone.yaml"
    robustness = next(line for line in BEGIN.splitlines() if "robustness" in line)
    file.write_text(BEGIN.replace(robustness + "\n", "") + BOTH + "\n")
    with pytest.raises(ManifestError, match=r"expected spec\.gates\.robustness beside it"):
        load(file)


def test_a_remedy_that_training_applies_anyway_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="got the remedy label_smoothing, expected another"):
        spec(tmp_path, "  remedy: {robustness: label_smoothing}")


@pytest.mark.parametrize(
    ("current", "refused", "expected"),
    [
        (Round(), set(), {}),
        (Round(), {"fairness"}, FAIR),
        (Round(), {"fairness", "robustness"}, {**FAIR, **ROBUST}),
        (Round(), {"fairness", "quality"}, {}),  # the next model could not pass either
        (Round(number=1, remedies=FAIR), {"robustness"}, {**FAIR, **ROBUST}),
        (Round(number=1, remedies=FAIR), {"fairness"}, FAIR),
        (Round(number=2, remedies=FAIR), {"fairness"}, {}),
    ],
)
def test_what_a_verdict_offers(tmp_path, current, refused, expected):
    assert offered(spec(tmp_path), current, refused) == expected
    assert offered(spec(tmp_path, ""), current, refused) == {}


@pytest.mark.parametrize("remedies", [{}, FAIR, {**ROBUST, **FAIR}])
def test_remedies_travel_as_one_param(remedies):
    assert read(written(remedies)) == remedies


@pytest.mark.parametrize(
    "text", ["fairness", "=", "fairness=", "=x", "a=b,", "b=1,a=2", "a=1,a=1", " "]
)
def test_a_param_that_names_no_remedies_is_refused(text):
    with pytest.raises(UsageError, match="expected such as fairness=reweighing"):
        read(text)


def verdict(store, **changes):
    document = {
        "kind": "Verdict",
        "passed": False,
        "source": SOURCE,
        "round": 0,
        "offered": FAIR,
        "run": "model-1",
        "checks": [],
    }
    return store.put_json({**document, **changes})


def due(tmp_path, store, previous, *, number=1, remedy="fairness=reweighing", declared=BOTH):
    return admit(
        spec(tmp_path, declared),
        store,
        source=SOURCE,
        number=number,
        remedy=remedy,
        previous=previous,
    )


def test_the_round_that_a_verdict_offered_is_due_and_says_what_was_before(tmp_path):
    store = Store(tmp_path / "store")
    digest = verdict(store)
    document = due(tmp_path, store, digest).to_json()
    assert document["previous"] == {
        "verdict": digest,
        "run": "model-1",
        "remedy": "reweighing",
        "checks": [],
    }
    first = due(tmp_path, store, "", number=0, remedy="")
    assert first.to_json() == {"round": 0, "remedies": {}}


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({"passed": True}, {}, "says passed=True, expected False"),
        ({"source": digest_bytes(b"other")}, {}, "says source="),
        ({"round": 1}, {}, "says round=1, expected 0"),
        ({"round": 0}, {"number": 2}, "says round=0, expected 1"),
        ({}, {"remedy": "fairness=prejudice_remover"}, "says offered="),
        ({"offered": {}}, {"remedy": ""}, "says passed=False"),
        ({}, {"number": 3}, "got round 3, expected at most 2"),
        ({}, {"number": -1}, "got round -1, expected at most 2"),
        ({}, {"declared": ""}, "got round 1, expected at most 0"),
        ({}, {"number": 0}, "got a remedy for round 0"),
        ({"kind": "Release"}, {}, "as the verdict before, which is none"),
    ],
)
def test_a_round_that_no_verdict_offered_is_refused(tmp_path, changes, asked, expected):
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError) as caught:
        due(tmp_path, store, verdict(store, **changes), **asked)
    assert expected in str(caught.value)


def test_what_is_no_verdict_in_the_store_is_refused(tmp_path):
    store = Store(tmp_path / "store")
    for content in (b"\x00\xff", b"[]", b'"text"'):
        with pytest.raises(UsageError, match="which is none"):
            due(tmp_path, store, store.put_bytes(content))
    with pytest.raises(PlatformError, match="is not in"):
        due(tmp_path, store, digest_bytes(b"never stored"))


def raw(**more):
    count = 400
    description = Description(
        task="classification",
        classes=("no", "yes"),
        inputs={"shape": [1], "low": 0.0, "high": 1.0},
        protected={},
        seed=5,
    )
    inputs = np.linspace(0, 1, count, dtype=np.float32).reshape(-1, 1)
    labels = np.arange(count, dtype=np.int64) % 2
    return RawData(description=description, arrays={"inputs": inputs, "labels": labels, **more})


def rows(dataset, name):
    return set(dataset.splits[name]["inputs"][:, 0])


def test_every_round_draws_splits_of_its_own_and_the_same_ones_again():
    first, second, again = (split(raw(), draw=draw) for draw in (0, 1, 1))
    for name in ("train", "validation", "test"):
        assert rows(first, name) != rows(second, name) == rows(again, name)
        assert len(rows(first, name)) == len(rows(second, name))
    assert not rows(second, "test") & (rows(second, "train") | rows(second, "validation"))


def test_what_is_held_out_stays_the_test_split_in_every_round():
    held = (np.arange(400) % 4 == 0).astype(np.int64)
    first, second = (split(raw(held_out=held), draw=draw) for draw in (0, 1))
    assert rows(first, "test") == rows(second, "test")
    assert rows(first, "validation") != rows(second, "validation")
