"""The model of a repository without code: a small network for the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from touchstone.training.spec import Batch, Description, ModelSpec, Parameter

if TYPE_CHECKING:
    import torch

_MOST_WIDTH, _MOST_DEPTH = 4096, 32


class _Tabular(ModelSpec):
    def build(self, parameters: Mapping[str, Parameter]) -> torch.nn.Module:
        """Hyperparameters: `width` of each hidden layer (64), `depth`, how many there are (2), and
        `dropout` after each (0.1).

        Raises:
            ValueError: there is no network of that size.
        """
        import torch

        width, depth = int(parameters.get("width", 64)), int(parameters.get("depth", 2))
        dropout = float(parameters.get("dropout", 0.1))
        if not (0 < width <= _MOST_WIDTH and 0 <= depth <= _MOST_DEPTH and 0 <= dropout < 1):
            raise ValueError(
                f"got width {width}, depth {depth} and dropout {dropout}, expected 1 to"
                f" {_MOST_WIDTH}, 0 to {_MOST_DEPTH}, and from 0 to less than 1"
            )
        (size,) = self.described.inputs["shape"]
        layers: list[torch.nn.Module] = []
        for _ in range(depth):
            layers += [torch.nn.Linear(size, width), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
            size = width
        answers = len(self.described.classes) or 1
        return torch.nn.Sequential(*layers, torch.nn.Linear(size, answers))


class Classifier(_Tabular):
    """Tells one of several words, or one of a few whole numbers."""

    task = "classification"

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy."""
        from torch.nn import functional

        assert batch.labels is not None  # noqa: S101 (a classification's)
        return functional.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, K)."""
        logits: torch.Tensor = module(inputs)
        return logits


class Regressor(_Tabular):
    """Tells a number: the network's answer is in standard deviations from the label's mean."""

    task = "regression"

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean squared error, in squared standard deviations of the label."""
        from torch.nn import functional

        assert batch.targets is not None  # noqa: S101 (a regression's)
        mean, deviation = self._scale
        return functional.mse_loss(module(batch.inputs)[:, 0], (batch.targets - mean) / deviation)

    def predict(self, module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """(N,), in the label's own unit."""
        mean, deviation = self._scale
        answers: torch.Tensor = module(inputs)[:, 0] * deviation + mean
        return answers

    @property
    def _scale(self) -> tuple[float, float]:
        table = self.described.inputs["table"]
        return float(table["mean"]), float(table["deviation"])


def of(description: Description) -> ModelSpec:
    """The model for data so described."""
    found: ModelSpec = Regressor() if description.task == "regression" else Classifier()
    return found
