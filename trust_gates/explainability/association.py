"""Which features tell a protected attribute? Those, and not its name alone, stand for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DEPTH = 3
_FOLDS = 5


def of_features(
    inputs: NDArray[np.float32], groups: NDArray[np.str_], seed: int
) -> NDArray[np.float64]:
    """(F,): how well each feature alone tells the group, 0 as well as guessing, 1 always.

    The balanced accuracy of a shallow decision tree on held-out folds, rescaled: for two groups
    Youden's J. A tree also sees what is not monotone, where a correlation would see nothing.
    Groups with fewer samples than folds cannot be told from others and are left out.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    names, sizes = np.unique(groups, return_counts=True)
    known = np.isin(groups, names[sizes >= _FOLDS])
    count = int((sizes >= _FOLDS).sum())
    if count < 2:
        return np.zeros(inputs.shape[1])
    truth = groups[known]
    tree = DecisionTreeClassifier(max_depth=_DEPTH, class_weight="balanced", random_state=seed)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    scores = [
        balanced_accuracy_score(truth, cross_val_predict(tree, column[:, None], truth, cv=folds))
        for column in inputs[known].T
    ]
    return np.clip((np.array(scores) * count - 1) / (count - 1), 0, 1)
