"""What did a confined look at a model repository's code show?

The code runs in a process of its own (`training/look.py`). Of what comes from there nothing is
believed that a decision rests on: a model is judged by the gates, after it was trained.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from touchstone import confine
from touchstone.confine import Confinement
from touchstone.errors import PlatformError
from touchstone.home import SHIPPED
from touchstone.training import raised
from touchstone.training.defences import Defence
from touchstone.training.look import CODE, DATA, NETWORK
from touchstone.training.spec import Description, Parameter
from trust_gates.inputs.description import TARGETS
from trust_gates.policy import Path as FieldPath
from trust_gates.policy import Strict
from trust_gates.visible import one_line, visible

PATIENCE = {CODE: 120.0, DATA: 30.0, NETWORK: 60.0}
"""Seconds that each step may take."""

_LONGEST = 4 << 20
"""Bytes that are read of what the look says."""

_LONGEST_PROBLEM, _LONGEST_KEY = 4000, 100
_MOST, _DEEPEST = 50, 10

REMOTE = "the data are at an address: they are looked at once fetch-data has them"

ENTRYPOINT: FieldPath = ("spec", "entrypoint")

Defended = tuple[FieldPath, Sequence[Defence]]
"""Defences, and the field that declares them."""


class _Inputs(BaseModel):
    """What is computed with of the description's inputs."""

    shape: list[PositiveInt] = Field(min_length=1, max_length=4)
    low: FiniteFloat
    high: FiniteFloat
    features: list[str] = []

    @model_validator(mode="after")
    def _ordered(self) -> _Inputs:
        if not self.low < self.high:
            raise ValueError("low < high")
        return self


class Described(Strict):
    """The data, as far as policies can be held against them."""

    description: Any
    sizes: dict[str, NonNegativeInt]
    groups: dict[str, list[list[NonNegativeInt]]]
    """Of a classifier's test split: a protected attribute's values, each with its classes."""

    spread: list[PositiveFloat] = Field(max_length=100_000)

    def fitting(self) -> Description:
        """The description.

        Raises some ValueError, KeyError, TypeError, AttributeError or OverflowError.
        """
        found = Description.of(self.description)
        if found.task not in TARGETS:
            raise ValueError("a task")
        _Inputs.model_validate(dict(found.inputs))
        for name, values in self.groups.items():
            if [len(found.classes)] * len(found.protected[name]) != [len(one) for one in values]:
                raise ValueError("a number for each value and class")
        return found


@dataclass(slots=True, kw_only=True)
class Seen:
    """What is known of the code; where nothing is, the fields are empty."""

    problems: list[tuple[str, FieldPath]] = field(default_factory=list)
    """Each begins with the file and line, where it has them; and the field that asked for it."""

    notes: list[str] = field(default_factory=list)
    task: str = ""
    estimator: bool = False
    """Whether the model is no network but an estimator that is fitted."""

    data: Described | None = None
    description: Description | None = None
    written: bool = False
    """Whether the data were written where they were asked for."""

    unembedded: str = ""
    """Why tokens go into no embedding that could be judged from."""

    parameters: frozenset[str] | None = None
    """Hyperparameters that `build` looks at; None where it may be any."""


def look(
    folder: Path,
    entrypoint: str,
    *,
    uri: str | None,
    seed: int,
    tried: Sequence[Mapping[str, Parameter]] = (),
    defended: Sequence[Defended] = (),
    show: Sequence[Path] = (),
    packages: Path | None = None,
    output: Path | None = None,
    loaded: Path | None = None,
) -> Seen:
    """Look at the code in `folder`, confined, without a network.

    Args:
        uri: given to `load_data` unless it is an address, which only a run reaches; None of a
            table.
        tried: sets of hyperparameters that the network must be buildable with.
        defended: sets of defences that it must be trainable behind.
        show: folders of data that it sees besides.
        packages: folder of packages that it may import.
        output: an empty folder for the data, as `fetch-data` would have them.
        loaded: of a table the folder with its data, where they could be loaded: the code only sees
            them.
    """
    seen = Seen()
    remote = uri is not None and "://" in uri and not uri.startswith("file:")
    if remote:
        seen.notes.append(REMOTE)
    what = {
        "entrypoint": entrypoint,
        "uri": None if remote else uri,
        "seed": seed,
        "tried": list(tried),
        "output": "" if output is None else str(output),
        "loaded": str(loaded or "") if uri is None else None,
        "packages": "" if packages is None else str(packages),
        "defended": [(at, [one.model_dump(mode="json") for one in of]) for at, of in defended],
    }
    step, started = CODE, time.monotonic()
    with tempfile.TemporaryDirectory() as own, _readable(folder) as shown:
        confinement = Confinement(
            read=[shown, *show, *filter(None, [loaded, packages])],
            write=[Path(own), *filter(None, [output])],
        )
        try:
            for line in _lines(shown, what, confinement):
                if line is None:
                    if time.monotonic() - started > PATIENCE[step]:
                        _late(seen, step)
                        break
                elif line.get("step") in PATIENCE:
                    step, started = str(line["step"]), time.monotonic()
                elif "problem" in line:
                    _add(seen, str(line["problem"]), line.get("at"))
                elif "seen" in line:
                    _learn(seen, line["seen"])
                elif "ended" in line:
                    _add(seen, str(line["ended"]))
        except PlatformError as error:
            seen.notes.append(f"the code was not looked at: {error}; {error.hint}")
    return seen


