"""Import a model repository's Python file by path and make its `ModelSpec`."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from pathlib import Path

from touchstone.training.spec import ModelSpec


def load_spec(directory: Path, entrypoint: str) -> ModelSpec:
    """The model that `entrypoint` (`file.py:ClassName`) names in `directory`.

    The file may import its neighbours at its top, packages called `training` or `scripts` too.
    They are not left in sys.modules, so two repositories with equal names do not see each
    other's.

    Raises:
        ValueError: the entrypoint is malformed, no `ModelSpec` that can be made is there, or it is
            imported from where it was before.
    """
    file_name, _, class_name = entrypoint.partition(":")
    base = directory.resolve()
    path = (base / file_name).resolve()
    if not class_name or path.suffix != ".py" or not path.is_relative_to(base):
        raise ValueError(f"got entrypoint {entrypoint!r}, expected file.py:ClassName")
    if not path.is_file():
        raise ValueError(f"entrypoint {entrypoint!r}: {directory} has no file {file_name}")
    found = getattr(_import(base, path), class_name, None)
    if not (inspect.isclass(found) and issubclass(found, ModelSpec)):
        raise ValueError(
            f"entrypoint {entrypoint!r}: got {found!r}, expected a subclass of "
            "touchstone.training.ModelSpec"
        )
    try:
        return found()
    except TypeError as error:  # an abstract method is missing, or the constructor wants more
        raise ValueError(f"entrypoint {entrypoint!r}: {error}") from None


def _import(base: Path, path: Path) -> object:
    name = f"touchstone_model_{path.stem}"
    description = importlib.util.spec_from_file_location(name, path)
    if description is None or description.loader is None:
        raise ValueError(f"{path} cannot be imported; expected a Python file")
    module = importlib.util.module_from_spec(description)
    before = set(sys.modules)
    sys.path.insert(0, str(base))
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        description.loader.exec_module(module)
    except ImportError as error:
        if moved := _moved(error, base):
            raise ValueError(moved) from None
        raise
    finally:
        # A package without __init__.py looks its folders up in sys.path each time it is asked.
        for other in set(sys.modules) - before:
            if _is_within(base, sys.modules[other]):
                del sys.modules[other]
        sys.path.remove(str(base))
        sys.modules.setdefault(name, module)
    return module


def _is_within(base: Path, module: object) -> bool:
    """Whether a file or a folder of the repository made the module."""
    origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
    return bool(origin) and Path(origin).resolve().is_relative_to(base)


def _moved(error: ImportError, base: Path) -> str:
    """What to say of an import of ours under its old name, `training`; else nothing."""
    first, _, rest = (error.name or "").partition(".")
    at = traceback.extract_tb(error.__traceback__)[-1]
    file, line = Path(at.filename).resolve(), at.line or ""
    if first != "training" or not file.is_relative_to(base):
        return ""
    if (base / "training").is_dir() or (base / "training.py").is_file():
        # Of a package of the repository's own, what it lacks is ours where we have it.
        known = rest and "." not in rest and importlib.util.find_spec(f"touchstone.training.{rest}")
        if not known:
            return ""
    expected = re.sub(r"\btraining\b", "touchstone.training", line, count=1)
    return (
        f"{file.relative_to(base)}:{at.lineno}: got `{line}`, expected `{expected}`: "
        "the package moved"
    )
