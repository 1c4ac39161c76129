"""A model that is logged in MLflow: fetched to be judged, and its report attached to its run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from touchstone.delivery import tracker
from touchstone.errors import ManifestError, PlatformError, UsageError
from trust_gates.integrity import pickles, tree, unpickling

if TYPE_CHECKING:
    from mlflow import MlflowClient

_READ = (".onnx", ".skops", "model.json")
"""How the name ends of what can be judged without running what it says."""

_HOW = (
    "log it with mlflow.onnx.log_model, with mlflow.sklearn.log_model(…, "
    "serialization_format='skops'), or as a tree that `train` wrote with mlflow.log_artifacts"
)
_FORMS = "runs:/ID/PATH, models:/NAME/VERSION, models:/NAME@ALIAS or models:/m-ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A logged model on this machine, as long as it is judged."""

    uri: str
    run: str
    folder: Path

    def attach(self, report: Mapping[str, bytes], *, passed: bool) -> str:
        """Put the report's files beside the run's artifacts and say what was decided; where.

        Raises:
            PlatformError: MLflow did not take them.
        """
        # A run may hold several models, each with a report of its own.
        name = re.sub(r"[^\w.-]+", "-", self.uri.partition(":/")[2].strip("/"))
        place = f"{tracker.REPORT}/{name.removeprefix(f'{self.run}-')}"
        said = "passed" if passed else "refused"
        with tracker.client() as mlflow, _told("take the report"):
            tracker.log_files(mlflow, self.run, report, place)
            mlflow.set_tag(self.run, "touchstone.verdict", said)
            mlflow.set_tag(self.run, "touchstone.judged", self.uri)
        return f"run {self.run}, {place}/"


def is_named(model: Path | None) -> bool:
    """Whether a model is named as MLflow does, and is no file or folder here."""
    return model is not None and re.match(r"(runs|models):/", str(model)) is not None


@contextmanager
def fetched(uri: str) -> Iterator[Logged]:
    """The model as files of a folder that lasts as long as the block.

    Raises:
        UsageError: the URI is none that MLflow has, or nothing says where MLflow is.
        PlatformError: mlflow is not installed, or does not give the model.
        ManifestError: what is logged there takes running it to load it.
    """
    tracker.require_mlflow()
    _require_named()
    with tracker.client() as mlflow, TemporaryDirectory() as name:
        folder = Path(name, "model")
        folder.mkdir()
        with _told(f"give {uri}"):
            from mlflow.artifacts import download_artifacts

            run = _run(mlflow, uri)
            download_artifacts(artifact_uri=uri, dst_path=str(folder))
        found = _root(folder)
        _check(uri, found)
        yield Logged(uri=uri, run=run, folder=found)


def _require_named() -> None:
    """Raise UsageError where nothing says where MLflow is: it would make an empty store here."""
    import mlflow

    named = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    if not named and not Path("mlflow.db").exists():  # the one that MLflow takes without a name
        raise UsageError(
            "got a model in MLflow without a tracking server, expected MLFLOW_TRACKING_URI",
            hint="MLFLOW_TRACKING_URI=https://mlflow.example.org, or sqlite:///FILE",
        )


def _run(mlflow: MlflowClient, uri: str) -> str:
    """The run that logged the model."""
    kind, _, rest = uri.partition(":/")
    rest = rest.strip("/")
    if kind == "runs" and "/" in rest:
        return rest.partition("/")[0]
    if kind == "models" and re.fullmatch(r"m-[0-9a-f]+", rest):
        return str(mlflow.get_logged_model(rest).source_run_id)
    if kind == "models" and (named := re.fullmatch(r"([^/@]+)@([^/@]+)", rest)):
        return str(mlflow.get_model_version_by_alias(named[1], named[2]).run_id)
    if kind == "models" and (named := re.fullmatch(r"([^/@]+)/(\d+)", rest)):
        return str(mlflow.get_model_version(named[1], named[2]).run_id)
    raise UsageError(f"got the model {uri!r}, expected {_FORMS}")


def _root(folder: Path) -> Path:
    """The folder of the model itself: MLflow puts some below their own name."""
    within = list(folder.iterdir())
    alone = len(within) == 1 and within[0].is_dir() and not within[0].is_symlink()
    return within[0] if alone else folder


def _check(uri: str, folder: Path) -> None:
    names = sorted(file.name for file in folder.iterdir())
    if not any(name.endswith(_READ) for name in names):
        raise ManifestError(
            f"{uri} is logged as {', '.join(names) or 'nothing'}: a pickle, or what else runs what "
            "it says when it is loaded; expected model.onnx, model.skops or model.json",
            hint=_HOW,
        )
    # MLflow's own description names what it loads: a verdict on one file must not be on another.
    for file in sorted(file for file in folder.rglob("*") if not file.name.endswith(_READ)):
        if file.is_file() and _is_pickle(file):
            raise ManifestError(
                f"{uri} has the pickle {file.relative_to(folder)} beside what can be judged, and"
                " MLflow may load that in its place; expected none",
                hint=_HOW,
            )


def _is_pickle(file: Path) -> bool:
    if file.suffix.lower() in pickles.SUFFIXES:
        return True
    try:
        with tree.mapped(file) as data:
            return bool(unpickling.reason(data))
    except (OSError, ValueError):  # what cannot be read counts as one
        return True


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raises PlatformError for whatever MLflow raises, a library of that size."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise PlatformError(
            f"MLflow did not {what}: {tracker.said(error)}",
            hint="MLFLOW_TRACKING_URI names the server, MLFLOW_TRACKING_TOKEN who you are",
        ) from None
