"""One revision of one model: how it is asked, and what it answers.

    python -m touchstone.delivery.predictor --model-name N --model-dir D --http-port P | --socket S

On a cluster `--store` and `--model` unpack the tree named by its digest into D first, so every
byte is checked before it serves. V1 and V2 REST; no gRPC. Inputs are those that model.json
declares; docs/reference/serving.md has the forms that they may come in. Answers, for N inputs:

    V1  classification  {"predictions": [{"label": "cat", "probabilities": {"cat": 0.9, …}}, …]}
        regression      {"predictions": [{"value": 3.1}, …]}
        detection       {"predictions": [{"boxes": [[x1, y1, x2, y2], …], "labels": ["car", …],
                         "scores": [0.9, …]}, …]}
    V2  classification  label INT64 (N,), probabilities FP32 (N, K)
        regression      value FP32 (N,)
        detection       count INT64 (N,), boxes FP32 (N, M, 4), labels INT64 (N, M), scores FP32
                        (N, M), padded to the longest with zeros, and labels with -1

A model with a fairness rule that needs the protected attribute, and whose inputs do not hold it,
is also told the value for each input: V1 `{"instances": […], "sex": ["f", …]}`, V2 a second
tensor of that name, datatype BYTES. Without it the request is refused: no answer is guessed.

A model with an evasion detector adds how suspicious each input is, 0 to 1, and whether it is
flagged: V1 "adversarial_score" and "adversarial", V2 FP32 (N,) and BOOL (N,) of these names.
"""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.delivery.taken import Encode, Groups, Taken
from touchstone.delivery.wire import Instances, Tensors

if TYPE_CHECKING:
    from touchstone.training.evasion.guard import Guard
    from touchstone.training.mitigation.served import Served

_SUSPICION = {"adversarial_score": "FP32", "adversarial": "BOOL"}
"""What an evasion detector adds to an answer, with its V2 datatypes."""

_ROWS = 128
"""Inputs that a model is asked at a time: a request may hold 100,000."""


