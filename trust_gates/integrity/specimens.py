"""Would this gate have found anything? Specimens of what it must refuse, judged as the model is.

What only reads files is shown files that must be refused: where one is missed, the gate does not
work. What is judged by the policy is shown these very data with a fault planted into them: where
that passes, the policy asks for nothing.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from trust_gates.errors import GateError
from trust_gates.integrity import (
    data,
    estimators,
    executables,
    files,
    labels,
    pickles,
    tokens,
    tree,
)
from trust_gates.samples import Samples
from trust_gates.self_test import proved
from trust_gates.verdict import Outcome, Required

_COPIED = 0.5
"""Share of the test split that is copied from what was learned."""

_MOVED = 1 / 3
"""Share of the training labels that are exchanged for another: of two classes with half exchanged
nothing is left that could speak against a label."""

_SEEN = 0.1
"""Of so many exchanged labels an estimate must find at least this share."""

NOISE, LEAKED = "label_noise", "leaked_test_samples"


class _Harmless:
    """Its pickle calls a function, as a malicious one does; it is never loaded."""

    def __reduce__(self) -> tuple[Callable[[object], str], tuple[str]]:
        return repr, ("",)


def of_files() -> str:
    """A note of the files that must be refused and were.

    Raises:
        GateError: one of them was not.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        refused = dict(_files(folder))
    missed = [what for what, was in refused.items() if not was]
    if missed:
        raise GateError(
            f"the integrity gate does not work here: it accepted {', '.join(missed)}, which it must"
            " refuse; install Touchstone anew"
        )
    return proved("integrity", refused)


def _files(folder: Path) -> Iterator[tuple[str, bool]]:
    plain = pickle.dumps([_Harmless()], protocol=0)
    disguised = {
        "a pickle named as text": ("vocab.txt", plain),
        "one behind other bytes": ("merges.dat", b"#version: 0.2\n" + plain),
        "one in a zip behind other bytes": ("assets.dat", b"JUNK" + _zip("x", plain)),
        "one without its header": ("data", pickle.dumps([_Harmless()], protocol=2)[2:]),
    }
    for what, (name, content) in disguised.items():
        (folder / name).write_bytes(content)
        yield what, bool(pickles.reason(folder / name))
    (folder / "tools.zip").write_bytes(_zip("tool", b"\x7fELF" + bytes(60)))
    yield "a program in a zip", bool(executables.reason(folder / "tools.zip"))
    call = {"__module__": "os", "__class__": "system", "__loader__": "FunctionNode"}
    (folder / estimators.FILE).write_bytes(_zip("schema.json", json.dumps(call).encode()))
    yield "a call in an estimator", bool(executables.reason(folder / estimators.FILE))
    (folder / "link").symlink_to("vocab.txt")
    os.mkfifo(folder / "pipe")
    found = tree.walk(folder)
    yield "a link and a pipe", len(found.irregular) == 2
    head = {"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}
    text = json.dumps(head).encode()
    weights = folder / "model.safetensors"
    weights.write_bytes(len(text).to_bytes(8, "little") + text + b"\xc0\x7f")
    counts, bad = files.weights(folder, [weights])
    yield "a weight that is no number", bool(bad.items) and bool(counts.items)
    named = files.digests({"w": "sha256:" + "0" * 64}, {"w": "sha256:" + "1" * 64})
    yield "a file with other bytes than named", bool(named.items)


def of_data(
    splits: Mapping[str, Samples],
    required: Mapping[str, Required],
    *,
    confidence: float,
    seed: int,
) -> tuple[list[str], list[str]]:
    """Notes of what was planted into the data and refused; warnings of what cannot be told in them.

    Args:
        required: what the policy requires of `leaked_test_samples` and, where it does, of
            `label_noise`; what is absent is not tried.

    Raises:
        PolicyError: what was planted passes by the policy.
        GateError: it was not seen at all.
    """
    notes, warnings = [], []
    if LEAKED in required:
        planted = data.leaked(_copied(splits, seed), seed).items
        if planted:
            what = f"a test split of which {_COPIED:.0%} was copied from what was learned"
            notes.append(proved("integrity", {what: len(planted) not in required[LEAKED]}))
        elif data.by_chance(splits):
            warnings.append(
                "rows repeat so often in these data that copies of training rows cannot be told "
                "from chance: half of a test split was copied, and looked as a split at random does"
            )
        else:
            raise _blind(LEAKED, "half of the test samples, copied from the training samples")
    if NOISE in required:
        train = _exchanged(splits["train"], seed)
        if tokens.are(train):
            train = tokens.present(train, tokens.frequent(train))
        measure = labels.noise(train, train.inputs, seed)
        decided = required[NOISE].decide(measure.value, measure.interval(confidence))
        if not measure.missing and measure.value < _SEEN:
            raise _blind(
                NOISE, f"more than {measure.value:.0%} of the labels, {_MOVED:.0%} exchanged"
            )
        what = f"training labels of which {_MOVED:.0%} were exchanged"
        notes.append(proved("integrity", {what: decided is not Outcome.PASSED}))
    return notes, warnings


def _copied(splits: Mapping[str, Samples], seed: int) -> dict[str, Samples]:
    train, test = splits["train"], splits[data.TEST]
    generator = np.random.default_rng(seed)
    count = min(len(train), max(1, round(_COPIED * len(test))))
    sources = generator.permutation(len(train))[:count]
    places = generator.permutation(len(test))[:count]
    inputs, labels, targets = test.inputs.copy(), test.labels, test.targets
    inputs[places] = train.inputs[sources]
    if labels is not None and train.labels is not None:
        labels = labels.copy()
        labels[places] = train.labels[sources]
    if targets is not None and train.targets is not None:
        targets = targets.copy()
        targets[places] = train.targets[sources]
    copied = replace(test, inputs=inputs, labels=labels, targets=targets)
    return {**splits, data.TEST: copied}


def _exchanged(train: Samples, seed: int) -> Samples:
    assert train.labels is not None  # noqa: S101 (noise is measured of classifiers)
    generator = np.random.default_rng(seed)
    count = round(_MOVED * len(train))
    rows = generator.permutation(len(train))[:count]
    moved = train.labels.copy()
    classes = len(train.classes)
    moved[rows] = (moved[rows] + generator.integers(1, max(classes, 2), size=count)) % classes
    return replace(train, labels=moved)


def _blind(check: str, what: str) -> GateError:
    return GateError(
        f"the integrity gate does not work on these data: {check} did not see {what}; have the "
        "data looked at by people"
    )


def _zip(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()
