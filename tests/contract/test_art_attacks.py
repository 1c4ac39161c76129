"""What is wrong in ART, and why we go around it: a test fails here when ART has mended it."""

import numpy as np
import pytest
from art.attacks.evasion import CarliniLInfMethod, HopSkipJump, VirtualAdversarialMethod
from art.metrics import loss_sensitivity
from gate_models import linear_samples, linear_target

from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples


@pytest.fixture
def samples():
    return linear_samples(np.ones(12), count=12)


@pytest.fixture
def victim(samples):
    return Victim.of(linear_target(np.ones(12)), samples)


def test_arts_carlini_wagner_linf_still_does_nothing_to_values_at_the_ends_of_their_range():
    """Its change of variables has no slope there; native/carlini.py keeps off the very ends."""
    inputs = np.random.default_rng(0).integers(0, 2, size=(6, 13)).astype(np.float32)
    target = linear_target(np.ones(13))
    labels = target.logits(inputs).argmax(axis=1)
    samples = Samples(inputs=inputs, classes=["no", "yes"], labels=labels)
    victim = Victim.of(target, samples)
    moved = CarliniLInfMethod(victim.estimator, batch_size=6, verbose=False).generate(
        inputs.copy(), y=victim.truth(samples)
    )
    assert (moved == inputs).all()
    ours = attacks.run("cw", victim, samples, Budget(norm="linf", epsilon=0.4))
    assert victim.held(ours, samples).sum() == 0


def test_arts_hopskipjump_still_cannot_be_repeated(samples, victim):
    """It draws its start from the system's entropy; native/hopskipjump.py has a seed."""
    attack = HopSkipJump(
        victim.estimator, norm=2, max_iter=1, max_eval=20, init_eval=10, verbose=False
    )
    found = []
    for _ in range(2):
        with attacks.seeded(0):
            found.append(attack.generate(samples.inputs.copy()))
    assert (found[0] != found[1]).any()


def test_arts_virtual_adversarial_method_still_refuses_logits(samples, victim):
    """native/virtual.py follows gradients of the logits instead of differences of each value."""
    with pytest.raises(TypeError, match="probabilities"):
        VirtualAdversarialMethod(victim.estimator, verbose=False).generate(samples.inputs)


def test_arts_loss_sensitivity_still_shrinks_with_the_batch(samples, victim):
    """figures/sensitivity.py takes each sample's own loss."""
    truth = victim.truth(samples)
    whole = loss_sensitivity(victim.estimator, samples.inputs, truth)
    single = loss_sensitivity(victim.estimator, samples.inputs[:1], truth[:1])
    assert whole < single / 4
