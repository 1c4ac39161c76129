"""Import a model repository's Python file by path and make its `ModelSpec`."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

from touchstone.training import tabular
from touchstone.training.raised import EXPECTED, CodeError
from touchstone.training.spec import Description, ModelSpec
from touchstone.training.tables.asked import BUILT_IN
from trust_gates.inputs.description import TARGETS
from trust_gates.wording import alike

_CALLED: Mapping[str, tuple[tuple[object, ...], Mapping[str, object]]] = {
    "load_data": (("uri",), {"seed": 0}),
    "build": (({},), {}),
    "loss": (("module", "batch"), {}),
    "predict": (("module", "inputs"), {}),
    "augment": (("batch", "generator"), {}),
    "embedding": (("module",), {}),
    "encode": (([],), {}),
}
"""How each method is called."""


def load_spec(
    directory: Path, entrypoint: str, description: Description | None = None
) -> ModelSpec:
    """The model that `entrypoint` (`file.py:ClassName`, or `BUILT_IN`) names in `directory`.

    Args:
        description: of the data that it learns from, where they are known; the built-in model is
            made for them.

    The file may import its neighbours at its top, packages called `training` or `scripts` too.
    They are not left in sys.modules, so two repositories with equal names do not see each
    other's.

    Raises:
        ValueError: the entrypoint is malformed, no `ModelSpec` that can be made is there, or it is
            imported from where it was before. Besides, whatever its own code raises: see `raised`.
    """
    if entrypoint == BUILT_IN and description is not None:
        spec = tabular.of(description)
    else:
        found = load_class(directory, entrypoint)
        for fault in faults(found):
            raise fault
        spec = found()
    if description is not None:
        spec.described = description
    return spec


def load_class(directory: Path, entrypoint: str) -> type[ModelSpec]:
    """The class itself, which need not be complete.

    Raises:
        ValueError: as `load_spec`, but for what the class lacks.
    """
    file_name, _, class_name = entrypoint.partition(":")
    base = directory.resolve()
    path = (base / file_name).resolve()
    if not class_name or path.suffix != ".py" or not path.is_relative_to(base):
        raise ValueError(f"got entrypoint {entrypoint!r}, expected file.py:ClassName")
    if not path.is_file():
        there = [str(file.relative_to(base)) for file in sorted(base.glob("*.py"))]
        raise ValueError(
            f"entrypoint {entrypoint!r}: the repository has no file {file_name}"
            + alike(file_name, there)
        )
    module = _import(base, path)
    found = getattr(module, class_name, None)
    if found is None:
        there = [name for name, one in vars(module).items() if _is_spec(one)]
        raise ValueError(
            f"entrypoint {entrypoint!r}: {file_name} has no {class_name}, expected a subclass of"
            " touchstone.training.ModelSpec that it has"
            f" ({', '.join(there) or 'none'}){alike(class_name, there)}"
        )
    if not _is_spec(found):
        problem = f"{found!r}, expected a subclass of touchstone.training.ModelSpec"
        raise ValueError(f"entrypoint {entrypoint!r}: got {problem}")
    return found


def faults(found: type[ModelSpec]) -> Iterator[CodeError]:
    """What the class lacks, or declares otherwise than it is called."""
    if (task := getattr(found, "task", None)) not in TARGETS:
        asked = " or ".join(f"task = {name!r}" for name in TARGETS)
        yield CodeError(found, f"got the task {task!r}, expected {asked}")
    if absent := sorted(getattr(found, "__abstractmethods__", ())):
        yield CodeError(found, *(f"got no {name}, expected {EXPECTED[name]}" for name in absent))
    if needed := _needed(found):
        asked = "expected a class that is made without arguments"
        yield CodeError(found, f"got an __init__ that asks for {', '.join(needed)}, {asked}")
    for name, (given, named) in _CALLED.items():
        method = inspect.getattr_static(found, name)
        if name in absent or not inspect.isfunction(method):  # a staticmethod has no self
            continue
        signature = inspect.signature(method)
        try:
            signature.bind("self", *given, **named)
        except TypeError as error:
            got = f"got {name}{signature}, to which {error}"
            yield CodeError(method, f"{got}; expected {EXPECTED[name]}")


def _is_spec(found: object) -> TypeGuard[type[ModelSpec]]:
    ours = inspect.isclass(found) and found.__module__.startswith(f"{__package__}.")
    return not ours and inspect.isclass(found) and issubclass(found, ModelSpec)


def _needed(found: type) -> list[str]:
    """What the class cannot be made without."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in several]


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
