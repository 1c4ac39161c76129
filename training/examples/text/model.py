"""Is a review good or bad? An embedding of its words, a convolution, and their mean.

The reviews are written by a grammar (reviews.py). A request may send texts as they are: `encode`
makes of them what the network sees, here and where the model is served.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from reviews import ENGLISH, LONGEST, UNKNOWN, VOCABULARY, write
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from touchstone.training import Batch, Description, ModelSpec, Parameter, RawData

_INDEX = {word: index for index, word in enumerate(VOCABULARY)}
_REVIEWS = 3000


class Reviews(ModelSpec):
    """Classifies reviews as bad or good."""

    task = "classification"

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """`generate`: reviews of British and American writers."""
        if uri != "generate":
            raise ValueError(f"got data uri {uri!r}, expected generate")
        texts, good, english = write(_REVIEWS, seed)
        return RawData(
            description=Description(
                task=self.task,
                classes=("bad", "good"),
                inputs={
                    "kind": "tokens",
                    "dtype": "int64",
                    "shape": [LONGEST],
                    "low": 0,
                    "high": len(VOCABULARY) - 1,
                    "vocabulary": list(VOCABULARY),
                },
                protected={"english": ENGLISH},
                seed=seed,
            ),
            arrays={
                "inputs": self.encode(texts),
                "labels": good,
                "protected_english": english,
                "raw": np.array(texts),
            },
        )

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """The index of each word, in lower case; zeros behind the last."""
        inputs = np.zeros((len(values), LONGEST), dtype=np.int64)
        for row, text in zip(inputs, values, strict=True):
            if not isinstance(text, str):
                raise ValueError(f"got {text!r}, expected a text")
            words = re.findall(r"\w+", text.lower())
            if not 0 < len(words) <= LONGEST:
                raise ValueError(f"got {len(words)} words, expected 1 to {LONGEST}: {text[:40]!r}")
            row[: len(words)] = [_INDEX.get(word, _INDEX[UNKNOWN]) for word in words]
        return inputs

    def build(self, parameters: Mapping[str, Parameter]) -> nn.Module:
        """Hyperparameters: `size` of a word's vector, `width` of the convolution."""
        size = int(parameters.get("size", 16))
        return Network(size, int(parameters.get("width", 32)))

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return module(inputs)


class Network(nn.Module):
    """Words in threes, so that `not good` is none of its words alone, and the mean of all."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), size, padding_idx=0)
        self.threes = nn.Conv1d(size, width, 3, padding=1)
        self.answer = nn.Linear(width, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        there = (tokens != 0).unsqueeze(1).float()
        seen = F.relu(self.threes(self.embedding(tokens).transpose(1, 2))) * there
        return self.answer(seen.sum(dim=2) / there.sum(dim=2).clamp_min(1))
