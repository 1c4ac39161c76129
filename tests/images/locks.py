"""Which packages does each image have, by version and hash?

pip resolves what an image's programs import (`dependency-groups` of pyproject.toml) with the
versions of requirements.lock; PyTorch and what it needs are a layer of their own, below others.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

from packaging.requirements import Requirement
from packaging.tags import Tag

from touchstone.contract.requirements import locked
from touchstone.driver import wheels
from touchstone.driver.lock import hashes, line, resolved
from touchstone.errors import PlatformError
from touchstone.home import SHIPPED

TORCH = {
    "cpu": "https://download.pytorch.org/whl/cpu",
    "cuda": wheels.PYPI,
}
"""Where each build of PyTorch comes from; of CUDA it is the one that PyPI has."""

LAYERS = {"build": (), "core": (), "serve": ("torch",), "toolkit": ("torch", "serve")}
"""Each group of packages, and what lies below it in an image."""

_HEAD = "# Written by `make locks`.\n"


def pins(name: str) -> dict[str, str]:
    """Version of each package in requirements-NAME.lock; an empty name is requirements.lock."""
    return locked((SHIPPED / f"requirements{name and '-'}{name}.lock").read_text(encoding="utf-8"))


def wanted(group: str) -> list[str]:
    """What pyproject.toml says that a group's programs import."""
    document = tomllib.loads((SHIPPED / "pyproject.toml").read_text(encoding="utf-8"))
    return list(document["dependency-groups"][f"image-{group}"])


def written() -> Iterator[tuple[str, str]]:
    """Each lock's name and text; an empty one where its index cannot be reached."""
    found: dict[str, Mapping[str, tuple[str, str]]] = {}
    versions = pins("")
    torch = [one for one in wanted("serve") if Requirement(one).name == "torch"]
    for variant, index in TORCH.items():
        try:
            found["torch"] = resolved(torch, versions, source=index, anew=True)
        except PlatformError:
            yield f"torch-{variant}", ""
        else:
            yield f"torch-{variant}", _text(found["torch"], index)
    for group, below in LAYERS.items():
        asked = [one for of in (*below, group) if of != "torch" for one in wanted(of)]
        there = {name for of in below for name in found[of]}
        every = resolved(asked, versions, source=wheels.PYPI, anew=True)
        found[group] = {name: one for name, one in every.items() if name not in there}
        yield group, _text(found[group], wheels.PYPI)


def _text(found: Mapping[str, tuple[str, str]], index: str) -> str:
    return _HEAD + "".join(
        line(name, version, hashes(name, version, digest, source=index, fits=_runs))
        for name, (version, digest) in sorted(found.items())
    )


def _runs(tags: frozenset[Tag]) -> bool:
    """Whether a wheel is for the images' Python, on a machine that they may run on."""
    return any(
        re.fullmatch(
            r"(py3|py311|cp311)-(none|cp311|abi3)|cp3([2-9]|10)-abi3",
            f"{one.interpreter}-{one.abi}",
        )
        and re.fullmatch(r"any|manylinux.*_(x86_64|aarch64)", one.platform)
        for one in tags
    )