class Predictor:
    """A loaded model tree, asked with arrays. `document` is its model.json."""

    def __init__(
        self,
        spec: Any,
        module: Any,
        document: dict[str, Any],
        served: Served | None = None,
        guard: Guard | None = None,
        encode: Encode | None = None,
    ) -> None:
        self._spec = spec
        self._module = module.eval()
        self._served = served
        self._guard = guard
        self.task: str = document["task"]
        self.classes: list[str] = list(document["classes"])
        asks = served.source if served and served.needs else None
        self._takes = Taken.of(document["inputs"], encode, asks)

    def read(self, asked: Instances | Tensors) -> tuple[np.ndarray, Groups]:
        """The inputs (N, *shape) of a request, and what it says of protected attributes.

        Raises:
            ValueError: they are not what the model declares, or raw values that it does not know;
                or the model needs the protected attribute, and the request lacks it or has an
                unknown value.
        """
        inputs, groups = self._takes.read(asked)
        if self._served is not None:
            self._served.check(inputs, groups)
        return inputs, groups

    def answer(
        self, inputs: np.ndarray, groups: Groups | None = None
    ) -> list[dict[str, np.ndarray]]:
        """One dict of arrays per input: `probabilities`, `value`, or `boxes`, `labels`, `scores`.

        With an evasion detector also `adversarial_score` and `adversarial`, of no axis.
        """
        answers = []
        for start in range(0, len(inputs), _ROWS):
            some = slice(start, start + _ROWS)
            of_some = {name: values[some] for name, values in (groups or {}).items()}
            answers += self._guarded(inputs[some], of_some)
        return answers

    def rehearse(self) -> None:
        """Answer an input that was made up, as a client would be: what fails then fails now.

        Raises:
            Exception: whatever the model or its answer is wrong by.
        """
        if self._takes.encode is not None and not self._takes.columns:
            self._takes.encode([])  # starts the host that the model's own code runs in
        inputs, groups = self._takes.declared.example(), {}
        if self._served is not None:
            source = self._served.source
            groups = {source.protected: [source.values[0]]}
            if source.feature is not None:
                inputs[:, source.feature] = source.codes[0]
        answers = self.answer(inputs, groups)
        self.as_json(answers)
        self.as_tensors(answers)

    def _guarded(self, inputs: np.ndarray, groups: Groups) -> list[dict[str, np.ndarray]]:
        answers = self._answer(inputs, groups)
        if self._guard is None:
            return answers
        suspicions = zip(*self._guard.answer(inputs), strict=True)
        return [
            one | dict(zip(_SUSPICION, suspicion, strict=True))
            for one, suspicion in zip(answers, suspicions, strict=True)
        ]

    def _answer(self, inputs: np.ndarray, groups: Groups) -> list[dict[str, np.ndarray]]:
        import torch

        if self._served is not None:
            from touchstone.training.mitigation.apply import predictor

            network = predictor(self._spec, self._module)
            shares = self._served.answer(network, inputs, groups)
            return [{"probabilities": row} for row in shares]
        with torch.inference_mode():
            found = self._spec.predict(self._module, torch.from_numpy(inputs))
            if self.task == "regression":
                return [{"value": one} for one in found.float().numpy().reshape(len(inputs))]
            if self.task == "classification":
                return [{"probabilities": row.numpy()} for row in found.float().softmax(dim=1)]
            return [
                {
                    "boxes": one.boxes.float().numpy().reshape(-1, 4),
                    "labels": one.labels.numpy(),
                    "scores": one.scores.float().numpy(),
                }
                for one in found
            ]

    def as_json(self, answers: Sequence[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
        """V1 predictions, with class names in words."""
        pairs = zip(self._named(answers), answers, strict=True)
        return [
            named | {name: one[name].item() for name in _SUSPICION if name in one}
            for named, one in pairs
        ]

    def _named(self, answers: Sequence[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
        if self.task == "classification":
            return [
                {
                    "label": self.classes[int(one["probabilities"].argmax())],
                    "probabilities": dict(
                        zip(self.classes, one["probabilities"].tolist(), strict=True)
                    ),
                }
                for one in answers
            ]
        if self.task == "regression":
            return [{"value": one["value"].item()} for one in answers]
        return [
            {
                "boxes": one["boxes"].tolist(),
                "labels": [self.classes[label] for label in one["labels"].tolist()],
                "scores": one["scores"].tolist(),
            }
            for one in answers
        ]

    def as_tensors(self, answers: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """V2 output tensors by name; see the module's table."""
        names = [name for name in _SUSPICION if name in answers[0]]
        suspicion = {name: np.stack([one[name] for one in answers]) for name in names}
        if self.task == "classification":
            probabilities = np.stack([one["probabilities"] for one in answers])
            best = probabilities.argmax(axis=1)
            return suspicion | {"label": best, "probabilities": probabilities}
        if self.task == "regression":
            return suspicion | {"value": np.stack([one["value"] for one in answers])}
        count = np.array([len(one["scores"]) for one in answers], dtype=np.int64)
        longest = int(count.max())
        boxes = np.zeros((len(answers), longest, 4), dtype=np.float32)
        labels = np.full((len(answers), longest), -1, dtype=np.int64)
        scores = np.zeros((len(answers), longest), dtype=np.float32)
        for row, one in enumerate(answers):
            boxes[row, : count[row]] = one["boxes"]
            labels[row, : count[row]] = one["labels"]
            scores[row, : count[row]] = one["scores"]
        return suspicion | {"count": count, "boxes": boxes, "labels": labels, "scores": scores}

    def described(self) -> dict[str, Any]:
        """V2 metadata of inputs and outputs, with what a client needs to know as parameters."""
        words = {"classes": self.classes}
        if self.task == "classification":
            found = {
                "label": ("INT64", [-1], words),
                "probabilities": ("FP32", [-1, len(self.classes)], words),
            }
        elif self.task == "regression":
            found = {"value": ("FP32", [-1], {})}
        else:
            found = {
                "count": ("INT64", [-1], {}),
                "boxes": ("FP32", [-1, -1, 4], {}),
                "labels": ("INT64", [-1, -1], words),
                "scores": ("FP32", [-1, -1], {}),
            }
        if self._guard is not None:
            found |= {name: (kind, [-1], {}) for name, kind in _SUSPICION.items()}
        outputs = [
            {"name": name, "datatype": kind, "shape": shape}
            | ({"parameters": parameters} if parameters else {})
            for name, (kind, shape, parameters) in found.items()
        ]
        return {"task": self.task, "inputs": self._takes.described(), "outputs": outputs}


def _die_with_parent() -> None:
    """End this process when standard input closes: the parent is gone, even by kill -9.

    PR_SET_PDEATHSIG would also fire when merely the thread that started us ends.
    """

    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be held as the interpreter ends
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: Sequence[str] | None = None) -> None:
    """Load the model tree and serve it."""
    parser = argparse.ArgumentParser(prog="touchstone.delivery.predictor")
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--model-dir", required=True, type=Path)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--http-port", type=int)
    where.add_argument("--socket", type=Path, help="a Unix socket, in place of a port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--store", default="", help="unpack --model from here into --model-dir")
    parser.add_argument("--model", default="", help="digest of the model tree")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin closes")
    options = parser.parse_args(argv)
    if options.watch_stdin:
        _die_with_parent()
    if options.store:
        from touchstone.artifacts import models
        from touchstone.artifacts.store import open_store

        models.get(open_store(options.store), options.model, options.model_dir)
    from touchstone import confine
    from touchstone.delivery.server import serve
    from touchstone.training.evasion.guard import Guard
    from touchstone.training.mitigation.served import Served
    from touchstone.training.opened import open_model

    confine.limit_own_memory()
    opened = open_model(options.model_dir)
    served = Served.read(options.model_dir)
    guard = Guard.read(options.model_dir, opened.spec, opened.module)
    predictor = Predictor(opened.spec, opened.module, opened.document, served, guard, opened.encode)
    predictor.rehearse()
    serve(
        predictor,
        name=options.model_name,
        host=options.host,
        port=options.http_port,
        socket=options.socket,
    )


if __name__ == "__main__":
    main()
