"""What did code of a model repository raise, where in it, and what was expected of it?

Whoever runs such code shows its author these words and no traceback through torch or through us.
"""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trust_gates.visible import visible

MARK = "error: "
"""What the words begin with on standard error; their further lines are indented."""

EXPECTED = {
    "load_data": "a RawData from load_data(uri, *, seed)",
    "build": "a torch.nn.Module from build(parameters), for inputs as load_data describes them",
    "loss": "a scalar tensor from loss(module, batch), the mean over the batch's samples",
    "predict": "logits (N, K) or numbers (N,) from predict(module, inputs), or N Detections",
    "augment": "a Batch from augment(batch, generator)",
    "embedding": "the torch.nn.Embedding of the module that tokens go into, or None",
    "encode": "an array of inputs from encode(values), a row a value, as load_data describes them",
}
"""What each method of a ModelSpec is to give."""

_FRAMES = 6
_LINE = 400
_LONGEST = 4000


class CodeError(ValueError):
    """Code of a model repository is, or gives, something else than was asked of it."""

    def __init__(self, of: Callable[..., Any] | type, *problems: str) -> None:
        """`of` is the repository's own function or class, whose place the words begin with."""
        super().__init__("\n".join(problems))
        self.of, self.problems = of, problems


def words(error: BaseException, root: Path) -> str:
    """The error in the words of the repository in `root`: file:line, what, and what was expected.

    One line, then indented ones: the repository's own frames, the innermost first.
    """
    root = root.resolve()
    if isinstance(error, CodeError):
        place, name = where(error.of, root), getattr(error.of, "__name__", "")
        first, *more = error.problems
        return _bounded([f"{place}: {name}: {first}" if place else f"{name}: {first}", *more])
    if isinstance(error, SyntaxError) and (file := _inside(error.filename, root)):
        source = f": {error.text.strip()}" if error.text else ""
        return _bounded([f"{file}:{error.lineno}: {type(error).__name__}: {error.msg}{source}"])
    frames = traceback.extract_tb(error.__traceback__)
    own = [(file, one) for one in frames if (file := _inside(one.filename, root))]
    own = own[::-1]
    said = _said(error)
    if not own:
        plain = isinstance(error, ValueError | RuntimeError) and said
        return _bounded([said if plain else f"{type(error).__name__}: {said}"])
    file, inner = own[0]
    lines = [f"{file}:{inner.lineno}: {type(error).__name__}: {said}"]
    lines += [f"{file}:{one.lineno} in {one.name}: {one.line}" for file, one in own[:_FRAMES]]
    if advice := _advice(error, [one.name for _, one in own], deliberate=frames[-1] is inner):
        lines.append(advice)
    return _bounded(lines)


def where(of: Callable[..., Any] | type, root: Path) -> str:
    """`file:line` of a function or class of the repository; empty for any other."""
    try:
        found = inspect.unwrap(of)
        file = _inside(inspect.getsourcefile(found), root.resolve())
        line = inspect.getsourcelines(found)[1]
    except (OSError, TypeError, ValueError):
        return ""
    return f"{file}:{line}" if file else ""


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Whatever is raised within ends this process with exit code 1, its words on standard error."""
    try:
        yield
    except BaseException as error:  # anyone's code may raise anything, and exit as well
        sys.stderr.write(f"{MARK}{words(error, root)}\n")
        sys.stderr.flush()
        sys.exit(1)


def sifted(lines: Iterable[str]) -> tuple[list[str], str]:
    """Lines of standard error without those that `told` wrote; and the first of these errors.

    Several processes that train together end together: the first says why.
    """
    rest: list[str] = []
    errors: list[list[str]] = []
    block = rest
    for line in lines:
        if line.startswith(MARK):
            block = []
            errors.append(block)
        elif not line.startswith("  "):
            block = rest
        block.append(line.removeprefix(MARK))
    return rest, _bounded([line.strip() for line in errors[0]]) if errors else ""


def last_words(output: str) -> str:
    """Why a process ended, by what it wrote: the first error that `told` wrote, else the end."""
    lines, why = sifted(output.splitlines())
    return why or next((line for line in reversed(lines) if line.strip()), "no output")


def _inside(file: str | None, root: Path) -> str:
    """The file's name inside of the repository; empty where it is none of it."""
    if not file or file.startswith("<"):
        return ""
    path = Path(file).resolve()
    if not path.is_relative_to(root) or "site-packages" in path.parts:
        return ""
    return str(path.relative_to(root))


def _said(error: BaseException) -> str:
    try:
        return str(error) or "it says nothing more"
    except Exception:
        return "it cannot be put into words"


def _advice(error: BaseException, called: list[str], *, deliberate: bool) -> str:
    """What to do, where the error does not say it; `called` are the functions, the inner first."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return (
            f"expected {package}.py or a folder {package}/ in the repository, or a package that"
            f" requirements.txt lists: `touchstone packages lock {package}` writes it there"
        )
    if isinstance(error, SystemExit):
        return "expected code that is imported and called, and that ends no process"
    if deliberate and isinstance(error, ValueError):
        return ""
    asked = next((EXPECTED[name] for name in reversed(called) if name in EXPECTED), "")
    return f"expected {asked}" if asked else ""


def _bounded(lines: list[str]) -> str:
    first, *rest = [visible(re.sub(r"\s+", " ", line).strip())[:_LINE] for line in lines]
    return "\n  ".join([first, *rest])[:_LONGEST]
