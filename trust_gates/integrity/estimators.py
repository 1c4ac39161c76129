"""Which types does an estimator in skops' format hold, and which of them could run code?

Loading one calls what its schema names, so only scikit-learn's types are accepted, those of the
libraries it stands on, and those of packages that the model repository pins. Nothing is loaded.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Collection, Iterator
from typing import Any

FILE = "model.skops"
"""Of a model tree whose model is an estimator."""

SUFFIX = ".skops"
_SCHEMA = "schema.json"
_LARGEST = 64 << 20

_LIBRARIES = ("numpy", "scipy", "sklearn")
_PLAIN = frozenset(
    {
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
        *("map", "set", "slice", "str", "tuple", "type"),
    }
)
_COLLECTIONS = frozenset({"Counter", "OrderedDict", "defaultdict", "deque"})
_CALLED = frozenset({"FunctionNode", "MethodNode", "OperatorFuncNode", "PartialNode"})
"""Loaders of what is called and is no type: of functions, numpy's and scipy's on numbers pass."""

_PYTHON_NAMES = {"imblearn": "imbalanced-learn"}
"""Packages whose modules are named otherwise than what is installed."""


def types(data: bytes) -> list[str]:
    """Every type that the file of these bytes names, sorted.

    Raises:
        ValueError: it is no skops file.
    """
    return sorted({f"{module}.{name}" for module, name, _ in _named(data)})


def reason(data: bytes, packages: Collection[str] = ()) -> str:
    """What in the file could run code; empty where nothing could.

    Args:
        packages: names of those that the model repository pins.

    Raises:
        ValueError: as `types`.
    """
    pinned = {_normal(name) for name in packages}
    strange = sorted(
        {f"{m}.{n}" for m, n, loader in _named(data) if not _known(m, n, loader, pinned)}
    )
    if not strange:
        return ""
    shown = ", ".join(strange[:5]) + (f" and {len(strange) - 5} more" if len(strange) > 5 else "")
    return (
        f"it holds {shown}, expected types of scikit-learn or of a package that the repository's "
        "requirements.txt pins"
    )


def _known(module: str, name: str, loader: str, pinned: Collection[str]) -> bool:
    package = module.partition(".")[0]
    if package == "builtins":
        return name in _PLAIN and loader not in _CALLED
    if package == "collections":
        return name in _COLLECTIONS and loader not in _CALLED
    if package in _LIBRARIES:
        return loader not in _CALLED or (loader == "FunctionNode" and _on_numbers(module, name))
    if package in sys.stdlib_module_names:
        return False
    return _normal(_PYTHON_NAMES.get(package, package)) in pinned


def _on_numbers(module: str, name: str) -> bool:
    """Whether it is a ufunc: a function from numbers to numbers that does nothing else."""
    import numpy as np

    if module == "scipy.special" or module.startswith("scipy.special."):
        import scipy.special as room
    else:
        room = np
    return isinstance(getattr(room, name, None), np.ufunc)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(data: bytes) -> Iterator[tuple[str, str, str]]:
    """Module, name and loader of each thing that the schema has loaded."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.namelist().count(_SCHEMA) != 1:
                raise ValueError(f"got {archive.namelist()[:5]}, expected one {_SCHEMA}")
            if archive.getinfo(_SCHEMA).file_size > _LARGEST:
                raise ValueError(f"its {_SCHEMA} is larger than {_LARGEST >> 20} MiB")
            schema = json.loads(archive.read(_SCHEMA))
    except (zipfile.BadZipFile, ValueError, RecursionError, OSError, RuntimeError) as error:
        raise ValueError(f"it is no skops file ({error})") from None
    waiting: list[Any] = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "__loader__" in one or "__class__" in one or "__module__" in one:
                yield tuple(str(one.get(f"__{key}__", "")) for key in ("module", "class", "loader"))  # type: ignore[misc]  # three
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
