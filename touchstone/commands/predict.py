"""`predict`: ask a served model, about a held-out sample or inputs of one's own, and say how."""

from __future__ import annotations

import json
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.completing import ModelName
from touchstone.errors import PlatformError, UsageError
from touchstone.home import Home
from trust_gates.visible import one_line

if TYPE_CHECKING:
    from touchstone.delivery.sample import Sample

_NOT_YET = (404, 503)
"""What the proxy answers of a model that is not served, and of one whose server starts."""

_REFUSED = range(400, 500)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(predict)


def predict(
    model: ModelName,
    sample: Annotated[
        int | None, typer.Option(min=0, help="Which held-out sample to send; the first by default.")
    ] = None,
    given: Annotated[
        str, typer.Option("--input", help="What to send: JSON, a .json or .csv file, or -.")
    ] = "",
    wait: Annotated[float, typer.Option(help="Seconds in which what was approved is served.")] = 60,
    environment: Annotated[str, typer.Option(help="Of several, which one to ask.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The server's answer as it is.")] = False,
) -> None:
    """Send a sample, or inputs of your own, to a served model and show what it answers.

    Example: touchstone predict object-detector --sample 3

    Example: touchstone predict income --input '{"age": 39, "workclass": "Private"}'
    """
    home = Home.default()
    platform = home.platform()
    if platform is None:
        raise home.life().missing
    if given and sample is not None:
        raise UsageError("got --sample and --input, expected one of them")
    prefix = f"{platform['serving']}/{environment}" if environment else platform["serving"]
    asked = None
    if given:
        from touchstone.delivery.question import body
        from touchstone.delivery.sample import released

        released(str(home.gitops_repository), model, environment)
        metadata, _ = _ask(f"{prefix}/v2/models/{model}", None, wait)
        request = body(given, metadata)
    else:
        asked = _sample(home, model, environment, sample or 0)
        request = asked.request()
    v2 = "inputs" in request
    url = f"{prefix}/v2/models/{model}/infer" if v2 else f"{prefix}/v1/models/{model}:predict"
    file = home.root / "requests" / f"{model}-{'input' if given else sample or 0}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(request), encoding="utf-8")
    answer, version = _ask(url, file, wait)
    if as_json or (v2 and asked is None):  # who speaks the protocol is answered in it
        typer.echo(json.dumps(answer, indent=2))
        return
    if asked is None:
        typer.echo(f"{model} {version} answers:")
        for one in answer["predictions"]:
            typer.echo(_prediction(one))
    else:
        typer.echo(f"{model} {version} sees: {_words(answer, asked)}")
        if any(_outputs(answer).get("adversarial", ())):
            typer.echo("its evasion detector flags the sample as attacked")
        typer.echo(f"in truth it is: {asked.truth or 'nothing'}")
    curl = ["curl", "-s", url, "-H", "content-type: application/json", "-d", f"@{file}"]
    typer.echo(f"again: {shlex.join(curl)}")


def _sample(home: Home, model: str, environment: str, index: int) -> Sample:
    from touchstone.artifacts.store import Store
    from touchstone.delivery.sample import held_out

    return held_out(
        str(home.gitops_repository),
        Store(home.artifacts),
        model=model,
        environment=environment,
        index=index,
    )


def _ask(url: str, file: Path | None, wait: float) -> tuple[dict[str, Any], str]:
    """The answer to a file, or to GET, and the version that gave it.

    A release that was just merged is waited for.
    """
    import httpx

    headers = {"content-type": "application/json"} if file else {}
    content = file.read_bytes() if file else None
    deadline, told = time.monotonic() + wait, False
    try:
        while True:
            response = httpx.request(
                "POST" if file else "GET",
                url,
                content=content,
                headers=headers,
                timeout=60,
                trust_env=False,
            )
            if response.status_code not in _NOT_YET or time.monotonic() > deadline:
                break
            if not told:
                typer.echo("waiting until it is served", err=True)
            told = True
            time.sleep(0.3)
    except httpx.HTTPError as error:
        raise PlatformError(
            f"{url} cannot be reached ({type(error).__name__})", hint="touchstone status"
        ) from None
    if response.status_code in _REFUSED and response.status_code not in _NOT_YET:
        raise UsageError(
            f"the model refuses the input: {_error(response.text)}",
            hint=f"{url.removesuffix('/infer').removesuffix(':predict')} says what it takes",
        )
    if response.status_code != 200:
        raise PlatformError(
            f"{url} answered {response.status_code}, expected 200: {_error(response.text)}",
            hint="touchstone status says what is served, logs/platform.log beside it why not",
        )
    document: dict[str, Any] = response.json()
    return document, response.headers.get("x-touchstone-version", "")


def _error(text: str) -> str:
    """The words of an answer that is none."""
    with suppress(ValueError, TypeError, KeyError):
        text = json.loads(text)["error"]
    return one_line(str(text))[:1000]


def _outputs(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def _words(answer: dict[str, Any], sample: Sample) -> str:
    outputs = _outputs(answer)
    if "value" in outputs:
        return f"{outputs['value'][0]:.6g}"
    if "probabilities" in outputs:
        label = outputs["label"][0]
        return _sure(sample.classes[label], outputs["probabilities"][label])
    sides = iter(outputs["boxes"])
    boxes = list(zip(sides, sides, sides, sides, strict=True))
    return _found([sample.classes[label] for label in outputs["labels"]], outputs["scores"], boxes)


def _prediction(one: dict[str, Any]) -> str:
    """A V1 prediction."""
    if "value" in one:
        words = f"{one['value']:.6g}"
    elif "probabilities" in one:
        words = _sure(one["label"], one["probabilities"][one["label"]])
    else:
        words = _found(one["labels"], one["scores"], one["boxes"])
    return words + (", flagged by its evasion detector" if one.get("adversarial") else "")


def _found(labels: list[str], scores: list[float], boxes: list[Any]) -> str:
    found = [
        f"{_sure(label, score)} at {', '.join(f'{side:.0f}' for side in box)}"
        for label, score, box in zip(labels, scores, boxes, strict=True)
    ]
    return "; ".join(found) or "nothing"


def _sure(label: str, share: float) -> str:
    return f"{one_line(label)} ({share:.0%} sure)"  # a model's own word
