"""A trained model as a folder: safetensors, model.json, metrics.json and the code; and back.

No pickle is written or read: weights are safetensors, and the code is the model repository's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone import beneath
from touchstone.training.defences import Defence, from_json, wrap
from touchstone.training.load import load_spec
from touchstone.training.spec import AskedSpec, Description, ModelSpec, Parameter, encodes

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
METRICS = "metrics.json"
_LONGEST = 1 << 20
"""Bytes of the figures, which the model's own code wrote."""

_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".npy"})
_KEYS = ("entrypoint", "parameters", "task", "classes", "inputs", "torch", "seed")


def export(
    directory: Path,
    *,
    module: torch.nn.Module,
    spec: ModelSpec,
    sample: torch.Tensor,
    source: Path,
    entrypoint: str,
    parameters: Mapping[str, Parameter],
    description: Description,
    metrics: Mapping[str, float],
    seed: int,
    defences: Sequence[Defence] = (),
    packages: str = "",
) -> None:
    """Write a model tree into `directory`: weights, what they belong to, figures, graph, code.

    Of an estimator it is model.skops in place of the weights, and no graph.

    Args:
        spec: the repository's own, which predicts with the module.
        sample: a few inputs as the module sees them, to trace the network with.
        source: the model repository; its Python files are copied, at any depth.
        defences: those it was trained with; `open_model` puts the ones of inputs back.
        packages: digest of those that its code needs, for whoever opens the tree; empty for none.
    """
    import torch

    from touchstone.training.estimator import files
    from touchstone.training.estimator.fitted import Fitted

    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(module, Fitted):
        kind = {"estimator": files.write(directory, module.estimator)}
    else:
        kind = {"graph": _write_network(directory, module, spec, sample)}
    model = {
        "entrypoint": entrypoint,
        "parameters": dict(parameters),
        "task": description.task,
        "classes": list(description.classes),
        "inputs": dict(description.inputs),
        "torch": torch.__version__,
        "seed": seed,
        "defences": [defence.model_dump() for defence in defences],
        **({"packages": packages} if packages else {}),
        **kind,
        "encodes": encodes(spec),
    }
    _write_json(directory / "model.json", model)
    _write_json(directory / METRICS, dict(metrics))
    for file in sorted(source.rglob("*.py")):
        inside = file.relative_to(source)
        if any(part.startswith(".") for part in inside.parts):
            continue
        target = directory / "code" / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _write_network(
    directory: Path, module: torch.nn.Module, spec: ModelSpec, sample: torch.Tensor
) -> dict[str, Any]:
    """Weights and graph; what model.json says of the graph."""
    from safetensors.torch import save_file

    from touchstone.training import graph

    module = module.cpu().eval()
    constants, why_not = graph.write(directory, spec, module, sample.cpu())
    weights = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file({**weights, **constants}, directory / WEIGHTS)
    return {"written": not why_not, "reason": why_not}


def with_code(directory: Path) -> tuple[ModelSpec, torch.nn.Module, dict[str, Any]]:
    """The spec and the trained module, in evaluation mode, of a model tree's own code; model.json.

    This runs whatever the tree holds: only the model host and training call it. The spec is the
    repository's own, without the defences of inputs that the model has; of an estimator it is the
    repository's where that encodes raw values.

    Raises:
        ValueError: a file is absent or malformed, the tree holds a pickle, or the weights do
            not fit the network that the code builds.
    """
    from touchstone.training import graph

    document = describe(directory)
    if is_estimator(document):
        from touchstone.training.estimator import files

        if document.get("encodes"):  # else none of the repository's code is needed
            spec = load_spec(directory / "code", document["entrypoint"])
        else:
            spec = AskedSpec(document["task"])
        return spec, files.read(directory, document), document
    weights = read_weights(directory)
    description = Description.of({"protected": {}, **document})
    spec = load_spec(directory / "code", document["entrypoint"], description)
    defended = wrap.inputs(spec, from_json(document.get("defences", ())), document["inputs"])
    module = defended.build(document["parameters"])
    own = {name: value for name, value in weights.items() if not name.startswith(graph.CONSTANT)}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(f"{directory}: the weights do not fit the code: {error}") from None
    return spec, module.eval(), document


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors of a model tree, by name.

    Raises:
        ValueError: they are absent, no safetensors, or the tree holds a pickle.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_pickles(directory)
    try:
        return load_file(directory / WEIGHTS)
    except FileNotFoundError:
        raise ValueError(f"{directory / WEIGHTS} is absent; export the model again") from None
    except SafetensorError as error:
        raise ValueError(
            f"{directory / WEIGHTS} is no safetensors file ({error}); a pickle is never loaded"
        ) from None


def refuse_pickles(directory: Path) -> None:
    """Raise ValueError where a file of the tree may be a pickle."""
    pickles = [path.name for path in directory.rglob("*") if path.suffix.lower() in _PICKLES]
    if pickles:
        raise ValueError(
            f"{directory} holds {sorted(pickles)}, which may be pickles and run code when loaded; "
            f"expected weights only in {WEIGHTS}: export the model again"
        )


def is_estimator(document: Mapping[str, Any]) -> bool:
    """Whether a tree's model.json says that its model is an estimator, no network."""
    return "estimator" in document


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


def read_metrics(directory: Path) -> dict[str, Any]:
    """The figures of a model tree, which its training measured.

    Raises:
        NotPlainError: they are no regular file.
        ValueError: they are no JSON.
    """
    figures: dict[str, Any] = json.loads(beneath.read(directory, METRICS, limit=_LONGEST))
    return figures


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