@contextmanager
def _readable(folder: Path) -> Iterator[Path]:
    """The folder, or a copy: whom the superuser confines is nobody, and reads little."""
    if os.geteuid() != 0 or confine.off() or folder.stat().st_mode & 0o005 == 0o005:
        yield folder
        return
    with tempfile.TemporaryDirectory() as own:
        copy = Path(own) / folder.name
        shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".*"))
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
        yield copy


def _late(seen: Seen, step: str) -> None:
    limit = f"{PATIENCE[step]:g} s"
    if step == DATA:
        seen.notes.append(f"load_data took longer than {limit}: its data were not looked at")
    elif step == CODE:
        _add(seen, f"the import of the entrypoint took longer than {limit}, expected it to end")
    else:
        seen.notes.append(f"build, loss and predict took longer than {limit}: not looked at")


def _add(seen: Seen, words: str, at: Any = None) -> None:
    """Note a problem; only its first line begins one, so that no other is forged."""
    path: list[str | int] = []
    for part in at[:_DEEPEST] if isinstance(at, list) else []:
        if isinstance(part, str | int):
            path.append(one_line(part)[:_LONGEST_KEY] if isinstance(part, str) else part)
    first, *rest = words.splitlines() or [""]
    text = "\n  ".join([first, *(line.strip() for line in rest)])
    problem = visible(text)[:_LONGEST_PROBLEM], tuple(path) or ENTRYPOINT
    if len(seen.problems) < _MOST and problem not in seen.problems:
        seen.problems.append(problem)


def _learn(seen: Seen, told: Any) -> None:
    """What was seen, where it has the form that it should."""
    if not isinstance(told, Mapping):
        return
    if told.get("task") in list(TARGETS):
        seen.task = told["task"]
    seen.estimator = seen.estimator or told.get("estimator") is True
    seen.written = seen.written or told.get("written") is True
    if isinstance(why := told.get("embedding"), str):
        seen.unembedded = one_line(why)[:_LONGEST_PROBLEM]
    if "parameters" in told:
        try:
            names = TypeAdapter(list[str]).validate_python(told["parameters"])
        except ValidationError:
            return
        seen.parameters = None if "*" in names else frozenset(names)
    if "description" in told:
        try:
            data = Described.model_validate(told)
            description = data.fitting()
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
            return
        seen.data, seen.description = data, description
        seen.task = seen.task or description.task  # of a table without code, its label's


def _lines(
    folder: Path, what: Mapping[str, Any], confinement: Confinement
) -> Iterator[dict[str, Any] | None]:
    """Each line that the look says; None while it says nothing, and at the end how it ended badly.

    The process ends with the iteration.
    """
    theirs: int | None
    ours, theirs = os.pipe()
    words: list[str | Path] = [
        *(sys.executable, "-P", SHIPPED / "training" / "look.py"),
        *(folder, json.dumps(what), str(theirs)),
    ]
    try:
        process = confine.started(
            words,
            confinement,
            {"OMP_NUM_THREADS": "1"},
            folder=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs,),
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    said: list[bytes] = []
    assert process.stderr is not None  # noqa: S101 (it is a pipe)
    stream = process.stderr
    reader = threading.Thread(target=lambda: said.append(confine.tail(stream)), daemon=True)
    reader.start()
    try:
        done = False
        for line in _read(ours):
            done = done or (line is not None and line.get("done") is True)
            yield line
        code = process.wait(timeout=10)
        reader.join(timeout=5)
        if code or not done:
            last = raised.last_words(b"".join(said).decode(errors="replace"))
            yield {"ended": f"the look at the model ended with exit code {code}: {last}"}
    except subprocess.TimeoutExpired:
        yield {"ended": "the look at the model did not end; does its code start processes?"}
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def _read(descriptor: int) -> Iterator[dict[str, Any] | None]:
    kept, total, deadline = b"", 0, time.monotonic() + sum(PATIENCE.values())
    while total < _LONGEST and time.monotonic() < deadline:
        if not select.select([descriptor], [], [], 0.5)[0]:
            yield None
            continue
        part = os.read(descriptor, 1 << 16)
        if not part:
            return
        total += len(part)
        *whole, kept = (kept + part).split(b"\n")
        for line in whole:
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found
