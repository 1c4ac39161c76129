"""`gate`: judge a model by a trust gate without a pipeline, a platform or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from touchstone.errors import ManifestError, ModelRefusedError, PlatformError, TouchstoneError
from trust_gates import __main__ as outside
from trust_gates.errors import ForeignTypesError, GateError, MissingExtraError

if TYPE_CHECKING:
    from touchstone.delivery.logged import Logged
    from trust_gates.gates import Gates
    from trust_gates.inputs.dataset import Data
    from trust_gates.outside import Subject
    from trust_gates.samples import Task

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
    source: outside.Source = None,
    expect: outside.Expected = None,
    as_json: outside.AsJson = False,
    out: outside.Out = None,
    junit: outside.Junit = None,
    sarif: outside.Sarif = None,
    summary: outside.Summary = None,
) -> None:
    """Judge any model by trust gates, outside a pipeline; exit code 5 when one refuses it.

    A model is a tree that `train` wrote, an ONNX file or a scikit-learn model in skops' format; or
    one of these that is logged in MLflow, as runs:/ID/PATH or models:/NAME/VERSION: its report is
    attached to its run. Without one, the data are a CSV of predictions. The policy is a
    touchstone.yaml, or a YAML file with only its `gates`.

    Examples:

      touchstone gate quality fairness --data predictions.csv --policy gates.yaml --out report/

      touchstone gate robustness --model model.onnx --data data.csv --policy gates.yaml

      touchstone gate quality --model models:/fraud/3 --data data.csv --policy gates.yaml
    """
    from touchstone.delivery import logged

    report: dict[str, bytes] = {}
    left = outside.Left(as_json=as_json, out=out, junit=junit, sarif=sarif, summary=summary)
    with logged.fetched(str(model)) if logged.is_named(model) else nullcontext() as found:
        if found:
            model, left = found.folder, replace(left, taken=report.update)
        refusing = _refusing(names, policy, model, data, seed, source, expect, left)
        if found:
            _attach(found, report, refusing, quiet=as_json)
    if refusing:
        raise ModelRefusedError(f"refused by {', '.join(refusing)}")


def _attach(
    found: Logged, report: Mapping[str, bytes], refusing: Sequence[str], *, quiet: bool
) -> None:
    """Put the report beside the model's run; that a gate refused is told before what keeps it."""
    try:
        where = found.attach(report, passed=not refusing)
    except PlatformError as error:
        if not refusing:
            raise
        typer.echo(f"not attached: {error}", err=True)
    else:
        typer.echo(f"attached to {where}", err=quiet)


def _refusing(
    names: list[str],
    policy: Path,
    model: Path | None,
    data: Path | None,
    seed: int | None,
    source: Path | None,
    expect: list[str] | None,
    left: outside.Left,
) -> list[str]:
    """Judge, say what was found, and write what was asked for; the gates that refused.

    Raises:
        TouchstoneError: whatever keeps it from being judged, as the command tells it.
    """
    from touchstone.contract import model_repo
    from trust_gates.digests import Held

    file = policy / model_repo.FILE_NAME if policy.is_dir() else policy
    try:
        held = Held.of(model=model, data=data, policy=file)
        gates, own_seed, unused = _policy(file)
        asked = outside.Asked(
            model=model,
            data=data,
            policy=file,
            source=source,
            expect=expect or (),
            seed=own_seed if seed is None else seed,
            held=held,
            unused=unused,
        )
        return outside.judge(names, gates, asked, left, _open)
    except MissingExtraError as error:
        raise PlatformError(str(error)) from None
    except GateError as error:
        raise TouchstoneError(str(error)) from None
    except ValueError as error:
        raise ManifestError(
            str(error), hint="docs/reference/trust-gates.md says what is read"
        ) from None


def _policy(path: Path) -> tuple[Gates, int, dict[str, list[str]]]:
    """The gates of a policy file, as a pipeline would have them, the seed, and what is not used."""
    from touchstone.contract import model_repo, remedy
    from touchstone.documents.validated import validated
    from touchstone.documents.yaml import load_file
    from trust_gates.gates import GatesFile

    document = load_file(path)
    if document is not None and "spec" not in document.body:
        hint = "docs/reference/trust-gates.md lists every key"
        return validated(document, GatesFile, hint=hint).gates, 0, {}
    spec = model_repo.load(path).spec
    unused = {
        gate: [f"spec.remedy.{gate} ({method}) is not used here: nothing is trained again"]
        for gate, method in (spec.remedy.methods if spec.remedy else {}).items()
    }
    return remedy.judged_by(spec), spec.data.seed, unused


def _open(model: Path | None, data: Path, task: Task) -> Subject:
    from trust_gates import outside as judging
    from trust_gates.inputs import dataset

    if model is None or not (model / _TREE_FILE).is_file():
        try:
            return judging.open_subject(model, data, task)
        except ForeignTypesError:  # whose code may run where it is confined
            assert model is not None  # noqa: S101 (predictions have no types)
            return _open_confined(judging.model_file(model), dataset.read(data, task=task))
    from touchstone.training.export import describe
    from touchstone.training.target import open_tree
    from trust_gates.inputs.description import Description

    learned = Description.of({"protected": {}, **describe(model)})
    found = dataset.read(data, learned)
    if found.samples.task != learned.task:
        raise ValueError(
            f"got a model of {learned.task} and data of {found.samples.task}, expected one task"
        )
    target = open_tree(
        model, low=found.low, high=found.high, reach=found.reach, spread=found.spread
    )
    return judging.Subject(target=target, data=judging.as_taken(model.name, target, found))


def _open_confined(file: Path, found: Data) -> Subject:
    from touchstone.training.estimator.files import foreign_tree
    from touchstone.training.target import open_tree
    from trust_gates import outside as judging

    samples = found.samples
    with foreign_tree(file, samples.task, samples.classes, found.features) as tree:
        target = open_tree(
            tree, low=found.low, high=found.high, reach=found.reach, spread=found.spread
        )
    return judging.Subject(target=target, data=found, notes=[judging.only_answers(file)])
