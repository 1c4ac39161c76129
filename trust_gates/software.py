"""Which libraries measured this? Their versions, for the verdict and the bill of materials."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "touchstone",
    "adversarial-robustness-toolbox",
    "aif360",
    "kserve",
    "numpy",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
)
"""What a figure of a gate, or an answer of the served model, depends on."""


def versions() -> dict[str, str]:
    """Python's version, and that of each library that is installed, by name."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
