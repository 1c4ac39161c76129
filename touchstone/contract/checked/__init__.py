"""Can what touchstone.yaml asks be done with the code and data beside it? Every problem at once.

What is known without the code is held against touchstone.yaml alone; what the code and its data
are, a confined look says (`seen`). Nothing is trained.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.contract import model_repo, requirements, seen
from touchstone.contract.checked import gates, parts, recipe
from touchstone.contract.checked.parts import Parts, mapping
from touchstone.contract.checked.place import Found, under
from touchstone.contract.model_repo import BUILT_IN, Data, ModelPipeline
from touchstone.contract.seen import REMOTE, Seen
from touchstone.documents.yaml import Document, field_name
from touchstone.errors import PlatformError
from touchstone.training.tables import load as tables
from trust_gates.inputs.description import FILE
from trust_gates.policy import Path as FieldPath

_PATIENCE = 120.0
"""Seconds that reading a table may take."""

_ABSENT = re.compile(r"ModuleNotFoundError: No module named '[\w.]+'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    location: str
    """`file:line:column` in touchstone.yaml, `file:line` in code; empty where it has no place."""

    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


@dataclass(slots=True, kw_only=True)
class Checked:
    """What there is to say of a model repository."""

    problems: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pipeline: ModelPipeline | None = None
    """None where touchstone.yaml does not fit."""

    facts: dict[str, Any] | None = None
    """Of the data, as a verdict has them."""

    written: bool = False
    """Whether the data are in the folder that they were asked for in."""

    file: str = ""
    """What places call touchstone.yaml."""


def check(
    path: Path,
    *,
    shown: str = "",
    code: Path | None = None,
    uri: str = "",
    show: Sequence[Path] = (),
    packages: Path | None = None,
    refused: Sequence[tuple[str, str]] = (),
    output: Path | None = None,
) -> Checked:
    """Check a model repository, by its folder or its touchstone.yaml.

    Args:
        shown: the folder that places are told in; empty for the repository's own.
        code: the folder that the code is run in; None for the repository's own.
        uri: of the data, in place of spec.data.uri.
        show: folders of data that the code sees.
        packages: the folder of those that requirements.txt asks for; None where they are not here.
        refused: what is wrong with packages that were got, each with the package's name.
        output: an empty folder for the data that were looked at.

    Raises:
        ManifestError: there is no YAML to check.
    """
    folder = path if path.is_dir() else path.parent
    document = model_repo.read(path, shown=str(Path(shown) / model_repo.FILE_NAME))
    fitting = parts.read(document)
    known = _looked(
        document,
        fitting,
        (code or folder).resolve(),
        uri=uri,
        show=show,
        packages=packages,
        output=output,
    )
    problems = [Finding(location=place, message=text) for place, text in fitting.problems]
    for at, words in _misfits(fitting, known):
        message = f"{field_name(at)}: {words}"
        problems.append(Finding(location=document.location(at), message=message))
    problems.sort(key=lambda one: _line(one.location))
    found = Checked(
        file=document.source,
        pipeline=fitting.pipeline,
        problems=problems,
        facts=_facts(known),
        written=known.written,
    )
    asked = requirements.read(folder)
    found.problems += _of_packages(asked, refused, shown)
    for words, at in known.problems:
        one = _in_code(words, at, document, shown)
        absent = packages is None and _ABSENT.match(one.message)
        if absent and (refused or asked.problems):
            continue  # it follows from those
        if absent and asked.missing:
            names = ", ".join(one.name for one in asked.missing)
            found.notes.append(
                f"{one.location}: {one.message.partition(chr(10))[0]} here; a run has what"
                f" {requirements.FILE_NAME} lists besides Touchstone's own: {names}"
            )
        else:
            found.problems.append(one)
    found.notes += known.notes
    return found


def _looked(
    document: Document,
    fitting: Parts,
    root: Path,
    *,
    uri: str,
    show: Sequence[Path],
    packages: Path | None,
    output: Path | None,
) -> Seen:
    """What the code in `root` and its data are; nothing where there is no telling which."""
    said = mapping(mapping(document.body).get("spec"))
    entrypoint, data = str(said.get("entrypoint", BUILT_IN)), mapping(said.get("data"))
    how: dict[str, Any] = {
        "tried": recipe.tried(fitting.tune),
        "defended": recipe.defended(fitting.whole),
        "show": show,
        "packages": packages,
    }
    if fitting.data is not None and fitting.data.is_table:
        return _of_table(fitting.data, root, entrypoint, uri, output, how)
    address = uri or data.get("uri")
    if ".py:" not in entrypoint or not isinstance(address, str):
        return Seen()
    seed = data.get("seed", 0)
    return seen.look(
        root,
        entrypoint,
        uri=address,
        seed=seed if isinstance(seed, int) else 0,
        output=output,
        **how,
    )


def _misfits(fitting: Parts, known: Seen) -> Found:
    """What is wrong with the parts that fit, by the field that says so."""
    of_recipe = recipe.misfits(fitting.tune, fitting.train, fitting.whole, known)
    yield from under(("spec",), of_recipe)
    yield from under(("spec", "gates"), gates.misfits(fitting.gates, fitting.whole, known))


def _facts(known: Seen) -> dict[str, Any] | None:
    """Of the data, as a verdict has them."""
    if known.description is None or known.data is None:
        return None
    return {
        "task": known.description.task,
        "protected": known.description.protected,
        "inputs": known.description.inputs,
        "samples": {"test": known.data.sizes.get("test", 0)},
    }


def _of_table(
    table: Data,
    root: Path,
    entrypoint: str,
    uri: str,
    output: Path | None,
    how: Mapping[str, Any],
) -> Seen:
    """What a look shows where the data are a table, which is read before, without the code."""
    with tempfile.TemporaryDirectory() as own:
        place = output or Path(own)
        problems: list[tuple[str, FieldPath]] = []
        notes: list[str] = []
        try:
            if tables.is_address(uri or table.uri):
                notes.append(REMOTE)
            else:
                tables.load(table, root, place, uri=uri, show=how["show"], patience=_PATIENCE)
        except tables.TableError as error:
            problems = [(words, ("spec", "data", *at)) for words, at in error.problems]
        except tables.LateError:
            notes.append(f"the table took longer than {_PATIENCE:g} s: it was not looked at")
        except PlatformError as error:
            notes.append(f"the table was not looked at: {error}; {error.hint}")
        loaded = (place / FILE).is_file()
        known = seen.look(
            root, entrypoint, uri=None, seed=0, loaded=place if loaded else None, **how
        )
        known.problems[:0], known.notes[:0] = problems, notes
        known.written = loaded and output is not None
        return known


def _of_packages(
    asked: requirements.Asked, refused: Sequence[tuple[str, str]], shown: str
) -> Iterator[Finding]:
    """What is wrong with requirements.txt, and with what came of it."""
    lines = {one.name: one.line for one in asked.pins}
    told = [*asked.problems, *((lines.get(name, 1), words) for name, words in refused)]
    for line, words in told:
        place = f"{Path(shown) / requirements.FILE_NAME}:{line}"
        yield Finding(location=place, message=words)


def _in_code(words: str, path: FieldPath, document: Document, shown: str) -> Finding:
    """A problem of the code; what has no place in it is told where touchstone.yaml asks for it."""
    first, _, rest = words.partition("\n")
    place, _, message = first.partition(": ")
    file, _, line = place.rpartition(":")
    if file and line.isdecimal():
        text = f"{message}\n{rest}" if rest else message
        return Finding(location=str(Path(shown) / place), message=text)
    message = f"{field_name(path)}: {words}"
    return Finding(location=document.location(path), message=message)


def _line(location: str) -> tuple[int, int]:
    *_, line, column = ["0", "0", *location.split(":")]
    return (int(line), int(column)) if line.isdecimal() and column.isdecimal() else (0, 0)
