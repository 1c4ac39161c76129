"""A fitted estimator in a model tree: model.skops, and what model.json says of it."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from touchstone.training.estimator.fitted import Fitted, indices
from trust_gates.inputs import sklearn
from trust_gates.integrity import estimators

FILE, INDICES = estimators.FILE, "indices"


def write(folder: Path, estimator: Any) -> dict[str, Any]:
    """Write model.skops; what model.json says of it.

    That is its `type`, all `types` that it holds, and that its `labels` are indices of the classes.

    The same estimator gives the same bytes.

    Raises:
        ValueError: skops cannot write it, or it would not open again.
    """
    import skops.io

    path = folder / FILE
    try:
        skops.io.dump(estimator, path)
        skops.io.load(path, trusted=sklearn.foreign_types(path))
    except Exception as error:
        raise ValueError(
            f"the fitted estimator cannot be written in skops' format ({error}); expected one of "
            "scikit-learn's or of a package, without classes or functions of the repository's own"
        ) from None
    _settle(path)
    kind = type(estimator)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "types": estimators.types(path.read_bytes()),
        "labels": INDICES,
    }


def read(folder: Path, document: Mapping[str, Any]) -> Fitted:
    """The estimator of a model tree, whose model.json is `document`.

    Its types may run code: only the model host opens it.

    Raises:
        ValueError: model.skops is absent or malformed, or the estimator answers otherwise.
    """
    path, classes = folder / FILE, document["classes"]
    if document["estimator"].get("labels") == INDICES:
        classes = indices(classes)
    features = document.get("inputs", {}).get("features", ())
    return Fitted(sklearn.load(path, sklearn.foreign_types(path)), classes, features)


@contextmanager
def foreign_tree(
    file: Path, task: str, classes: Sequence[str], features: Sequence[str]
) -> Iterator[Path]:
    """A model tree of an estimator that somebody else wrote with skops, whose labels are names.

    The tree is gone afterwards.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(file, folder / FILE)
        document = {
            "entrypoint": "", "parameters": {}, "task": task, "classes": list(classes),
            "inputs": {"features": list(features)}, "torch": "", "seed": 0,
            "estimator": {"labels": "names"},
        }  # fmt: skip
        (folder / "model.json").write_text(json.dumps(document))
        yield folder


def _settle(path: Path) -> None:
    """Names and numbers in the file are places in memory: count them instead, and leave out times.

    Compressed, since a forest's steps say much the same again and again.
    """
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    schema = found.pop("schema.json").decode()
    counted: dict[str, str] = {}

    def count(match: re.Match[str]) -> str:
        return match[1] + counted.setdefault(match[2], str(len(counted)))

    schema = re.sub(r'("__id__": |"file": ")(\d+)', count, schema)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        members: Mapping[str, bytes] = {
            "schema.json": json.dumps(json.loads(schema)).encode(),
            **{re.sub(r"^\d+", lambda m: counted.get(m[0], m[0]), n): b for n, b in found.items()},
        }
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name], zipfile.ZIP_DEFLATED)
