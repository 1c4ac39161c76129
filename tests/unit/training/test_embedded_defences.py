"""Defences of a model of tokens move their vectors, and the table learns from that."""

import pytest
import token_models
import torch
from torch import nn

from touchstone.training.defences import Defence, wrap
from touchstone.training.spec import Batch, ModelSpec

INPUTS = {"shape": [token_models.LENGTH], "dtype": "int64", "low": 0, "high": 7}
SAMPLES = token_models.samples(64)
BATCH = Batch(inputs=torch.from_numpy(SAMPLES.inputs), labels=torch.from_numpy(SAMPLES.labels))


class Spec(ModelSpec):
    task = "classification"
    load_data = build = None

    def loss(self, module, batch):
        return nn.functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module, inputs):
        return module(inputs)


def losses(module, method, **options):
    spec = Spec()
    defence = Defence.model_validate({"method": method, "options": options})
    defended = wrap.training(spec, [defence], INPUTS)
    plain = spec.loss(module, BATCH)
    (own,) = torch.autograd.grad(plain, module.embedding.weight)
    trained = defended.loss(module, BATCH)
    (theirs,) = torch.autograd.grad(trained, module.embedding.weight)
    return float(plain.detach()), float(trained.detach()), own, theirs


@pytest.mark.parametrize("method", ["adversarial_training", "fast_adversarial_training", "trades"])
def test_vectors_are_attacked_within_epsilon_of_the_tables_range(method):
    torch.manual_seed(0)
    module = token_models.Mean()
    _, small, own, theirs = losses(module, method, epsilon=1e-6)
    assert small == pytest.approx(losses(module, method, epsilon=1e-6)[0], abs=1e-3)
    torch.testing.assert_close(own, theirs, atol=1e-2, rtol=0.1)
    plain, attacked, own, theirs = losses(module, method, epsilon=0.3)
    assert attacked > plain + 0.1
    assert not torch.allclose(own, theirs, atol=1e-3)
    # Every number of a row moves by 0.3 of the range, 2: the mean's first one by 0.6, times 20.
    if method == "fast_adversarial_training":
        logits = module(BATCH.inputs)
        margin = logits.gather(1, BATCH.labels[:, None])[:, 0]
        worst = torch.stack([margin - 12, 12 - margin], 1)
        bound = nn.functional.cross_entropy(worst, torch.zeros(len(worst), dtype=torch.int64))
        assert attacked <= float(bound) + 1e-3


def test_training_against_attacks_makes_vectors_harder_to_attack():
    spec, rest = Spec(), {}
    for defences in (
        (),
        (Defence.model_validate({"method": "adversarial_training", "options": {"epsilon": 0.05}}),),
    ):
        torch.manual_seed(1)
        module = token_models.Mean()
        torch.nn.init.normal_(module.embedding.weight)
        torch.nn.init.normal_(module.last.weight)
        defended = wrap.training(spec, defences, INPUTS)
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            defended.loss(module, BATCH).backward()
            optimizer.step()
        rest[bool(defences)] = losses(module, "adversarial_training", epsilon=0.05)[1]
    assert rest[True] < rest[False] / 2
