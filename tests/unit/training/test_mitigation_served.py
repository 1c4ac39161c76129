"""A mitigation travels with the model, asks who somebody is, and answers the same every time."""

import json

import numpy as np
import pytest
from mitigated import against, hiring

from touchstone.training.mitigation.apply import source_of
from touchstone.training.mitigation.served import (
    FILE,
    Prototypes,
    Quantiles,
    Served,
    Source,
    Step,
    Steps,
)

SEX = Source(protected="sex", values=("woman", "man"), privileged=("man",))
FAIR = Steps(
    unprivileged=Step(above=0.9, below=0.4, mixed=0.2, base=0.3), privileged=Step(threshold=0.7)
)
INPUTS = np.random.default_rng(0).random((500, 3), dtype=np.float32)
WHO = {"sex": ["woman", "man"] * 250}


def served(**changes):
    given = {"method": "equalized_odds", "source": SEX, "favorable": 1, "steps": FAIR, "seed": 3}
    return Served(**given | changes)


def network(inputs):
    return np.stack([1 - inputs[:, 0], inputs[:, 0]], axis=1).astype(np.float64)


QUANTILES = Quantiles(
    level=1.0, features=(0,), own=[[[0.0, 0.5, 1.0]], [[0.2, 0.6, 1.0]]], common=[[0.1, 0.5, 1.0]]
)
PROTOTYPES = Prototypes(points=[[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]], weights=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("repair", [None, QUANTILES, PROTOTYPES])
def test_what_is_written_answers_the_same_when_it_is_read(tmp_path, repair):
    rule = served(repair=repair)
    rule.write(tmp_path)
    again = Served.read(tmp_path)
    answers = rule.answer(network, INPUTS, WHO)
    assert np.array_equal(again.answer(network, INPUTS, WHO), answers)
    assert np.allclose(answers.sum(axis=1), 1)


def test_a_tree_without_a_mitigation_has_none(tmp_path):
    assert Served.read(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"repair": null}', '{"steps": {"privileged": 1}}'])
def test_a_malformed_mitigation_is_refused(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match="train the model again"):
        Served.read(tmp_path)


def test_an_unknown_repair_is_refused(tmp_path):
    served(repair=PROTOTYPES).write(tmp_path)
    document = json.loads((tmp_path / FILE).read_text())
    document["repair"]["kind"] = "magic"
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match="train the model again"):
        Served.read(tmp_path)


def test_an_input_gets_the_same_answer_alone_as_among_others():
    whole = served().answer(network, INPUTS, WHO)
    for index in (0, 1, 77):
        alone = served().answer(network, INPUTS[[index]], {"sex": [WHO["sex"][index]]})
        assert np.array_equal(alone[0], whole[index])


def test_another_seed_draws_anew():
    assert not np.array_equal(
        served().answer(network, INPUTS, WHO), served(seed=4).answer(network, INPUTS, WHO)
    )


def test_the_rule_favors_as_often_as_its_chances_say():
    scores = np.full(40_000, 0.6)
    luck = np.random.default_rng(1).random((40_000, 2))
    women = FAIR.apply(scores, np.zeros(40_000, bool), luck) > 0.5
    # A fifth forgets its score for 0.3, which is below the threshold: 0.8 x 0.9 + 0.2 x 0.4.
    assert women.mean() == pytest.approx(0.8, abs=0.01)
    men = FAIR.apply(scores, np.ones(40_000, bool), luck) > 0.5
    assert not men.any()  # 0.6 is below their threshold of 0.7


def test_a_score_on_the_border_is_still_decided():
    always, never = Step(above=1.0), Step(above=0.0)
    rule = Steps(unprivileged=always, privileged=never)
    scores, luck = np.array([0.5, 0.5, 1.0, 0.0]), np.full((4, 2), 0.5)
    shown = rule.apply(scores, np.array([False, True, True, False]), luck)
    assert (shown > 0.5).tolist() == [True, False, False, False]
    assert ((shown > 0) & (shown < 1)).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "send a second input named 'sex' with one of"),
        ({"sex": ["woman"] * 499}, "got 499 values of sex for 500 inputs"),
        ({"sex": ["woman"] * 499 + ["other"]}, r"with \['other'\]"),
    ],
)
def test_without_the_protected_attribute_there_is_no_answer(given, said):
    with pytest.raises(ValueError, match=said):
        served().answer(network, INPUTS, given)


def test_a_feature_that_holds_the_attribute_says_it_for_the_request():
    source = source_of_feature()
    rule = served(source=source)
    assert rule.needs == ""
    inputs = np.array([[0.4, 0, 0, 0.0], [0.4, 0, 0, 1.0]], np.float32)
    assert source.groups(inputs, {}).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"none of \[0.0, 1.0\]"):
        source.groups(np.array([[0.4, 0, 0, 0.5]], np.float32), {})


def source_of_feature():
    return source_of(against("equalized_odds"), hiring(count=100))


def test_an_attribute_that_is_no_feature_is_asked_of_the_request():
    source = source_of(against("equalized_odds"), hiring(count=100, feature=False))
    assert source.feature is None
    assert served(source=source).needs == "sex"
    assert served(source=source, steps=None, repair=PROTOTYPES).needs == ""


def test_a_repair_moves_each_group_to_the_common_scale():
    moved = QUANTILES.apply(np.array([[0.5, 7], [0.6, 7]], np.float32), np.array([0, 1]))
    assert moved[:, 0].tolist() == [0.5, 0.5]
    assert moved[:, 1].tolist() == [7, 7]  # not one of the repaired features


def test_a_constant_feature_of_a_group_has_the_middle_rank():
    flat = Quantiles(level=1.0, features=(0,), own=[[[2.0, 2.0, 2.0]]], common=[[0.0, 0.5, 1.0]])
    assert flat.apply(np.array([[2.0]], np.float32), np.array([0])).tolist() == [[0.5]]
