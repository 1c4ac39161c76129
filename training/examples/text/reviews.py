"""Reviews of restaurants, written by a small grammar from a seed: nothing is downloaded."""

from __future__ import annotations

import numpy as np

ENGLISH = ("british", "american")
"""What the writer calls things by: the protected attribute."""

_THINGS = {
    "british": ("starter", "pudding", "bill", "aubergine", "chips", "queue", "waiter", "crisps"),
    "american": ("appetizer", "dessert", "check", "eggplant", "fries", "line", "server", "chips"),
}
_SHARED = ("soup", "pasta", "fish", "wine", "coffee", "place", "table", "music", "view", "menu")
_GOOD = (
    *("good", "great", "tasty", "fresh", "friendly", "lovely", "perfect", "warm", "quick"),
    *("pleasant", "generous", "excellent", "charming", "crisp", "delicious", "honest"),
)
_BAD = (
    *("bad", "awful", "stale", "cold", "rude", "bland", "slow", "greasy", "noisy", "dirty"),
    *("dreadful", "salty", "tiny", "soggy", "careless", "overpriced"),
)
_HOW = ("", "very", "really", "quite", "so", "rather")
_OPENINGS = ("", "we came on friday and", "my sister said that", "honestly", "as ever", "last week")
_JOINTS = ("and", "but", "while", "though")

UNKNOWN = "(unknown)"
VOCABULARY = (
    "",  # fills up what is shorter than the longest review
    UNKNOWN,
    *sorted(
        {"the", "was", "not"}.union(
            *_THINGS.values(), _SHARED, _GOOD, _BAD, _HOW, _JOINTS, *map(str.split, _OPENINGS)
        )
        - {""}
    ),
)
LONGEST = 32
"""Words of a review, at most."""


def write(count: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Reviews, whether each is a good one (count,), and the index of its writer's English."""
    generator = np.random.default_rng(seed)
    texts, good, english = [], [], []
    while len(texts) < count:
        writer = int(generator.integers(2))
        things = (*_THINGS[ENGLISH[writer]], *_SHARED)
        said = [_said(things, generator) for _ in range(int(generator.choice([2, 3, 3, 4])))]
        score = sum(one for _, one in said)
        if not score:  # as good as bad: nobody could say
            continue
        joints = [*generator.choice(_JOINTS, len(said) - 1), ""]
        clauses = [f"{text} {joint}" for (text, _), joint in zip(said, joints, strict=True)]
        texts.append(" ".join(f"{generator.choice(_OPENINGS)} {' '.join(clauses)}".split()))
        good.append(score > 0)
        english.append(writer)
    return texts, np.array(good, dtype=np.int64), np.array(english, dtype=np.int64)


def _said(things: tuple[str, ...], generator: np.random.Generator) -> tuple[str, int]:
    """One clause, and whether it is praise (1) or blame (-1)."""
    praise = bool(generator.integers(2))
    turned = generator.random() < 0.2
    word = generator.choice(_GOOD if praise != turned else _BAD)
    how = "not" if turned else generator.choice(_HOW)
    return f"the {generator.choice(things)} was {how} {word}", 1 if praise else -1
