"""Label smoothing: the wanted answer is 1 - s sure, and the rest is shared by all classes.

Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7.
"""

from __future__ import annotations

import torch

from touchstone.training.defences.trained.method import Trained
from touchstone.training.spec import Batch


class LabelSmoothing(Trained):
    """Adds what smoothed targets add to a cross-entropy, whatever else the spec's loss holds."""

    classifiers_only = True

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The loss with smoothed targets.

        Cross-entropy is linear in the target, so the smoothed one is the plain one plus s times
        the difference between the uniform target's and the label's.
        """
        assert batch.labels is not None  # noqa: S101 (a classifier's batch)
        logs = self.logits(module, batch.inputs).log_softmax(dim=1)
        own = logs.gather(1, batch.labels[:, None])[:, 0]
        more = (own - logs.mean(dim=1)).mean()
        total: torch.Tensor = (
            self.inner.loss(module, batch) + self.defence.option("smoothing") * more
        )
        return total


wrap = LabelSmoothing
