"""`predict`: ask a served model about one held-out sample, and say how to repeat it with curl."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.completing import ModelName
from touchstone.errors import PlatformError
from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.delivery.sample import Sample

_NOT_YET = (404, 503)
"""What the proxy answers of a model that is not served, and of one whose server starts."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(predict)


def predict(
    model: ModelName,
    sample: Annotated[int, typer.Option(min=0, help="Which held-out sample to send.")] = 0,
    wait: Annotated[float, typer.Option(help="Seconds in which what was approved is served.")] = 60,
    environment: Annotated[str, typer.Option(help="Of several, which one to ask.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The server's answer as it is.")] = False,
) -> None:
    """Send one sample to a served model (Open Inference Protocol, V2) and show what it answers.

    Example: touchstone predict object-detector --sample 3
    """
    from touchstone.artifacts.store import Store
    from touchstone.delivery.sample import held_out

    home = Home.default()
    platform = home.platform()
    if platform is None:
        raise home.life().missing
    asked = held_out(
        str(home.gitops_repository),
        Store(home.artifacts),
        model=model,
        environment=environment,
        index=sample,
    )
    file = home.root / "requests" / f"{model}-{sample}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(asked.request()), encoding="utf-8")
    prefix = f"{platform['serving']}/{environment}" if environment else platform["serving"]
    url = f"{prefix}/v2/models/{model}/infer"
    answer, version = _ask(url, file, wait)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"{model} {version} sees: {_words(answer, asked)}")
    if any(_outputs(answer).get("adversarial", ())):
        typer.echo("its evasion detector flags the sample as attacked")
    typer.echo(f"in truth it is: {asked.truth or 'nothing'}")
    curl = ["curl", "-s", url, "-H", "content-type: application/json", "-d", f"@{file}"]
    typer.echo(f"again: {shlex.join(curl)}")


def _ask(url: str, file: Path, wait: float) -> tuple[dict[str, Any], str]:
    """The answer, and the version that gave it; a release that was just merged is waited for."""
    import httpx

    headers = {"content-type": "application/json"}
    deadline, told = time.monotonic() + wait, False
    try:
        while True:
            response = httpx.post(
                url, content=file.read_bytes(), headers=headers, timeout=60, trust_env=False
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
    if response.status_code != 200:
        raise PlatformError(
            f"{url} answered {response.status_code}, expected 200: {response.text[:200]}",
            hint="touchstone status says what is served, logs/platform.log beside it why not",
        )
    document: dict[str, Any] = response.json()
    return document, response.headers.get("x-touchstone-version", "")


def _outputs(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def _words(answer: dict[str, Any], sample: Sample) -> str:
    outputs = _outputs(answer)
    if "value" in outputs:
        return f"{outputs['value'][0]:.6g}"
    if "probabilities" in outputs:
        label = outputs["label"][0]
        return f"{sample.classes[label]} ({outputs['probabilities'][label]:.0%} sure)"
    found = [
        f"{sample.classes[label]} ({score:.0%} sure) at"
        f" {', '.join(f'{side:.0f}' for side in outputs['boxes'][4 * i : 4 * i + 4])}"
        for i, (label, score) in enumerate(zip(outputs["labels"], outputs["scores"], strict=True))
    ]
    return "; ".join(found) or "nothing"
