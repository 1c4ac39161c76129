"""Judge a model outside a pipeline: from files to one verdict document and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from trust_gates import digests
from trust_gates.errors import PolicyError
from trust_gates.gates import Gates
from trust_gates.inputs import dataset, predictions
from trust_gates.inputs.dataset import Data
from trust_gates.integrity import pickles, tree
from trust_gates.quality.policy import Quality
from trust_gates.report.asked import Yardstick
from trust_gates.samples import Task
from trust_gates.software import versions
from trust_gates.target import Recorded, Target
from trust_gates.verdict import Evidence, Outcome, Verdict
from trust_gates.visible import one_line

ANSWERS_ONLY = ("quality", "fairness")
"""Gates that need no more than predictions."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A model and what it is judged on."""

    target: Target | Recorded
    data: Data
    notes: Sequence[str] = ()
    """What a reader must know of how it was asked; added to every gate's."""

    @property
    def model(self) -> Target:
        """The target, which is no recorded answers.

        Raises:
            ValueError: it is.
        """
        if isinstance(self.target, Recorded):
            raise ValueError("got predictions, expected a model that can be asked")
        return self.target


def open_subject(model: Path | None, data: Path, task: Task = "classification") -> Subject:
    """The model at `model` (an .onnx or .skops file, or a folder with one) and the data.

    Without a model, `data` is a CSV of predictions. `task` is what a CSV is of.

    Raises:
        ValueError: a file is absent, malformed, or one that loading could run code from.
        MissingExtraError: a library that this kind of model needs is not installed.
    """
    if model is None:
        recorded, samples = predictions.read(data, task=task)
        known = Data(samples=samples, low=recorded.low, high=recorded.high)
        note = (
            f"judged on recorded predictions ({data.name}): the model itself was not asked, so "
            "nothing is known of answers in other company"
        )
        return Subject(target=recorded, data=known, notes=[note])
    return opened(model, dataset.read(data, task=task))


def opened(model: Path, found: Data) -> Subject:
    """The model at `model`, to be judged on data that are read already.

    Raises:
        ValueError, MissingExtraError: as `open_subject`.
    """
    file, samples = model_file(model), found.samples
    known: Any = {"classes": samples.classes, "low": found.low, "high": found.high}
    if file.suffix.lower() == ".onnx":
        from trust_gates.inputs import onnx

        target = onnx.read(file, **known, spread=found.spread, task=samples.task)
    else:
        from trust_gates.inputs import sklearn

        target = sklearn.read(file, **known, spread=found.spread, features=found.features)
    found = as_taken(file.name, target, found)
    target = replace(target, reach=found.reach)
    return Subject(target=target, data=found, notes=[only_answers(file)])


def only_answers(file: Path) -> str:
    """What a reader must know of how a model in such a file was asked."""
    return f"{file.name} only answers: gradients are differences of its answers"


def as_taken(model: str, target: Target, data: Data) -> Data:
    """The data as the target takes them: a CSV's numbers are tokens to a model of tokens.

    Raises:
        ValueError: some are no whole numbers from 0 on.
    """
    if target.dtype == data.samples.inputs.dtype:
        return data
    found = data.samples.inputs.astype(target.dtype)
    if (found != data.samples.inputs).any() or (found < 0).any():
        raise ValueError(f"{model} takes tokens ({target.dtype}), got data that are none")
    return replace(data, samples=replace(data.samples, inputs=found), reach=None)


def judge(gate: str, subject: Subject, gates: Gates, *, seed: int = 0) -> Evidence:
    """What `gate` finds, by its policy in `gates`; what can only be asked in a pipeline is noted.

    Raises:
        PolicyError: there is no policy for this gate.
        ValueError: the policy asks for something that the data do not have.
        GateError: the gate does not work on this model.
    """
    policy = gates.policy(gate)
    if policy is None:
        raise PolicyError(
            f"got a policy for {', '.join(gates.declared)}, expected one for {gate}: "
            f"{gate}: {{checks: [{{metric: …, atLeast: …}}]}}"
        )
    data = subject.data
    setting = gates.setting(
        seed=seed, features=data.features, columns=data.columns, groups=data.groups
    )
    evidence: Evidence = import_module(f"trust_gates.{gate}").judge(
        subject.target, subject.data.samples, policy, setting
    )
    left = []
    if isinstance(policy, Quality) and policy.champion is not None:
        left = ["gates.quality.champion is not used here: no pipeline says what is served"]
    return replace(
        evidence,
        notes=[*evidence.notes, *subject.notes, *left],
        asked_as=subject.target.asked_as,
    )


