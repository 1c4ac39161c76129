"""One revision of one model, answered by KServe's own Python model server.

    python -m touchstone.delivery.predictor --model-name N --model-dir D --http-port P | --socket S

On a cluster `--store` and `--model` unpack the tree named by its digest into D first, so every
byte is checked before it serves. V1 and V2 REST; no gRPC. Answers, for N inputs:

A model with a fairness rule that needs the protected attribute, and whose inputs do not hold it,
is also told the value for each input: V1 `{"instances": […], "sex": ["f", …]}`, V2 a second
tensor of that name, datatype BYTES. Without it the request is refused: no answer is guessed.

    V1  classification  {"predictions": [{"label": "cat", "probabilities": {"cat": 0.9, …}}, …]}
        detection       {"predictions": [{"boxes": [[x1, y1, x2, y2], …], "labels": ["car", …],
                         "scores": [0.9, …]}, …]}
        regression      {"predictions": [{"value": 3.1}, …]}
    V2  classification  label INT64 (N,), probabilities FP32 (N, K)
        detection       count INT64 (N,), boxes FP32 (N, M, 4), labels INT64 (N, M), scores FP32
                        (N, M), padded to the longest with zeros, and labels with -1
        regression      value FP32 (N,)

A model with an evasion detector adds how suspicious each input is, 0 to 1, and whether it is
flagged: V1 "adversarial_score" and "adversarial", V2 FP32 (N,) and BOOL (N,) of these names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from touchstone.training.evasion.guard import Guard
    from touchstone.training.mitigation.served import Served

Groups = Mapping[str, Sequence[str]]
"""The value of a protected attribute for each input, by the attribute's name."""


_SUSPICION = {"adversarial_score": "FP32", "adversarial": "BOOL"}
"""What an evasion detector adds to an answer, with its V2 datatypes."""


