"""`python -m trust_gates`: judge a model outside a pipeline, and write what a verdict says.

Exit codes: 0 done, and every check passed; 1 a gate does not work on this model; 2 the command line
is wrong; 3 a library is missing; 4 the policy, the model or the data are not as expected; 5 a gate
refused the model; 130 interrupted. `touchstone gate` judges PyTorch model trees as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from trust_gates import GATES
from trust_gates.errors import GateError, MissingExtraError
from trust_gates.visible import console, guard_output

if TYPE_CHECKING:
    from trust_gates.digests import Held
    from trust_gates.gates import Gates
    from trust_gates.outside import Subject
    from trust_gates.samples import Task
    from trust_gates.verdict import Evidence


def _begun(incomplete: str) -> list[str]:
    return [name for name in GATES if name.startswith(incomplete)]


Names = Annotated[
    list[str],
    typer.Argument(help=f"Some of: {', '.join(GATES)}.", metavar="NAME...", autocompletion=_begun),
]
Model = Annotated[
    Path | None,
    typer.Option(help="Model file or folder; leave it out where the data are predictions."),
]
DataPath = Annotated[Path | None, typer.Option("--data", help="Dataset folder or CSV file.")]
Policy = Annotated[
    Path,
    typer.Option(help="YAML file with the `gates`; touchstone gate reads a touchstone.yaml too."),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Seed of all that draws; by default a touchstone.yaml's own, or 0."),
]
Source = Annotated[
    Path | None, typer.Option(help="Model repository, for what integrity finds not pinned in it.")
]
Expected = Annotated[
    list[str] | None,
    typer.Option("--expect", help="FILE=sha256:… for integrity; as often as needed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the verdict document.")]
Out = Annotated[Path | None, typer.Option(help="Write the trust report with its pictures here.")]
Junit = Annotated[
    Path | None, typer.Option("--junit", help="Write the checks as JUnit XML to this file.")
]
Sarif = Annotated[
    Path | None, typer.Option("--sarif", help="Write what refused as SARIF 2.1.0 to this file.")
]
Summary = Annotated[
    Path | None, typer.Option("--summary", help="Write a Markdown summary to this file.")
]

Open = Callable[[Path | None, Path, "Task"], "Subject"]

app = typer.Typer(
    name="python -m trust_gates",
    help="Judge any model, outside a pipeline.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def gate(
    names: Names,
    policy: Policy,
    model: Model = None,
    data: DataPath = None,
    seed: Seed = None,
    source: Source = None,
    expect: Expected = None,
    as_json: AsJson = False,
    out: Out = None,
    junit: Junit = None,
    sarif: Sarif = None,
    summary: Summary = None,
) -> None:
    """Judge a model by one gate or several; exit code 5 when one refuses it.

    Examples:

    python -m trust_gates gate fairness --data predictions.csv --policy gates.yaml

    python -m trust_gates gate quality robustness --model m.onnx --data d.csv --policy gates.yaml
    """
    from trust_gates.digests import Held
    from trust_gates.gates import read_policy

    held = Held.of(model=model, data=data, policy=policy)
    asked = Asked(
        model=model,
        data=data,
        policy=policy,
        source=source,
        expect=expect or (),
        seed=seed or 0,
        held=held,
    )
    left = Left(as_json=as_json, out=out, junit=junit, sarif=sarif, summary=summary)
    if judge(names, read_policy(policy), asked, left):
        raise typer.Exit(5)


class Document(StrEnum):
    """What there is a JSON Schema of."""

    VERDICT = "verdict"
    GATES = "gates"


@app.command()
def schema(
    of: Annotated[Document, typer.Argument(help="The policy file, or the verdict.")] = (
        Document.VERDICT
    ),
) -> None:
    """Print the JSON Schema of a verdict document, or of a file with the gates' policies."""
    if of is Document.VERDICT:
        from trust_gates import report

        document = report.schema()
    else:
        from trust_gates.gates import GatesFile

        document = GatesFile.model_json_schema()
    typer.echo(json.dumps(document, indent=2))


@app.command()
def keys(name: Annotated[str, typer.Argument(help=f"One of: {', '.join(GATES)}.")]) -> None:
    """Print every key of a gate's policy, as a Markdown table."""
    from trust_gates import keys as tables

    if name not in GATES:
        raise typer.BadParameter(f"got {name!r}, expected one of {list(GATES)}")
    typer.echo(tables.table(name))


