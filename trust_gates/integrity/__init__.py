"""Integrity gate: are the model's files what they claim to be, and safe to load?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.integrity import pickles
from trust_gates.statistics import exact
from trust_gates.verdict import Check, Evidence, Outcome, Required

GATE = "integrity"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """What is examined."""

    model: Path
    """The model tree's folder."""

    expected: Mapping[str, str] = field(default_factory=dict)
    """Digests as the earlier stages named them, by what they are of."""

    actual: Mapping[str, str] = field(default_factory=dict)
    """The same, computed from the bytes that are here now."""

    learned: NDArray[np.float32] | None = None
    """Inputs that the model was trained and tuned on, (N, ...)."""

    tested: NDArray[np.float32] | None = None
    """Inputs that it is judged on, (M, ...)."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """One thing to count, and the names of what was counted."""

    name: str
    items: list[str]
    examined: int
    required: Required = Required(high=0)
    good: str = ""


def judge(subject: Subject) -> Evidence:
    """Count what is wrong; every count must be zero, and there must be weights.

    Nothing is loaded that could run code: weights are read as safetensors only.
    """
    files = sorted(path for path in subject.model.rglob("*") if path.is_file())
    weights = [path for path in files if path.suffix == ".safetensors"]
    findings = [
        _pickles(subject.model, files),
        _digests(subject),
        _leaks(subject),
        *_weights(subject.model, weights),
    ]
    return Evidence(
        gate=GATE,
        checks=[_check(finding) for finding in findings],
        figures={finding.name: float(len(finding.items)) for finding in findings},
        notes=[f"examined {len(files)} files of the model"],
    )


def _check(finding: _Finding) -> Check:
    count = len(finding.items)
    measure = exact(count, finding.examined)
    outcome = finding.required.decide(count, measure.interval(1.0))
    shown = "; ".join(finding.items[:5]) + (f"; and {count - 5} more" if count > 5 else "")
    reason = f"{finding.name}: got {count}, expected {finding.required}"
    if outcome is Outcome.PASSED:
        reason += f" ({finding.good or shown})" if finding.good or shown else ""
    elif shown:
        reason += f": {shown}"
    return Check(
        gate=GATE,
        name=finding.name,
        measured=float(count),
        interval=measure.interval(1.0),
        required=finding.required,
        samples=finding.examined,
        outcome=outcome,
        reason=reason,
    )


def _pickles(model: Path, files: list[Path]) -> _Finding:
    found = {path.relative_to(model).as_posix(): pickles.reason(path) for path in files}
    return _Finding(
        "pickle_files",
        [f"{name}: {reason}" for name, reason in found.items() if reason],
        len(files),
        good=f"{len(files)} files examined",
    )


def _digests(subject: Subject) -> _Finding:
    wrong = []
    for name in sorted({*subject.expected, *subject.actual}):
        expected, actual = subject.expected.get(name, ""), subject.actual.get(name, "")
        if not _DIGEST.fullmatch(expected):
            wrong.append(f"{name} is named {expected!r}, expected sha256:<64 hex digits>")
        elif actual != expected:
            wrong.append(f"{name} is {actual or 'absent'}, expected {expected}")
    if not subject.expected:
        wrong.append("no digest was given to hold the files against")
    return _Finding(
        "digest_mismatches",
        wrong,
        len(subject.expected),
        good="matched: " + ", ".join(sorted(subject.expected)),
    )


def _leaks(subject: Subject) -> _Finding:
    if subject.learned is None or subject.tested is None or not len(subject.tested):
        return _Finding("leaked_test_samples", ["there are no samples to compare"], 0)
    seen = {_row(row) for row in subject.learned}
    leaked = [f"test sample {i}" for i, row in enumerate(subject.tested) if _row(row) in seen]
    return _Finding(
        "leaked_test_samples",
        leaked,
        len(subject.tested),
        good=f"none of {len(subject.tested)} test samples was learned from",
    )


def _row(row: NDArray[Any]) -> bytes:
    return blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest()


def _weights(model: Path, weights: list[Path]) -> list[_Finding]:
    from safetensors import SafetensorError, safe_open

    names = [path.relative_to(model).as_posix() for path in weights]
    broken: list[str] = []
    count = 0
    for path, name in zip(weights, names, strict=True):
        try:
            with safe_open(path, framework="pt") as tensors:
                for key in tensors.keys():  # noqa: SIM118 (the handle is no mapping)
                    tensor = tensors.get_tensor(key)
                    count += 1
                    if tensor.is_floating_point() and not tensor.isfinite().all():
                        broken.append(f"{name}: {key} has values that are not finite")
        except (SafetensorError, OSError, ValueError) as error:
            broken.append(f"{name} is no safetensors file ({error})")
    return [
        _Finding("safetensors_files", names, len(names), required=Required(low=1)),
        _Finding("bad_weights", broken, count, good=f"{count} tensors are finite"),
    ]