class Predictor:
    """A loaded model tree, asked with arrays. `document` is its model.json."""

    def __init__(
        self,
        spec: Any,
        module: Any,
        document: dict[str, Any],
        served: Served | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._spec = spec
        self._module = module.eval()
        self._served = served
        self._guard = guard
        self.needs = served.needs if served else ""
        """The protected attribute that a request must give; empty for none."""
        self.task: str = document["task"]
        self.classes: list[str] = list(document["classes"])
        self.shape: tuple[int, ...] = tuple(document["inputs"]["shape"])
        self.dtype: str = document["inputs"].get("dtype", "float32")

    def inputs(self, values: Any, groups: Groups | None = None) -> np.ndarray:
        """`values` as the model's type (N, *shape).

        Raises:
            ValueError: they are no numbers, of another shape, none at all, or not finite; or the
                model needs the protected attribute, and `groups` lacks it or has an unknown value.
        """
        import numpy as np

        try:
            array = np.asarray(values, dtype=self.dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"inputs are not one array of numbers: {error}") from None
        if array.ndim != len(self.shape) + 1 or array.shape[1:] != self.shape or not len(array):
            expected = ", ".join(str(size) for size in self.shape)
            raise ValueError(f"got inputs of shape {array.shape}, expected (N, {expected})")
        if not np.isfinite(array).all():
            raise ValueError("got an input that is NaN or infinite, expected finite numbers")
        if self._served is not None:
            self._served.check(array, groups or {})
        return array

    def answer(
        self, inputs: np.ndarray, groups: Groups | None = None
    ) -> list[dict[str, np.ndarray]]:
        """One dict of arrays per input: `probabilities`, or `value`, or `boxes`, `labels`,
        `scores`.

        With an evasion detector also `adversarial_score` and `adversarial`, of no axis.
        """
        answers = self._answer(inputs, groups or {})
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
            if self.task == "classification":
                return [{"probabilities": row.numpy()} for row in found.float().softmax(dim=1)]
            if self.task == "regression":
                return [{"value": row[0].numpy()} for row in found.float()]
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
        import numpy as np

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

    def output_types(self) -> list[dict[str, Any]]:
        """V2 metadata of the outputs; -1 stands for any size."""
        if self.task == "classification":
            shapes = {"label": [-1], "probabilities": [-1, len(self.classes)]}
        elif self.task == "regression":
            shapes = {"value": [-1]}
        else:
            shapes = {"count": [-1], "boxes": [-1, -1, 4], "labels": [-1, -1], "scores": [-1, -1]}
        if self._guard is not None:
            shapes |= {name: [-1] for name in _SUSPICION}
        types = dict.fromkeys(("label", "count", "labels"), "INT64") | _SUSPICION
        return [
            {"name": name, "datatype": types.get(name, "FP32"), "shape": shape}
            for name, shape in shapes.items()
        ]


def serve(
    predictor: Predictor, *, name: str, host: str, port: int | None, socket: Path | None
) -> None:
    """Answer on `host`:`port`, or on a Unix `socket`, until a signal ends the process."""
    # KServe parses sys.argv on import and would read our options as its own.
    sys.argv = sys.argv[:1]
    from kserve import InferOutput, InferRequest, InferResponse, Model, model_server
    from kserve.errors import InvalidInput

    class Revision(Model):  # type: ignore[misc]  # KServe has no types
        """KServe's view of a Predictor."""

        def load(self) -> bool:
            self.ready = True
            return True

        def get_input_types(self) -> list[dict[str, Any]]:
            own = {"name": "input", "datatype": "FP32", "shape": [-1, *predictor.shape]}
            asked = {"name": predictor.needs, "datatype": "BYTES", "shape": [-1]}
            return [own, asked] if predictor.needs else [own]

        def get_output_types(self) -> list[dict[str, Any]]:
            return predictor.output_types()

        async def predict(
            self, payload: Any, headers: Any = None, response_headers: Any = None
        ) -> Any:
            v2 = isinstance(payload, InferRequest)
            try:
                read = _v2_values if v2 else _v1_values
                values, groups = read(payload, predictor.needs)
                inputs = predictor.inputs(values, groups)
            except ValueError as error:
                raise InvalidInput(str(error)) from None
            # In a thread: readiness must be answered also while the model works.
            answers = await asyncio.to_thread(predictor.answer, inputs, groups)
            if not v2:
                return {"predictions": predictor.as_json(answers)}
            tensors = predictor.as_tensors(answers)
            types = {one["name"]: one["datatype"] for one in predictor.output_types()}
            outputs = [
                InferOutput(key, list(value.shape), types[key], value.flatten().tolist())
                for key, value in tensors.items()
            ]
            return InferResponse(
                response_id=payload.id or "", model_name=self.name, infer_outputs=outputs
            )

    model = Revision(name)
    model.load()
    _adapt(model_server, host, socket)
    model_server.ModelServer(http_port=port or 0, workers=1, enable_grpc=False).start([model])


def _adapt(model_server: Any, host: str, socket: Path | None) -> None:
    """Mend two habits of KServe 0.21: it binds all interfaces, and takes JSON by exact type only.

    V1 with `application/json; charset=utf-8` ends in 500, and with no type at all hands raw
    bytes to the model; both are JSON here.
    """

    class Bound(model_server.RESTServer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.config.host = host
            self.config.uds = str(socket) if socket else None

    model_server.RESTServer = Bound
    model_server.app.add_middleware(_PlainJson)


class _PlainJson:
    """ASGI middleware: V1's content type is always plain JSON, but for CloudEvents."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            headers = dict(scope["headers"])
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind in (b"", b"application/json", b"application/x-www-form-urlencoded"):
                headers[b"content-type"] = b"application/json"
                scope = {**scope, "headers": list(headers.items())}
        await self._app(scope, receive, send)


def _v1_values(payload: Any, needs: str) -> tuple[Any, dict[str, Any]]:
    """The instances, and the protected attribute's values where they are needed and given."""
    if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
        raise ValueError('got no instances, expected {"instances": [...]}')
    given = payload.get(needs) if needs else None
    if given is not None and not isinstance(given, list):
        raise ValueError(f"got {needs} {given!r}, expected a list with a value for each instance")
    return payload["instances"], {} if given is None else {needs: given}


def _v2_values(request: Any, needs: str) -> tuple[Any, dict[str, Any]]:
    """The input tensor, and the protected attribute's values where they are needed and given."""
    groups = {one.name: _words(one) for one in request.inputs if needs and one.name == needs}
    inputs = [one for one in request.inputs if one.name not in groups]
    if len(inputs) != 1:
        raise ValueError(f"got {len(inputs)} input tensors, expected one")
    (tensor,) = inputs
    if tensor.datatype not in ("FP32", "FP64", "INT64", "INT32", "UINT8"):
        raise ValueError(f"got datatype {tensor.datatype}, expected FP32")
    try:
        return tensor.as_numpy(), groups
    except Exception as error:  # KServe raises what numpy raises for data that does not fit
        raise ValueError(f"the data does not fit shape {tensor.shape}: {error}") from None


def _words(tensor: Any) -> list[str]:
    """The values of a BYTES tensor."""
    if tensor.datatype != "BYTES":
        raise ValueError(f"got {tensor.name} of datatype {tensor.datatype}, expected BYTES")
    values = tensor.as_numpy().reshape(-1).tolist()
    return [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in values]


def _die_with_parent() -> None:
    """End this process when standard input closes: the parent is gone, even by kill -9.

    PR_SET_PDEATHSIG would also fire when merely the thread that started us ends.
    """

    def watch() -> None:
        while sys.stdin.buffer.read(1):
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
    from touchstone.training.evasion.guard import Guard
    from touchstone.training.mitigation.served import Served
    from touchstone.training.opened import open_model

    confine.limit_own_memory()
    opened = open_model(options.model_dir)
    served = Served.read(options.model_dir)
    guard = Guard.read(options.model_dir, opened.spec, opened.module)
    predictor = Predictor(opened.spec, opened.module, opened.document, served, guard)
    serve(
        predictor,
        name=options.model_name,
        host=options.host,
        port=options.http_port,
        socket=options.socket,
    )


if __name__ == "__main__":
    main()
