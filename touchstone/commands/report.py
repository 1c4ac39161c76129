"""`report`: the trust report of a model, be it refused, waiting for a review or served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.commands.where import Context, Here, Kubeconfig, Namespace, where
from touchstone.errors import UsageError

if TYPE_CHECKING:
    from touchstone.commands.where import There
    from touchstone.delivery.verdicts import Judged


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(report)


def report(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL|RUN|VERDICT]",
            help="A model (its newest verdict), a run, or seven digits of a verdict's digest or of"
            " a commit; the newest verdict by default.",
        ),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to; by default one in $TOUCHSTONE_HOME, of a cluster's run ./RUN."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say why a model passed or was refused, and write its report with the pictures.

    Example: touchstone report object-detector --open
    """
    from touchstone.delivery import promote, verdicts
    from trust_gates import report as reports
    from trust_gates.report import brief
    from trust_gates.report.reading import Report

    place = where(kubeconfig, context, namespace)
    found = verdicts.among(place.all_runs(), which, where=place.title)
    files = promote.report_files(found.verdict, found.store, reports.render)
    folder = to or (
        place.home.root / "reports" / found.run if isinstance(place, Here) else Path(found.run)
    )
    _write(folder, files)
    page = (folder / reports.HTML_FILE).resolve()
    became = verdicts.became(place.home, found) if isinstance(place, Here) else _told(place, found)
    read = Report.of(found.verdict, ())
    if as_json:
        document = {
            "run": found.run,
            "model": found.verdict.get("name", ""),
            "commit": found.verdict["commit"],
            "verdict": found.digest,
            "passed": read.passed,
            "outcome": read.outcome.value,
            "confidence": read.yardstick.confidence,
            "became": became,
            "checks": [check.to_json() for check in read.checks],
            "report": str(page),
            "files": sorted(files),
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        for line in brief.lines(found.verdict):
            typer.echo(line)
        typer.echo(f"{became}; run {found.run}, commit {found.verdict['commit'][:12]}")
        typer.echo(f"report: {page}")
    if show:
        _open(page)


def _told(place: There, found: Judged) -> str:
    """What became of the model by what its run says; the GitOps repository knows what followed."""
    from touchstone.runs import record

    if found.verdict["passed"] is not True:
        return "refused: nothing was promoted"
    run = place.find(found.run)
    stages = record.tasks_of(run.run.status)
    for name, status in run.place.state.taskruns(found.run).items():
        if stages.get(name) == "promote" and (branch := record.results(status).get("branch")):
            return f"passed: put up for review as the branch {branch}"
    return "passed: nothing was promoted"


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"got {error.strerror} for {error.filename}, expected a folder to write the report to",
            hint="--to DIR names another",
        ) from None


def _open(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.as_uri()):
        typer.echo(f"no browser was found; open {page.as_uri()} in one", err=True)
