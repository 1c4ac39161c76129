"""judge: judge a model that lies in a workspace by trust gates, in anyone's pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchstone import confine
from touchstone.commands import stage
from touchstone.commands.gate import gate
from touchstone.errors import ManifestError, ModelRefusedError
from trust_gates import GATES


def main(
    names: Annotated[list[str], typer.Argument(help=f"Some of: {', '.join(GATES)}.")],
    policy: Annotated[str, typer.Option(help="Path of the policy within the working folder.")],
    data: Annotated[str, typer.Option(help="Path of the data in it; empty for none.")],
    result_passed: Annotated[Path, typer.Option(help="File for true or false.")],
    result_refused_by: Annotated[Path, typer.Option(help="File for the gates that refused.")],
    model: Annotated[str, typer.Option(help="Path of the model in it; empty: predictions.")] = "",
    report: Annotated[str, typer.Option(help="Folder for the report; empty for none.")] = "",
) -> None:
    """As `touchstone gate`; of a refused model, which ends this with 5, there are results too."""
    confine.limit_own_memory()
    left = Path(report) if report else None
    try:
        gate(
            names,
            policy=_within(policy, "policy"),
            model=_within(model, "model") if model else None,
            data=_within(data, "data") if data else None,
            out=left,
            junit=left and left / "gates.xml",
            sarif=left and left / "gates.sarif",
            summary=left and left / "summary.md",
        )
    except ModelRefusedError as refused:
        stage.write_result(result_passed, "false")
        stage.write_result(result_refused_by, str(refused).removeprefix("refused by "))
        raise
    stage.write_result(result_passed, "true")
    stage.write_result(result_refused_by, "")


def _within(given: str, what: str) -> Path:
    """The path below the working folder, which is the workspace's.

    Raises:
        ManifestError: it leads out of it, by its name or by a link.
    """
    path = Path(given)
    if not path.resolve().is_relative_to(Path.cwd()):
        raise ManifestError(
            f"got the {what} {given!r}, which leads out of the workspace; expected a path within it"
        )
    return path


if __name__ == "__main__":
    stage.run(main)