@app.command("report")
def report_(
    verdict: Annotated[Path, typer.Argument(help="verdict.json, with its PNG files beside it.")],
    out: Annotated[Path, typer.Option(help="Folder to write the report to.")],
) -> None:
    """Write the trust report of a verdict: Markdown, HTML and the bill of materials.

    Example: python -m trust_gates report verdict.json --out report/
    """
    from trust_gates import report

    try:
        document = json.loads(verdict.read_text(encoding="utf-8"))
        pictures = {file.name: file.read_bytes() for file in sorted(verdict.parent.glob("*.png"))}
        files = report.render(document, pictures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{verdict}: {type(error).__name__} {error}; expected a verdict document "
            "(python -m trust_gates schema)"
        ) from None
    write(files, out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says besides the gates."""

    model: Path | None
    data: Path | None
    policy: Path
    source: Path | None
    expect: Sequence[str]
    seed: int
    held: Held
    """The model, the data and the policy's file as they were before any of them was read."""

    unused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By gate, what stands in the policy's file besides the gates and is not used here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What the command leaves besides its exit code."""

    as_json: bool = False
    """Print the verdict document instead of lines."""

    out: Path | None = None
    """Folder for the trust report."""

    junit: Path | None = None
    sarif: Path | None = None
    summary: Path | None = None
    taken: Callable[[Mapping[str, bytes]], object] | None = None
    """Gets the trust report's files by name, whether they are written or not."""

    def prepare(self) -> None:
        """Make the folders: judging takes minutes, and then it is late to learn of a wrong path.

        Raises:
            typer.BadParameter: there can be no such file or folder.
        """
        files = {"junit": self.junit, "sarif": self.sarif, "summary": self.summary}
        folders = {name: file.parent for name, file in files.items() if file}
        for name, folder in {**folders, **({"out": self.out} if self.out else {})}.items():
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise typer.BadParameter(
                    f"got --{name} in {folder}: {error.strerror}; expected a folder that is there "
                    "or can be made"
                ) from None
        for name, file in files.items():
            if file and file.is_dir():
                raise typer.BadParameter(f"got --{name} {file}, a folder; expected a file's path")

    def write(self, document: Mapping[str, Any], found: Sequence[Evidence], policy: Path) -> None:
        """Write each file that was asked for, and name it."""
        from trust_gates import report
        from trust_gates.report import junit, markdown, sarif
        from trust_gates.report.reading import Report

        written: list[tuple[Path, bytes]] = []
        if self.junit:
            written.append((self.junit, junit.render(document)))
        if self.sarif:
            text = policy.read_text(encoding="utf-8")
            log = sarif.render(document, uri=_uri(policy), policy=text)
            written.append((self.sarif, json.dumps(log, indent=2, allow_nan=False).encode()))
        if self.summary:
            written.append((self.summary, markdown.summary(Report.of(document, ())).encode()))
        for file, data in written:
            _write(file, data, quiet=self.as_json)
        if self.out is None and self.taken is None:
            return
        pictures = {f"{name}.png": data for one in found for name, data in one.pictures.items()}
        rendered = report.render(document, pictures)
        if self.out is not None:
            write(rendered, self.out, quiet=self.as_json)
        if self.taken is not None:
            self.taken(rendered)


def judge(
    names: Sequence[str],
    gates: Gates,
    asked: Asked,
    left: Left,
    open_subject: Open | None = None,
) -> list[str]:
    """Judge, print what was found, write what is to be left; the gates that refused.

    Raises:
        ValueError: what the policy, the model or the data say does not fit together, or one of
            them changed meanwhile.
        typer.BadParameter: a gate is unknown, what it needs was not given, or a file cannot be
            written.
    """
    from trust_gates import outside
    from trust_gates.report.asked import Yardstick
    from trust_gates.verdict import Outcome

    left.prepare()
    found = _found(names, gates, asked, open_subject or outside.open_subject)
    asked.held.confirm()
    judged = asked.model or asked.data
    document = outside.document(
        found,
        name=judged.stem if judged else "model",
        gates=gates,
        seed=asked.seed,
        judged=asked.held.digests,
        unused=asked.unused,
    )
    if left.as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        for line in outside.lines(found, Yardstick.of(document)):
            typer.echo(line)
    left.write(document, found, asked.policy)
    return [one.gate for one in found if one.outcome is not Outcome.PASSED]


def _found(names: Sequence[str], gates: Gates, asked: Asked, open_subject: Open) -> list[Evidence]:
    """The evidence of each gate; what is being done is shown on a terminal's standard error."""
    from trust_gates import outside

    model, data = asked.model, asked.data
    unknown = [name for name in names if name not in GATES]
    if unknown:
        raise typer.BadParameter(f"got {unknown}, expected some of {list(GATES)}")
    asking = [name for name in names if name != "integrity"]
    if asking and data is None:
        raise typer.BadParameter(f"--data is missing: {', '.join(asking)} judge on samples")
    needy = [name for name in names if name not in outside.ANSWERS_ONLY]
    if needy and model is None:
        raise typer.BadParameter(f"--model is missing: {', '.join(needy)} cannot do without it")
    expected = _expected(asked.expect)

    @cache
    def subject() -> Subject:
        assert data is not None  # noqa: S101 (refused above)
        return open_subject(model, data, gates.task)

    screen, found = console(stderr=True), []
    for name in names:
        with screen.status(f"judging {name} …"):
            if name == "integrity":
                assert model is not None  # noqa: S101 (refused above)
                evidence = outside.examine(
                    model,
                    data,
                    gates,
                    expected=expected,
                    source=asked.source,
                    open_target=lambda: subject().model,
                    seed=asked.seed,
                )
            else:
                evidence = outside.judge(name, subject(), gates, seed=asked.seed)
            found.append(evidence)
    return found


def write(files: Mapping[str, bytes], folder: Path, *, quiet: bool = False) -> None:
    """Write the files of a report into `folder` and name each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        _write(folder / name, data, quiet=quiet)


def _write(file: Path, data: bytes, *, quiet: bool) -> None:
    file.write_bytes(data)
    typer.echo(f"wrote {file}", err=quiet)


def _uri(file: Path) -> str:
    """Of a file below the working directory relative to it, as code scanning looks for it."""
    whole = file.resolve()
    here = Path.cwd()
    if not whole.is_relative_to(here):
        return whole.as_uri()
    return quote(whole.relative_to(here).as_posix())


def _expected(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise typer.BadParameter(f"got --expect {wrong[0]!r}, expected FILE=sha256:<64 hex digits>")
    return dict(pair.split("=", 1) for pair in pairs)


def main() -> None:
    """Run the command line; the exit codes are those of this module's docstring."""
    guard_output()
    try:
        app(color=True)
    except MissingExtraError as error:
        _fail(error, 3)
    except GateError as error:
        _fail(error, 1)
    except ValueError as error:
        _fail(error, 4)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception, code: int) -> None:
    typer.echo(f"error: {error}", err=True, color=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
