"""A trained model as a folder: safetensors, model.json, metrics.json and the code; and back.

No pickle is written or read: weights are safetensors, and the code is the model repository's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.training.defences import Defence, from_json, wrap_inputs
from touchstone.training.load import load_spec
from touchstone.training.spec import Description, ModelSpec, Parameter

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".npy"})
_KEYS = ("entrypoint", "parameters", "task", "classes", "inputs", "torch", "seed")


def export(
    directory: Path,
    *,
    module: torch.nn.Module,
    source: Path,
    entrypoint: str,
    parameters: Mapping[str, Parameter],
    description: Description,
    metrics: Mapping[str, float],
    seed: int,
    defences: Sequence[Defence] = (),
) -> None:
    """Write a model tree into `directory`: weights, what they belong to, figures, code.

    Args:
        source: the model repository; its Python files are copied, at any depth.
        defences: those it was trained with; `load_model` puts the ones of inputs back.
    """
    import torch
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous().cpu() for name, value in module.state_dict().items()}
    save_file(weights, directory / WEIGHTS)
    model = {
        "entrypoint": entrypoint,
        "parameters": dict(parameters),
        "task": description.task,
        "classes": list(description.classes),
        "inputs": dict(description.inputs),
        "torch": torch.__version__,
        "seed": seed,
        "defences": [defence.model_dump() for defence in defences],
    }
    _write_json(directory / "model.json", model)
    _write_json(directory / "metrics.json", dict(metrics))
    for file in sorted(source.rglob("*.py")):
        inside = file.relative_to(source)
        if any(part.startswith(".") for part in inside.parts):
            continue
        target = directory / "code" / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def load_model(directory: Path) -> tuple[ModelSpec, torch.nn.Module, dict[str, Any]]:
    """The spec, the trained module in evaluation mode, and model.json of a model tree.

    The spec's loss and predictions go through the defences of inputs that the model has.

    Raises:
        ValueError: a file is absent or malformed, the tree holds a pickle, or the weights do
            not fit the network that the code builds.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    pickles = [path.name for path in directory.rglob("*") if path.suffix.lower() in _PICKLES]
    if pickles:
        raise ValueError(
            f"{directory} holds {sorted(pickles)}, which may be pickles and run code when loaded; "
            f"expected weights only in {WEIGHTS}: export the model again"
        )
    document = describe(directory)
    spec = load_spec(directory / "code", document["entrypoint"])
    defences = from_json(document.get("defences", ()))
    spec = wrap_inputs(spec, defences, document["inputs"])
    module = spec.build(document["parameters"])
    try:
        weights = load_file(directory / WEIGHTS)
    except FileNotFoundError:
        raise ValueError(f"{directory / WEIGHTS} is absent; export the model again") from None
    except SafetensorError as error:
        raise ValueError(
            f"{directory / WEIGHTS} is no safetensors file ({error}); a pickle is never loaded"
        ) from None
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{directory}: the weights do not fit the code: {error}") from None
    return spec, module.eval(), document


def describe(directory: Path) -> dict[str, Any]:
    """model.json of a model tree: what the weights belong to.

    Raises:
        ValueError: it is absent, malformed or lacks a key.
    """
    document = _read_json(directory / "model.json")
    missing = [key for key in _KEYS if key not in document]
    if missing:
        raise ValueError(f"{directory / 'model.json'}: keys {missing} are missing")
    return document


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} is absent; expected a model tree that train wrote") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}; expected JSON") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: got {type(document).__name__}, expected an object")
    return document
