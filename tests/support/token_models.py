"""Small models of tokens, with the data that they are right about."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from trust_gates.samples import Samples

WORDS = ("", "good", "great", "bad", "awful", "film", "the", "was")
LENGTH = 6


def samples(count=400, seed=0):
    """Rows of two to six words, filled up with zeros; their class is that of their only adjective.

    Two groups of people: one says `film` more often.
    """
    generator = np.random.default_rng(seed)
    tokens = np.zeros((count, LENGTH), dtype=np.int64)
    labels = generator.integers(2, size=count)
    people = generator.integers(2, size=count)
    for row, label, whose in zip(tokens, labels, people, strict=True):
        words = generator.choice([5, 6, 7] if whose else [6, 7], size=generator.integers(2, LENGTH))
        row[: len(words)] = words
        row[generator.integers(len(words) + 1)] = generator.choice([1, 2] if label else [3, 4])
    return Samples(
        inputs=tokens,
        labels=labels,
        classes=("worse", "better"),
        groups={"people": np.array(["those", "these"])[people]},
    )


class Mean(nn.Module):
    """The mean of the words' vectors, but of what fills up."""

    def __init__(self, size=4):
        super().__init__()
        self.embedding, self.last = nn.Embedding(len(WORDS), size), nn.Linear(size, 2)
        with torch.no_grad():  # as if it had been trained
            self.embedding.weight.uniform_(-0.1, 0.1)
            self.embedding.weight[:, 0] = torch.tensor([0, 1.0, 1, -1, -1, 0, 0, 0])
            self.last.weight.zero_()
            self.last.bias.zero_()
            self.last.weight[:, 0] = torch.tensor([-20.0, 20])

    def forward(self, tokens):
        there = (tokens != 0).unsqueeze(2).float()
        return self.last((self.embedding(tokens) * there).sum(1) / there.sum(1))


class Attention(nn.Module):
    """A transformer's encoder with places."""

    def __init__(self):
        super().__init__()
        self.embedding, self.places = nn.Embedding(len(WORDS), 8), nn.Embedding(LENGTH, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.last = nn.Linear(8, 2)

    def forward(self, tokens):
        vectors = self.embedding(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.last(self.layer(vectors, src_key_padding_mask=tokens == 0).mean(1))


class Recurrent(nn.Module):
    """A GRU, which no graph is written of."""

    def __init__(self):
        super().__init__()
        self.embedding, self.gru = nn.Embedding(len(WORDS), 4), nn.GRU(4, 6, batch_first=True)
        self.last = nn.Linear(6, 2)

    def forward(self, tokens):
        return self.last(self.gru(self.embedding(tokens))[0][:, -1])