def examine(
    model: Path,
    data: Path | None,
    gates: Gates,
    *,
    expected: Mapping[str, str],
    source: Path | None = None,
    open_target: Callable[[], Target] | None = None,
    seed: int = 0,
) -> Evidence:
    """What the integrity gate finds in a model's folder.

    Args:
        expected: digests (`sha256:…`) by the file's name inside the folder.
        source: the model repository, for what is not pinned in it.
        open_target: loads the model, where its training data are to be searched for backdoors.

    Raises:
        ValueError: there is no such folder, the data are malformed, or a link, a pipe or a device
            is among them.
    """
    from trust_gates import integrity

    if not model.is_dir():
        raise ValueError(
            f"got {model}, which is {'a file' if model.exists() else 'absent'}; integrity examines "
            "a model's folder with all that lies in it: expected that"
        )

    there = tree.walk(model).files
    subject = integrity.Subject(
        model=model,
        expected=expected,
        actual={name: digests.of_file(model / name) for name in expected if model / name in there},
        source=source,
    )
    if data is not None:
        if data.is_dir() and (irregular := tree.walk(data).irregular):
            raise ValueError(
                f"got {'; '.join(irregular)} in {data}, expected regular files: put each file "
                "itself there; nothing of the folder was read"
            )
        known = dataset.read(data, task=gates.task)
        subject = replace(
            subject,
            splits={**known.learned, "test": known.samples},
            low=known.low,
            high=known.high,
            groups=known.groups,
            features=known.features,
            target=open_target,
        )
    return integrity.judge(subject, gates.integrity, gates.setting(seed=seed))


def document(
    evidence: Sequence[Evidence],
    *,
    name: str,
    gates: Gates,
    seed: int,
    judged: Mapping[str, str],
    unused: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The verdict document of gates judged outside a pipeline: no run, no commit, no evidence.

    Args:
        judged: the digests of the model, the data and the policy's file.
        unused: by gate, what the policy's file asks for and nobody looked at.
    """
    found = Verdict(evidence=evidence, required=[one.gate for one in evidence]).to_json()
    asked = {gate for gate in gates.declared if gate in gates.model_fields_set}
    left = sorted(asked - {one.gate for one in evidence})
    warned = {gate: [f"gates.{gate} is declared and was not judged"] for gate in left}
    for gate, texts in (*unused.items(), *found["warnings"].items()):
        warned[gate] = [*texts, *warned.get(gate, ())]
    return {
        "apiVersion": "touchstone.dev/v1",
        "kind": "Verdict",
        **found,
        "warnings": warned,
        **judged,
        "name": name,
        "evidence": {},
        "seeds": {"gates": seed},
        "gates": gates.plain(),
        "software": versions(),
    }


def lines(evidence: Sequence[Evidence], yardstick: Yardstick) -> Iterator[str]:
    """What was asked and what was found in words, what did not pass last."""
    yield from (f"asked: {line}" for line in yardstick.lines())
    yield from (f"warning: {text}" for text in yardstick.every_warning)
    for one in evidence:
        yield from (one_line(f"note: {one.gate}: {note}") for note in one.notes)
    checks = [check for one in evidence for check in one.checks]
    for check in sorted(checks, key=lambda check: check.outcome is not Outcome.PASSED):
        mark = "ok" if check.outcome is Outcome.PASSED else check.outcome.value
        yield one_line(f"{mark}: {check.gate}: {check.reason}")


def model_file(model: Path) -> Path:
    """The .onnx or .skops file at `model`, or in that folder. Raises ValueError for any other."""
    if (model / "model.json").is_file():
        raise ValueError(
            f"{model} is a PyTorch model tree, which takes its own code to load; expected an .onnx "
            "or .skops file here: judge it with `touchstone gate`"
        )
    files = sorted(p for p in model.iterdir() if p.is_file()) if model.is_dir() else [model]
    if not all(file.is_file() for file in files):
        raise ValueError(f"{model} is absent, expected a model file or a folder with one")
    found = [file for file in files if file.suffix.lower() in (".onnx", ".skops")]
    for file in found if len(found) == 1 else files:
        if file.suffix.lower() == ".onnx":  # a protobuf: it can be as large as it likes
            continue
        if reason := pickles.reason(file):
            raise ValueError(
                f"{file} is refused: {reason}, and loading a pickle runs whatever it says; "
                "expected an .onnx file, or a scikit-learn model written with skops.io.dump"
            )
    if len(found) != 1:
        raise ValueError(
            f"got {[file.name for file in files]} in {model}, expected one .onnx or .skops file, "
            "or model.json with what `train` wrote beside it"
        )
    return found[0]
