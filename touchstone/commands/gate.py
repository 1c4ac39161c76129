"""`gate`: judge a model by a trust gate without a pipeline, a platform or a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from touchstone.errors import ManifestError, ModelRefusedError, PlatformError, TouchstoneError
from trust_gates import __main__ as outside
from trust_gates.errors import GateError, MissingExtraError

if TYPE_CHECKING:
    from trust_gates.outside import Subject

_TREE_FILE = "model.json"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(gate)


def gate(
    names: outside.Names,
    policy: outside.Policy = Path("touchstone.yaml"),
    model: outside.Model = None,
    data: outside.DataPath = None,
    seed: outside.Seed = None,
    expect: outside.Expected = None,
    as_json: outside.AsJson = False,
    out: outside.Out = None,
) -> None:
    """Judge any model by trust gates, outside a pipeline; exit code 5 when one refuses it.

    A model is a tree that `train` wrote, an ONNX file or a scikit-learn model in skops' format.
    Without one, the data are a CSV of predictions.

    Example: touchstone gate quality fairness --data predictions.csv --out report/
    """
    from trust_gates.verdict import Outcome

    try:
        gates, own_seed = _policy(policy)
        seed = own_seed or 0 if seed is None else seed
        found = outside.judge_all(
            names,
            gates,
            model,
            data,
            seed=seed,
            expect=expect or (),
            strict=own_seed is None,
            open_subject=_open,
        )
        passed = outside.present(found, model or data, gates, seed=seed, as_json=as_json, out=out)
    except MissingExtraError as error:
        raise PlatformError(str(error)) from None
    except GateError as error:
        raise TouchstoneError(str(error)) from None
    except ValueError as error:
        raise ManifestError(str(error), hint="docs/trust-gates.md says what is read") from None
    if not passed:
        refusing = [one.gate for one in found if one.outcome is not Outcome.PASSED]
        raise ModelRefusedError(f"refused by {', '.join(refusing)}")


def _policy(path: Path) -> tuple[Mapping[str, Any], int | None]:
    """The gates' part of a policy file, and the seed where the file is a whole touchstone.yaml.

    A whole one is checked as before a pipeline, and has keys that only a pipeline can use.
    """
    from touchstone.contract import model_repo

    if path.is_dir() or path.name == model_repo.FILE_NAME:
        spec = model_repo.load(path).spec
        return spec.gates.model_dump(mode="json", by_alias=True), spec.data.seed
    return outside.read_policy(path), None


def _open(model: Path | None, data: Path) -> Subject:
    from trust_gates import outside as judging
    from trust_gates.inputs import dataset

    if model is None or not (model / _TREE_FILE).is_file():
        return judging.open_subject(model, data)
    from touchstone.training.target import open_tree

    found = dataset.read(data)
    target = open_tree(model, low=found.low, high=found.high, reach=found.reach)
    return judging.Subject(target=target, data=found)
