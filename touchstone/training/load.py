"""Import a model repository's Python file by path and make its `ModelSpec`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

from touchstone.training.spec import ModelSpec

_FORMER = "training"
"""What the library was imported as once; today a name like any other in a model repository."""


def load_spec(directory: Path, entrypoint: str) -> ModelSpec:
    """The model that `entrypoint` (`file.py:ClassName`) names in `directory`.

    The file may import its neighbours at its top. They are not left in sys.modules, so two
    repositories with equal file names do not see each other's.

    Raises:
        ValueError: the entrypoint is malformed, or no `ModelSpec` that can be made is there.
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
        if (error.name or "").partition(".")[0] == _FORMER and not _has(base, _FORMER):
            raise ValueError(_moved(base, error)) from None
        raise
    finally:
        sys.path.remove(str(base))
        for other in set(sys.modules) - before:
            found = sys.modules[other]
            # A folder without __init__.py is a package without a file.
            origin = getattr(found, "__file__", None) or next(
                iter(getattr(found, "__path__", ())), ""
            )
            if origin and Path(origin).resolve().is_relative_to(base):
                del sys.modules[other]
        sys.modules.setdefault(name, module)
    return module


def _has(base: Path, package: str) -> bool:
    return (base / package).is_dir() or (base / f"{package}.py").is_file()


def _moved(base: Path, error: ImportError) -> str:
    """What to write instead of an import from before the library had a name of its own."""
    place = next(
        f"{Path(frame.filename).relative_to(base)}:{frame.lineno}: got {frame.line!r}, "
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if Path(frame.filename).is_relative_to(base)
    )
    return f"{place}expected `from touchstone.{error.name} import …`: the package was renamed"
