"""Learning Fair Representations: inputs as mixtures of prototypes that both groups use alike.

Zemel, Wu, Swersky, Pitassi and Dwork, "Learning fair representations", ICML 2013. The objective
is theirs (reconstruction, prediction, parity), minimised here with exact gradients.
"""

from __future__ import annotations

import numpy as np

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import Cases, Prepared
from touchstone.training.mitigation.served import Prototypes


def prepare(cases: Cases, mitigation: Mitigation, seed: int) -> Prepared:
    """Learn prototypes, and replace each input by its mixture of them.

    Raises:
        ValueError: the inputs are no feature rows, or a group has none.
    """
    import torch
    from torch.nn import functional

    rows = torch.from_numpy(cases.rows("learning_fair_representations").astype(np.float32))
    truth = torch.from_numpy(cases.truth.astype(np.float32))
    privileged = torch.from_numpy(cases.privileged)
    if privileged.all() or not privileged.any():
        raise ValueError("one of the two groups has no training rows")
    noise = torch.Generator().manual_seed(seed)
    count = int(mitigation.option("prototypes"))
    start = torch.randint(len(rows), (count,), generator=noise)
    points = (rows[start] + 0.01 * torch.randn(count, rows.shape[1], generator=noise)).clone()
    scale, vote = torch.full((rows.shape[1],), 3.0), torch.zeros(count)
    learned = [points, scale, vote]
    for tensor in learned:
        tensor.requires_grad_()
    optimizer = torch.optim.Adam(learned, lr=0.02)
    for _ in range(int(mitigation.option("steps"))):
        weights = functional.softplus(scale)
        distance = ((rows[:, None] - points) ** 2 * weights).sum(dim=2)
        member = (-distance).softmax(dim=1)
        parity = (member[privileged].mean(dim=0) - member[~privileged].mean(dim=0)).abs().mean()
        said = (member @ vote.sigmoid()).clamp(1e-6, 1 - 1e-6)
        loss = (
            mitigation.option("reconstruction") * ((member @ points - rows) ** 2).mean()
            + mitigation.option("prediction") * functional.binary_cross_entropy(said, truth)
            + mitigation.option("parity") * parity
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    repair = Prototypes(
        points=points.detach().clamp(cases.low, cases.high).tolist(),
        weights=functional.softplus(scale).detach().tolist(),
    )
    return Prepared(
        inputs=repair.apply(cases.inputs, cases.group), labels=cases.labels, repair=repair
    )
