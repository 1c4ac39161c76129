"""A network of tokens is asked from its embedding on, as a graph and in a model host alike."""

import textwrap
from pathlib import Path

import pytest
import token_models
import torch
from torch import nn

from touchstone.training import embedding, graph
from touchstone.training.export import export
from touchstone.training.load import load_spec
from touchstone.training.opened import open_model
from touchstone.training.spec import Description, ModelSpec
from trust_gates.errors import GateError


class Spec(ModelSpec):
    task = "classification"
    load_data = build = loss = None

    def predict(self, module, inputs):
        return module(inputs)


class Besides(token_models.Mean):
    """It has a way for tokens beside the embedding."""

    def __init__(self, more):
        super().__init__()
        self.more, self.second = more, nn.Embedding(len(token_models.WORDS), 2)

    def forward(self, tokens):
        return super().forward(tokens) + self.more(self, tokens)


WAYS = {
    "a second embedding": (lambda own, x: own.second(x).mean(1), "into 2 embeddings"),
    "one column for each token": (
        lambda own, x: (x.unsqueeze(2) == torch.arange(2)).float().sum(1),
        "besides, expected an embedding alone",
    ),
    "their numbers": (lambda own, x: x.float()[:, :2], "besides, expected an embedding alone"),
    "a question for each": (
        lambda own, x: torch.stack([(x == 1).sum(1), (x == 3).sum(1)], 1).float(),
        "whether tokens are 0, 1, 3, expected one such",
    ),
}


def written(folder, module):
    tokens = torch.from_numpy(token_models.samples(8).inputs)
    constants, why = graph.write(folder, Spec(), module.eval(), tokens)
    assert not why
    return graph.read(folder, {**module.state_dict(), **constants}), tokens


@pytest.mark.parametrize("make", [token_models.Mean, token_models.Attention])
def test_a_graph_answers_the_vectors_of_its_table_as_the_tokens(tmp_path, make):
    torch.manual_seed(0)
    network, tokens = written(tmp_path, module := make())
    table = network.embedding(tokens)
    assert torch.equal(table, module.embedding.weight)
    vectors = table[tokens].requires_grad_()
    answers = network.embedded(tokens, vectors)
    torch.testing.assert_close(answers, module(tokens))
    answers[:, 0].sum().backward()
    with embedding.replaced(module.embedding, again := table[tokens].requires_grad_()):
        module(tokens)[:, 0].sum().backward()
    torch.testing.assert_close(vectors.grad, again.grad)


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_that_sees_more_of_tokens_than_their_vectors_is_not_judged_by_them(tmp_path, way):
    more, said = WAYS[way]
    network, tokens = written(tmp_path, Besides(more))
    with pytest.raises(GateError, match=said):
        network.embedding(tokens)


def test_the_layer_that_tokens_go_into_is_found_or_named_by_the_spec():
    class Named(Spec):
        def embedding(self, module):
            return module.embedding

    tokens = torch.from_numpy(token_models.samples(2).inputs)
    module = token_models.Mean()
    assert embedding.find(Spec(), module, tokens) == ("embedding.weight", module.embedding)
    assert embedding.find(Spec(), nn.Embedding(8, 2), tokens)[0] == "weight"
    twice = Besides(WAYS["a second embedding"][0])
    with pytest.raises(ValueError, match="given to 2 embeddings in a prediction, expected one"):
        embedding.find(Spec(), twice, tokens)
    assert embedding.find(Named(), twice, tokens)[0] == "embedding.weight"
    with pytest.raises(ValueError, match="given to 0 embeddings"):
        embedding.find(Spec(), nn.Linear(6, 2), tokens.float())


def test_a_host_answers_the_vectors_of_its_table_as_the_tokens(tmp_path):
    (tmp_path / "source").mkdir()
    source = Path(token_models.__file__).read_text() + textwrap.dedent("""

        from touchstone.training import ModelSpec


        class Mine(ModelSpec):
            task = "classification"
            load_data = loss = None

            def build(self, parameters):
                return Recurrent()

            def predict(self, module, inputs):
                return module(inputs)
        """)
    (tmp_path / "source" / "model.py").write_text(source)
    spec = load_spec(tmp_path / "source", "model.py:Mine")
    tokens = torch.from_numpy(token_models.samples(8).inputs)
    module = spec.build({}).eval()
    export(
        tmp_path / "tree",
        module=module,
        spec=spec,
        sample=tokens,
        source=tmp_path / "source",
        entrypoint="model.py:Mine",
        parameters={},
        description=Description(
            task="classification",
            classes=("worse", "better"),
            inputs={"dtype": "int64", "shape": [6], "low": 0, "high": 7},
            protected={},
            seed=1,
        ),
        metrics={},
        seed=1,
    )
    opened = open_model(tmp_path / "tree")
    assert opened.asked_as.startswith("confined by ")
    torch.testing.assert_close(opened.spec.predict(opened.module, tokens), module(tokens).detach())
    table = opened.module.embedding(tokens)
    assert torch.equal(table, module.embedding.weight)
    vectors, again = (table[tokens].requires_grad_() for _ in range(2))
    answers = opened.module.embedded(tokens, vectors)
    torch.testing.assert_close(answers.detach(), module(tokens).detach())
    answers[:, 1].sum().backward()
    with embedding.replaced(module.embedding, again):
        module(tokens)[:, 1].sum().backward()
    torch.testing.assert_close(vectors.grad, again.grad)
