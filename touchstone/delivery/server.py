"""KServe's Python model server around a predictor.

KServe's are the process, readiness, CloudEvents and metrics. Bodies are read by us, strictly, and
metadata say what a client needs to know.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from touchstone.delivery import wire
from trust_gates.errors import GateError, HostGoneError


class Asked(Protocol):
    """What answers."""

    def read(self, asked: wire.Instances | wire.Tensors) -> tuple[np.ndarray, Mapping[str, Any]]:
        """The inputs of a request, and what it says of protected attributes."""

    def answer(self, inputs: np.ndarray, groups: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A dict of arrays for each input."""

    def as_json(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """V1 predictions."""

    def as_tensors(self, answers: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """V2 outputs."""

    def described(self) -> dict[str, Any]:
        """V2 metadata."""


def serve(predictor: Asked, *, name: str, host: str, port: int | None, socket: Path | None) -> None:
    """Answer on `host`:`port`, or on a Unix `socket`, until a signal ends the process."""
    # KServe parses sys.argv on import and would read our options as its own.
    sys.argv = sys.argv[:1]
    from kserve import Model, model_server
    from kserve.errors import InvalidInput

    class Revision(Model):  # type: ignore[misc]  # KServe has no types
        """KServe's view of a Predictor."""

        def load(self) -> bool:
            self.ready = True
            return True

        async def predict(
            self, payload: Any, headers: Any = None, response_headers: Any = None
        ) -> Any:
            # In a thread: readiness must be answered also while the model works.
            return await asyncio.to_thread(self._answered, payload)

        def _answered(self, payload: wire.Instances | wire.Tensors) -> Any:
            try:
                inputs, groups = predictor.read(payload)
            except HostGoneError:
                _end()
                raise
            except GateError as error:
                raise InvalidInput(f"the model cannot encode it: {error}") from None
            except ValueError as error:
                raise InvalidInput(str(error)) from None
            try:
                answers = predictor.answer(inputs, groups)
            except HostGoneError:
                _end()
                raise
            _finite(answers)
            if isinstance(payload, wire.Instances):
                return {"predictions": predictor.as_json(answers)}
            return _response(name, payload, predictor.as_tensors(answers))

    model = Revision(name)
    model.load()
    _adapt(model_server, predictor, name=name, host=host, socket=socket)
    model_server.ModelServer(http_port=port or 0, workers=1, enable_grpc=False).start([model])


def _adapt(
    model_server: Any, predictor: Asked, *, name: str, host: str, socket: Path | None
) -> None:
    """Mend what KServe 0.21 does: it binds all interfaces, and trusts what it is sent.

    A malformed V2 body ends there in 422 with words of its own or in 500, a V1 body of another
    content type reaches the model as bytes, and `NaN` is a number.
    """
    from fastapi import Request, Response
    from fastapi.responses import ORJSONResponse
    from kserve.errors import InvalidInput, ModelNotReady

    class Strict(model_server.DataPlane):  # type: ignore[misc]
        def decode(self, body: bytes, headers: Mapping[str, str], *rest: Any) -> Any:
            """A V1 request, which may come in a CloudEvent."""
            try:
                if "ce-specversion" in headers:
                    found = self.get_binary_cloudevent(body, headers)
                else:
                    found = wire.parsed(body)
                document, attributes = self.decode_cloudevent(found)
                return wire.instances(document), attributes
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise InvalidInput(str(error)) from None

    class Bound(model_server.RESTServer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.config.host = host
            self.config.uds = str(socket) if socket else None

        def _register_endpoints(self, app: Any) -> None:
            plane = self.dataplane

            async def infer(request: Request) -> Response:
                headers = dict(request.headers)
                length = headers.get(wire.JSON_LENGTH)
                try:
                    asked = wire.tensors(await request.body(), length)
                except ValueError as error:
                    raise InvalidInput(str(error)) from None
                found, _ = await plane.infer(name, asked, headers)
                content, own = plane.encode(name, found, {}, {})
                if isinstance(content, bytes):
                    kind = "application/octet-stream"
                    return Response(content, headers=own, media_type=kind)
                return ORJSONResponse(content)

            async def about(request: Request) -> Response:
                if not await plane.model_ready(name):
                    raise ModelNotReady(name)
                return ORJSONResponse({"name": name, "ready": True} | predictor.described())

            async def metadata(request: Request) -> Response:
                own = {"name": name, "platform": "touchstone"}
                return ORJSONResponse(own | predictor.described())

            # The first route that fits is the one: KServe's own of these paths are never reached.
            app.add_route(f"/v2/models/{name}/infer", infer, methods=["POST"])
            app.add_route(f"/v2/models/{name}", metadata, methods=["GET"])
            app.add_route(f"/v1/models/{name}", about, methods=["GET"])
            super()._register_endpoints(app)

        def _add_exception_handlers(self, app: Any) -> None:
            async def refused(request: Request, error: Exception) -> Response:
                """Said to the client alone: with a traceback for each, they would fill the log."""
                return ORJSONResponse({"error": str(error)}, status_code=400)

            super()._add_exception_handlers(app)
            app.add_exception_handler(InvalidInput, refused)

    model_server.RESTServer, model_server.DataPlane = Bound, Strict


def _end() -> None:
    """End this process, whose model host is gone; whoever watches over it starts another."""
    os.kill(os.getpid(), signal.SIGTERM)  # what is being answered is answered


def _finite(answers: list[dict[str, Any]]) -> None:
    """Raise where the model answers what JSON cannot say: it is not the client's fault."""
    for number, one in enumerate(answers):
        for what, values in one.items():
            if not np.isfinite(values).all():
                raise RuntimeError(
                    f"the model's {what} for the input at [{number}] are NaN or infinite, "
                    "expected finite numbers"
                )


def _response(name: str, asked: wire.Tensors, tensors: Mapping[str, Any]) -> Any:
    """The outputs that were asked for, as KServe writes them."""
    from kserve import InferOutput, InferResponse
    from kserve.errors import InvalidInput
    from kserve.protocol.infer_type import RequestedOutput
    from kserve.utils.numpy_codec import from_np_dtype

    if other := [one for one in asked.outputs if one not in tensors]:
        raise InvalidInput(
            f"got {wire.brief(other[0])} among outputs, expected some of {', '.join(tensors)}"
        )
    binary = asked.outputs or dict.fromkeys(tensors)
    return InferResponse(
        response_id=asked.id,
        model_name=name,
        infer_outputs=[
            InferOutput(key, list(value.shape), from_np_dtype(value.dtype), value)
            for key, value in tensors.items()
        ],
        requested_outputs=[
            RequestedOutput(key, {"binary_data": asked.binary if one is None else one})
            for key, one in binary.items()
        ],
    )
