"""judge: judge a model that lies in a workspace by trust gates, in anyone's pipeline.

It takes models that are data (ONNX, skops) and recorded predictions, so that no code of a model's
runs beside whatever credentials that pipeline's Pods have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchstone.commands import stage
from touchstone.errors import ManifestError, ModelRefusedError, PlatformError
from trust_gates import GATES
from trust_gates import __main__ as outside
from trust_gates.digests import Held
from trust_gates.errors import MissingExtraError
from trust_gates.gates import read_policy


def main(
    names: Annotated[list[str], typer.Argument(help=f"Some of: {', '.join(GATES)}.")],
    policy: Annotated[str, typer.Option(help="Path of the policy within the working folder.")],
    data: Annotated[str, typer.Option(help="Path of the data in it; empty for none.")],
    result_passed: Annotated[Path, typer.Option(help="File for true or false.")],
    result_refused_by: Annotated[Path, typer.Option(help="File for the gates that refused.")],
    model: Annotated[str, typer.Option(help="Path of the model in it; empty: predictions.")] = "",
    report: Annotated[str, typer.Option(help="Folder for the report; empty for none.")] = "",
) -> None:
    """As `python -m trust_gates gate`; of a refused model, which ends this with 5, results too."""
    left = Path(report) if report else None
    files = {
        what: _within(given, what) if given else None
        for what, given in (("policy", policy), ("data", data), ("model", model))
    }
    try:
        refusing = outside.judge(
            names,
            read_policy(Path(policy)),
            outside.Asked(
                model=files["model"],
                data=files["data"],
                policy=Path(policy),
                source=None,
                expect=(),
                seed=0,
                held=Held.of(**files),
            ),
            outside.Left(
                out=left,
                junit=left and left / "gates.xml",
                sarif=left and left / "gates.sarif",
                summary=left and left / "summary.md",
            ),
        )
    except MissingExtraError as error:
        raise PlatformError(str(error)) from None
    except ValueError as error:
        raise ManifestError(str(error)) from None
    stage.write_result(result_passed, "false" if refusing else "true")
    stage.write_result(result_refused_by, ",".join(refusing))
    if refusing:
        raise ModelRefusedError(f"refused by {', '.join(refusing)}")


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
