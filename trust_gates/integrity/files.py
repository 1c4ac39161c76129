"""The model's files: those that were named, with nothing that runs, and weights that are sound."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trust_gates.integrity import estimators, tensors, tree
from trust_gates.integrity.findings import Finding
from trust_gates.verdict import Required

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def free_of(
    name: str, model: Path, files: Sequence[Path], reason: Callable[[Path], str]
) -> Finding:
    """The files that `reason` has something against."""
    found = {path.relative_to(model).as_posix(): reason(path) for path in files}
    return Finding(
        name,
        [f"{file}: {why}" for file, why in found.items() if why],
        len(files),
        good=f"{len(files)} files examined",
    )


def digests(wanted: Mapping[str, str], computed: Mapping[str, str]) -> Finding:
    """Whatever has another digest than was named, or none that is one."""
    wrong = []
    for name in sorted({*wanted, *computed}):
        expected, actual = wanted.get(name, ""), computed.get(name, "")
        if not _DIGEST.fullmatch(expected):
            wrong.append(f"{name} is named {expected!r}, expected sha256:<64 hex digits>")
        elif actual != expected:
            wrong.append(f"{name} is {actual or 'absent'}, expected {expected}")
    if not wanted:
        wrong.append("no digest was given to hold the files against")
    return Finding(
        "digest_mismatches", wrong, len(wanted), good="matched: " + ", ".join(sorted(wanted))
    )


def weights(model: Path, files: Sequence[Path]) -> list[Finding]:
    """Whether there are weights as safetensors, or an estimator as skops; and what in the weights
    is malformed or not finite."""
    names: list[str] = []
    wrong: list[str] = []
    count = 0
    for path in files:
        name = path.relative_to(model).as_posix()
        if name == estimators.FILE:  # what it may not hold is counted as executable
            names.append(name)
        if path.suffix.lower() != ".safetensors":
            continue
        try:
            with tree.mapped(path) as data:
                found = tensors.header(data)
                broken = [
                    f"{name}: {key} has values that are not finite"
                    for key in tensors.broken(data, found)
                ]
        except (OSError, ValueError) as error:
            wrong.append(f"{name} is no safetensors file ({error})")
            continue
        count += len(found)
        wrong += broken
        if any(tensor.size for tensor in found):
            names.append(name)
        else:
            wrong.append(f"{name} holds no value: a model without weights")
    return [
        Finding("weight_files", names, len(names), required=Required(low=1)),
        Finding("bad_weights", wrong, count, good=f"{count} tensors are finite"),
    ]


def irregular(places: Mapping[str, Sequence[str]]) -> Finding:
    """Links, pipes, sockets and devices of each place, such as the model, as a tree names them."""
    found = [f"{place}: {what}" for place, items in places.items() for what in items]
    return Finding("irregular_files", found, len(places), good=f"none in {' and '.join(places)}")
