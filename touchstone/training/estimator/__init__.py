"""A model that is no network: what its repository offers is an estimator of scikit-learn's kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from touchstone.training.spec import Batch, ModelSpec, Parameter

if TYPE_CHECKING:
    import torch


class EstimatorSpec(ModelSpec):
    """A model repository whose model is fitted, not trained by gradients.

    Its class says `task` and offers `load_data` and `build`; training fits the estimator, confined,
    with each row's weight where a mitigation gives it one, and exports it in skops' format.
    """

    @abstractmethod
    def build(self, parameters: Mapping[str, Parameter]) -> Any:
        """The estimator, not fitted: anything with scikit-learn's `fit` and `predict_proba` or
        `decision_function` (of a regression `predict`), such as a pipeline or a
        `lightgbm.LGBMClassifier`.

        It sees the training split's `inputs`, rows of (N, F) float32, and as labels the indices of
        the classes. Each of its `random_state`s that is None is set from the run's seed.
        """

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Not asked: nothing is trained by it."""
        raise NotImplementedError

    def predict(self, module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) or numbers (N, 1) of the fitted estimator; without a gradient."""
        answers: torch.Tensor = module(inputs)
        return answers
