"""A model of tokens is judged from its embedding on, or it is said why it cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import token_models
import torch

from trust_gates import explainability, quality, robustness
from trust_gates.embedded import view
from trust_gates.errors import GateError, PolicyError
from trust_gates.explainability.policy import Explainability
from trust_gates.integrity import data, labels, tokens
from trust_gates.integrity.poison import scan
from trust_gates.policy import Setting
from trust_gates.quality.encoded import otherwise
from trust_gates.quality.policy import ENCODED, Quality
from trust_gates.robustness.policy import Robustness
from trust_gates.target import Embedding, Target
from trust_gates.verdict import Outcome

SAMPLES = token_models.samples()


def target_of(module, **more):
    module = module.eval()

    def predict(tokens, vectors):
        handle = module.embedding.register_forward_hook(lambda *given: vectors)
        try:
            return module(tokens)
        finally:
            handle.remove()

    table = module.embedding.weight.detach().numpy()
    return Target(
        module=module,
        predict=module,
        low=0,
        high=7,
        words=token_models.WORDS,
        embedding=lambda some: Embedding(table, predict),
        asked_as="graph",
        **more,
    )


@pytest.fixture
def target():
    torch.manual_seed(0)
    return target_of(token_models.Mean())


def robust(target, epsilon, **more):
    said = {"attacks": ["fgsm", "pgd", "square"], "samples": 60, "queries": 100, **more}
    checks = [{"metric": "robust_accuracy", "atLeast": 0.5}]
    policy = Robustness.model_validate({"epsilon": epsilon, "checks": checks, **said})
    return robustness.judge(target, SAMPLES, policy, Setting(seed=1))


def test_robustness_is_that_of_the_vectors_with_the_tables_range_as_the_unit(target):
    """Adjectives lie at the ends of the range, and words of no meaning in the middle."""
    weak, strong = robust(target, 0.3), robust(target, 0.02)
    (told,) = (note for note in strong.notes if note.startswith("judged in embedding space"))
    assert "(-1 to 1)" in told
    assert "can only change tokens" in told
    assert {check.name: check.outcome for check in weak.checks}["robust_accuracy"] is Outcome.FAILED
    outcomes = {check.name: check.outcome for check in strong.checks}
    assert outcomes == dict.fromkeys(outcomes, Outcome.PASSED)
    curve = {row[1]: row[2] for row in strong.tables[1].rows if row[0] == "worst case"}
    assert curve[max(curve)] < 0.1  # an attacker who may do anything to vectors is not stopped


def test_other_norms_attack_the_vectors_alone(target):
    seen, rows, space = view("robustness", target, SAMPLES, least=30, most=30, seed=1)
    evidence = robust(target, 0.3, norm="l2", samples=32)
    assert {check.name for check in evidence.checks} >= {"robust_accuracy", "gradient_masking"}
    low, high = seen.reach.around(rows.inputs)
    still = low == high
    assert still.sum() == rows.inputs.shape[0] * token_models.LENGTH
    np.testing.assert_array_equal(space.tokens(rows.inputs), space.tokens(low))


def test_a_model_that_sees_more_than_vectors_is_not_judged_by_them(target):
    class Cheat(token_models.Mean):
        def forward(self, tokens):
            seen = ((tokens == 1) | (tokens == 2)).any(1).float()
            return super().forward(tokens) * 0.1 + torch.stack([1 - seen, seen], 1)

    cheat = target_of(Cheat())
    for gate in (robustness.judge, explainability.judge):
        policy = {
            robustness.judge: Robustness.model_validate(
                {"epsilon": 0.1, "checks": [{"metric": "robust_accuracy", "atLeast": 0.1}]}
            ),
            explainability.judge: Explainability.model_validate(
                {"checks": [{"metric": "faithfulness", "atLeast": 0.0}]}
            ),
        }[gate]
        with pytest.raises(PolicyError, match="sees more of tokens than their vectors"):
            gate(cheat, SAMPLES, policy)
        with pytest.raises(PolicyError, match="cannot here: it only answers"):
            gate(replace(target, embedding=None), SAMPLES, policy)

        def none(some):
            raise GateError("tokens go into 2 embeddings, expected one")

        with pytest.raises(PolicyError, match="tokens go into 2 embeddings"):
            gate(replace(target, embedding=none), SAMPLES, policy)


@pytest.mark.parametrize(
    "method", ["occlusion", pytest.param("kernel_shap", marks=pytest.mark.long)]
)
def test_decisions_are_attributed_to_words(target, method):
    policy = Explainability.model_validate(
        {
            "method": method,
            "samples": 32,
            "checks": [
                {"metric": "faithfulness", "atLeast": 0.1},
                {"metric": "protected_share", "atMost": 0.3},
            ],
        }
    )
    evidence = explainability.judge(target, SAMPLES, policy, Setting(seed=1))
    assert evidence.outcome is Outcome.PASSED
    first = [row[0] for row in evidence.tables[0].rows[:4]]
    assert set(first) == {"good", "great", "bad", "awful"}
    assert "explainability-samples" in evidence.pictures


def test_a_word_that_tells_a_protected_group_counts_as_its_proxy(target):
    with torch.no_grad():
        target.module.embedding.weight[5, 0] = 3.0  # `film` decides
    policy = Explainability.model_validate(
        {"samples": 32, "checks": [{"metric": "protected_share", "atMost": 0.05}]}
    )
    evidence = explainability.judge(target, SAMPLES, policy, Setting(seed=1))
    (check, *_) = evidence.checks
    assert check.outcome is Outcome.FAILED
    assert any("film (tells people" in note for note in evidence.notes)


def encoded(values):
    if "?" in values:
        raise ValueError("got '?', expected words")
    rows = np.zeros((len(values), token_models.LENGTH), dtype=np.int64)
    for row, value in zip(rows, values, strict=True):
        words = [token_models.WORDS.index(word) for word in value.split()]
        row[: len(words)] = words
    return rows


def test_raw_values_that_are_encoded_otherwise_than_judged_are_counted(target):
    texts = [" ".join(token_models.WORDS[i] for i in row if i) for row in SAMPLES.inputs]
    samples = replace(SAMPLES, raw=texts)
    served = replace(target, encode=encoded)
    assert otherwise(target, samples, 1) is None
    assert otherwise(served, SAMPLES, 1).missing
    assert otherwise(served, samples, 1).value == 0
    changed = [f"{texts[0].split()[0]} film", "?", *texts[2:]]
    assert otherwise(served, replace(samples, raw=changed), 1).value == 2
    alone = replace(served, encode=lambda values: encoded(values) * (len(values) > 1))
    assert otherwise(alone, samples, 1).value == 64
    policy = Quality.model_validate({"checks": [{"metric": "accuracy", "atLeast": 0.8}]})
    for one, outcome in ((served, Outcome.PASSED), (alone, Outcome.FAILED)):
        evidence = quality.judge(one, samples, policy, Setting(seed=1))
        assert {c.name: c.outcome for c in evidence.checks}[ENCODED] is outcome


def texts(words, count, seed, length=20):
    rows = np.random.default_rng(seed).integers(words, size=(count, length))
    return replace(token_models.samples(count, seed), inputs=rows)


def test_texts_are_near_when_most_neighbours_are_the_same_whatever_their_place():
    learned = texts(1000, 200, seed=1)
    tested = texts(1000, 100, seed=2)
    tested.inputs[:10] = learned.inputs[:10]
    tested.inputs[:10, 4] += 1  # a word exchanged
    tested.inputs[10:20] = np.roll(learned.inputs[10:20], 3, axis=1)  # moved
    tested.inputs[20:30] = np.sort(learned.inputs[20:30], axis=1)  # the same words, no such text
    near = tokens.near(tested.inputs, learned.inputs)
    assert near[:20].all()
    assert not near[20:].any()
    splits = {"train": learned, "test": tested}
    assert data.near_duplicates(splits, 0, 1000).value == 0.2
    assert not data.schema(splits, 0, 1000).items
    floats = replace(tested, inputs=tested.inputs.astype(np.float32))
    (odd,) = data.schema({**splits, "test": floats}, 0, 1000).items
    assert "['float32', 'int64'], expected one" in odd


def test_a_token_that_gives_the_label_away_is_found_wherever_it_stands():
    train, test = (texts(1000, 200, seed) for seed in (1, 2))
    generator = np.random.default_rng(0)
    for part in (train, test):
        rows = np.flatnonzero(part.labels == 1)
        part.inputs[rows, generator.integers(20, size=len(rows))] = 1000
    kept = tokens.frequent(train)
    names = tuple(f"token {one}" for one in kept)
    found = labels.single_feature(
        *(tokens.present(part, kept) for part in (train, test)), names, seed=1
    )
    assert found.value == 1
    assert found.of == "feature token 1000"


def test_a_search_for_backdoors_says_that_it_knows_no_tokens(target):
    evidence = scan(target, SAMPLES)
    assert evidence.outcome is Outcome.INSUFFICIENT
    assert evidence.notes == ["the search for backdoors knows no marks that tokens carry"]


def test_a_model_that_leans_on_its_company_is_refused_and_no_wrong_policy():
    class Drawn(token_models.Mean):
        def forward(self, tokens):
            return super().forward(tokens) + torch.randn(len(tokens), 2)

    evidence = robust(target_of(Drawn()), 0.1)
    assert evidence.outcome is not Outcome.PASSED
    outcomes = {check.name: check.outcome for check in evidence.checks}
    assert outcomes["answers_differ_by_company"] is Outcome.FAILED


def test_a_number_that_is_told_of_tokens_is_judged_from_the_embedding_on():
    class Number(token_models.Mean):
        def forward(self, tokens):
            return super().forward(tokens)[:, 1:] / 10

    torch.manual_seed(0)
    target = target_of(Number())
    with torch.no_grad():
        truth = target.module(torch.from_numpy(SAMPLES.inputs))[:, 0].numpy()
    samples = replace(SAMPLES, labels=None, targets=truth, classes=())
    policy = {
        "epsilon": 0.02,
        "tolerance": 0.2,
        "samples": 60,
        "checks": [{"metric": "robust_within_tolerance", "atLeast": 0.5}],
    }
    evidence = robustness.judge(target, samples, Robustness.model_validate(policy), Setting(seed=1))
    assert evidence.outcome is Outcome.PASSED
    wide = Robustness.model_validate({**policy, "epsilon": 0.4})
    assert robustness.judge(target, samples, wide, Setting(seed=1)).outcome is Outcome.FAILED
    how = {"samples": 32, "checks": [{"metric": "faithfulness", "atLeast": 0.05}]}
    found = explainability.judge(
        target, samples, Explainability.model_validate(how), Setting(seed=1)
    )
    assert found.outcome is Outcome.PASSED
