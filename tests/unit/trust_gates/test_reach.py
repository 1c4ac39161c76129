"""What an attacker may change is what the dataset and the policy declare, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gate_models import required

from trust_gates.reach import Reach
from trust_gates.robustness.policy import Robustness
from trust_gates.target import Target

FEATURES = ["age", "sex", "dose"]


def reach(**more):
    return Reach.of_features(FEATURES, low=0.0, high=1.0, **more)


def test_immutable_features_stay_and_bounds_narrow_the_rest():
    found = reach(immutable=["sex"], bounds={"dose": (0.2, 0.6)})
    inputs = np.array([[0.5, 1.0, 0.3]], dtype=np.float32)
    lower, upper = found.around(inputs)
    assert lower.tolist() == pytest.approx(np.array([[0.0, 1.0, 0.2]]))
    assert upper.tolist() == pytest.approx(np.array([[1.0, 1.0, 0.6]]))


def test_an_input_beyond_the_bounds_may_stay_where_it_is():
    lower, upper = reach(bounds={"dose": (0.2, 0.6)}).around(
        np.array([[0.5, 0.5, 0.9], [0.5, 0.5, 0.1]], dtype=np.float32)
    )
    assert upper[0, 2] == pytest.approx(0.9)
    assert lower[1, 2] == pytest.approx(0.1)


def test_bounds_never_widen_the_range_of_all_inputs():
    found = reach(bounds={"dose": (-5.0, 5.0)})
    assert (found.low[2], found.high[2]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"immutable": ["weight"]}, r"got the features \['weight'\], expected some of"),
        ({"bounds": {"weight": (0, 1)}}, r"got the features \['weight'\]"),
        ({"bounds": {"dose": (0.6, 0.2)}}, "expected low <= high"),
        ({"bounds": {"dose": (float("nan"), 0.2)}}, "expected low <= high"),
        ({"bounds": {"dose": (5, 6)}}, r"reach into the range of the inputs, \[0, 1\]"),
        ({"immutable": FEATURES}, "only immutable features"),
    ],
)
def test_what_cannot_be_declared_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        reach(**more)


DESCRIBED = {"low": 0.0, "high": 1.0, "features": FEATURES}


def limited(described, **more):
    """What is left to an attacker of a dataset by a policy with `more`."""
    target = Target(
        module=torch.nn.Identity(),
        predict=lambda x: x,
        low=0.0,
        high=1.0,
        reach=Reach.described(described),
    )
    features = described.get("features", ())
    return (
        Robustness(checks=[required("robust_accuracy", low=0.01)], epsilon=0.1, **more)
        .limit(target, features)
        .reach
    )


def test_the_policy_adds_to_what_the_dataset_says_of_its_features():
    described = DESCRIBED | {"categorical": ["sex"], "bounds": {"dose": [0.0, 0.9]}}
    found = limited(described, immutable=["age"], bounds={"dose": (0.2, 1.0)})
    assert found.immutable.tolist() == [True, True, False]
    assert (found.low[2], found.high[2]) == pytest.approx((0.2, 0.9))
    assert limited(described).immutable.tolist() == [False, True, False]


def test_where_nothing_is_declared_an_attacker_may_change_everything():
    assert limited(DESCRIBED) is None


def test_what_dataset_and_policy_leave_together_must_be_something():
    with pytest.raises(ValueError, match="only immutable features"):
        limited(DESCRIBED | {"immutable": ["age", "sex"]}, immutable=["dose"])


def test_features_of_images_cannot_be_immutable():
    with pytest.raises(ValueError, match=r"got the features \['age'\], expected some of \[\]"):
        limited({"low": 0.0, "high": 1.0, "kind": "image"}, immutable=["age"])
