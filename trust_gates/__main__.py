"""`python -m trust_gates`: judge a model outside a pipeline, and write what a verdict says.

Exit codes: 0 done, and every check passed; 1 a gate does not work on this model; 2 the command line
is wrong; 3 a library is missing; 4 the policy, the model or the data are not as expected; 5 a gate
refused the model; 130 interrupted. `touchstone gate` judges PyTorch model trees as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trust_gates import glossary
from trust_gates.errors import GateError, MissingExtraError, PolicyError

if TYPE_CHECKING:
    from trust_gates.outside import Subject
    from trust_gates.verdict import Evidence

Names = Annotated[
    list[str], typer.Argument(help=f"Some of: {', '.join(glossary.GATES)}.", metavar="NAME...")
]
Model = Annotated[
    Path | None,
    typer.Option(help="Model file or folder; leave it out where the data are predictions."),
]
DataPath = Annotated[Path | None, typer.Option("--data", help="Dataset folder or CSV file.")]
Policy = Annotated[Path, typer.Option(help="touchstone.yaml, or a YAML file with its `gates`.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Seed of all that draws; by default a touchstone.yaml's own, or 0."),
]
Expected = Annotated[
    list[str] | None,
    typer.Option("--expect", help="FILE=sha256:… for integrity; as often as needed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the verdict document.")]
Out = Annotated[Path | None, typer.Option(help="Write the trust report with its pictures here.")]

Open = Callable[[Path | None, Path], "Subject"]

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
    expect: Expected = None,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Judge a model by one gate or several; exit code 5 when one refuses it.

    Examples:

    python -m trust_gates gate fairness --data predictions.csv --policy gates.yaml

    python -m trust_gates gate quality robustness --model m.onnx --data d.csv --policy gates.yaml
    """
    gates = read_policy(policy)
    found = judge_all(names, gates, model, data, seed=seed or 0, expect=expect or ())
    if not present(found, model or data, gates, seed=seed or 0, as_json=as_json, out=out):
        raise typer.Exit(5)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a verdict document."""
    from trust_gates import report

    typer.echo(json.dumps(report.schema(), indent=2))


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


def read_policy(path: Path) -> Mapping[str, Any]:
    """The gates' part of a policy file: `spec.gates`, `gates`, or the file's whole mapping.

    Raises:
        PolicyError: it is absent or no mapping.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"{path}: {error}") from None
    for key in ("spec", "gates"):
        if isinstance(document, Mapping) and key in document:
            document = document[key]
    if not isinstance(document, Mapping):
        raise PolicyError(f"{path}: got {type(document).__name__}, expected a mapping of gates")
    return document


def judge_all(
    names: Sequence[str],
    gates: Mapping[str, Any],
    model: Path | None,
    data: Path | None,
    *,
    seed: int = 0,
    expect: Sequence[str] = (),
    strict: bool = True,
    open_subject: Open | None = None,
) -> list[Evidence]:
    """The evidence of each gate; what is being done is shown on a terminal's standard error.

    Raises:
        ValueError: a gate is unknown, or what it needs was not given.
    """
    from rich.console import Console

    from trust_gates import outside

    open_subject = open_subject or outside.open_subject
    unknown = [name for name in names if name not in glossary.GATES]
    if unknown:
        raise typer.BadParameter(f"got {unknown}, expected some of {list(glossary.GATES)}")
    asking = [name for name in names if name != "integrity"]
    if asking and data is None:
        raise typer.BadParameter(f"--data is missing: {', '.join(asking)} judge on samples")
    needy = [name for name in names if name not in outside.ANSWERS_ONLY]
    if needy and model is None:
        raise typer.BadParameter(f"--model is missing: {', '.join(needy)} cannot do without it")
    console, found = Console(stderr=True), []
    subject = None
    for name in names:
        with console.status(f"judging {name} …"):
            if name == "integrity":
                assert model is not None  # noqa: S101 (refused above)
                found.append(outside.examine(model, data, _expected(expect)))
                continue
            assert data is not None  # noqa: S101 (refused above)
            subject = subject or open_subject(model, data)
            found.append(outside.judge(name, subject, gates, seed=seed, strict=strict))
    return found


def present(
    found: Sequence[Evidence],
    judged: Path | None,
    gates: Mapping[str, Any],
    *,
    seed: int,
    as_json: bool,
    out: Path | None,
) -> bool:
    """Print what was found, write the report where asked to, and say whether all passed."""
    from trust_gates import outside, report
    from trust_gates.verdict import Outcome

    name = judged.stem if judged else "model"
    document = outside.document(found, name=name, gates=gates, seed=seed)
    if as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        for line in outside.lines(found):
            typer.echo(line)
    if out is not None:
        pictures = {f"{name}.png": data for one in found for name, data in one.pictures.items()}
        write(report.render(document, pictures), out, quiet=as_json)
    return all(one.outcome is Outcome.PASSED for one in found)


def write(files: Mapping[str, bytes], folder: Path, *, quiet: bool = False) -> None:
    """Write the files of a report into `folder` and name each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        typer.echo(f"wrote {folder / name}", err=quiet)


def _expected(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise typer.BadParameter(f"got --expect {wrong[0]!r}, expected FILE=sha256:<64 hex digits>")
    return dict(pair.split("=", 1) for pair in pairs)


def main() -> None:
    """Run the command line; the exit codes are those of this module's docstring."""
    try:
        app()
    except MissingExtraError as error:
        _fail(error, 3)
    except GateError as error:
        _fail(error, 1)
    except ValueError as error:
        _fail(error, 4)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception, code: int) -> None:
    typer.echo(f"error: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
