"""A trained detector of adversarial inputs, as a part of a model tree.

Training measures with it, the robustness gate judges it and the predictor serves it through the
same `Guard`. It travels as evasion.json and evasion.safetensors.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from touchstone.training.evasion import ON
from touchstone.training.evasion.network import Activations, build
from touchstone.training.spec import ModelSpec

FILE, WEIGHTS = "evasion.json", "evasion.safetensors"
_ROWS = 128


@dataclass(slots=True, kw_only=True, eq=False)
class Guard:
    """Tells adversarial inputs from clean ones. Higher scores are more suspicious."""

    spec: ModelSpec
    module: nn.Module
    """The guarded model."""

    on: str
    shape: tuple[int, ...]
    """Of what the detector looks at, without the sample axis."""

    false_positive_rate: float
    """The share of clean inputs flagged, at most, as declared."""

    network: nn.Module
    threshold: float = math.inf
    """A logit above it is flagged."""

    _activations: Activations | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.on == "activations":
            self._activations = Activations(self.module)

    def features(self, inputs: Tensor) -> Tensor:
        """What the detector looks at, differentiable."""
        if self._activations is None:
            return inputs
        return self._activations.of(lambda: self.spec.predict(self.module, inputs))

    def logits(self, inputs: Tensor) -> Tensor:
        """(N,): how suspicious each input is, differentiable: an attacker can follow it."""
        suspicion: Tensor = self.network(self.features(inputs))[:, 0]
        return suspicion

    def suspicion(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) float64 logits of inputs (N, ...) float32."""
        device = next(self.network.parameters()).device
        self.network.eval()
        with torch.no_grad():
            parts = [
                self.logits(torch.from_numpy(inputs[start : start + _ROWS]).to(device)).cpu()
                for start in range(0, len(inputs), _ROWS)
            ]
        joined: np.ndarray = torch.cat(parts).double().numpy()
        return joined

    def answer(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) scores from 0 to 1, and (N,) bool: is the input flagged as adversarial?"""
        found = self.suspicion(inputs)
        # Not `>`: what cannot be compared, NaN, is flagged.
        return 1 / (1 + np.exp(-found.clip(-500, 500))), ~(found <= self.threshold)

    def calibrate(self, clean: np.ndarray) -> None:
        """Set the threshold so that new clean inputs are flagged at most at the declared rate.

        The rank of a new clean input's score among those of the n given ones is uniform, so
        flagging what exceeds the ceil((n + 1)(1 - rate))-th smallest errs with at most that rate
        (split conformal; Bates et al., "Testing for outliers with conformal p-values", 2023).

        Raises:
            ValueError: there are too few inputs to promise the rate.
        """
        rank = math.ceil((len(clean) + 1) * (1 - self.false_positive_rate))
        if rank > len(clean):
            raise ValueError(
                f"got {len(clean)} validation samples, expected at least "
                f"{math.ceil(1 / self.false_positive_rate) - 1} to promise a false positive rate "
                f"of {self.false_positive_rate:g} of the evasion detector"
            )
        suspicion = self.suspicion(clean)
        if not np.isfinite(suspicion).all():
            raise ValueError(
                "the evasion detector's answers to validation samples are not finite; are the "
                "model's own?"
            )
        self.threshold = float(np.sort(suspicion)[rank - 1])

    def write(self, folder: Path) -> None:
        """Write evasion.json and evasion.safetensors into a model tree."""
        from safetensors.torch import save_file

        weights = {n: value.contiguous().cpu() for n, value in self.network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        document = {
            "on": self.on,
            "shape": list(self.shape),
            "falsePositiveRate": self.false_positive_rate,
            "threshold": self.threshold,
        }
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, spec: ModelSpec, module: nn.Module) -> Guard | None:
        """The detector of a model tree, on the module's device; None where the tree has none.

        Raises:
            ValueError: a file is malformed, or the two do not belong together.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = folder / FILE
        if not path.exists():
            return None
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if document["on"] not in ON:
                raise ValueError(f"unknown kind {document['on']!r}")
            if not math.isfinite(document["threshold"]):
                raise ValueError(f"the threshold {document['threshold']}")
            network = build(document["shape"])
            network.load_state_dict(load_file(folder / WEIGHTS))
            return cls(
                spec=spec,
                module=module,
                on=document["on"],
                shape=tuple(document["shape"]),
                false_positive_rate=float(document["falsePositiveRate"]),
                threshold=float(document["threshold"]),
                network=network.to(next(module.parameters()).device).eval(),
            )
        except (
            OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, SafetensorError
        ) as error:  # fmt: skip
            raise ValueError(
                f"{path}: {error!r}; expected what training wrote: train the model again"
            ) from None
