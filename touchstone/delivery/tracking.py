"""What of a run goes to an experiment tracker where one is named, and how is it sent?

A tracker is told, never asked: nothing that decides depends on it.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from touchstone.delivery.tracker import REPORT, Server, client, log_files, require_mlflow, said
from touchstone.errors import DeadlineError, PlatformError
from trust_gates.visible import one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN = "touchstone.run"
"""The tag that names the PipelineRun: it is tracked once, however often that is tried."""

_TRIAL = "touchstone.trial"
_SECONDS = 120.0
"""A tracker that is slower is left alone."""

_LONGEST = {"name": 250, "param": 500, "tag": 5000}
_MOST = 500
"""Figures of one run, and of one trial: their names come from the model's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of `spec.tune`; a run of its own below the run's."""

    number: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What a tracker is told of one run."""

    model: str
    run: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    trials: Sequence[Trial] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The trust report, by file name."""
    ended: bool = True
    """Whether there is a verdict; a run that broke before is a failed one."""


def of_run(
    run: str,
    *,
    model: str,
    commit: str,
    tuned: Mapping[str, Any],
    verdict: tuple[str, Mapping[str, Any]] | None,
    files: Mapping[str, bytes],
) -> Tracked:
    """What is told of a run.

    Args:
        tuned: what the stage tune left.
        verdict: with its digest; None where the run came to none.
        files: the verdict's report, by file name.
    """
    trials = [
        Trial(
            number=trial["number"],
            params=_texts(trial["parameters"]),
            metrics=_numbers(trial["figures"]),
            failed=trial["value"] is None,
        )
        for trial in tuned["trials"]
    ]
    tags = {RUN: run, "mlflow.source.git.commit": commit, "touchstone.commit": commit}
    if verdict is None:
        params = _texts(tuned["parameters"])
        return Tracked(
            model=model, run=run, tags=_tags(tags), params=params, trials=trials, ended=False
        )
    digest, document = verdict
    facts = document["facts"]
    # The model's code names its figures and parameters: none of them passes for a gate's, which
    # has a slash, or takes the place of what was asked.
    own = {name.replace("/", "."): value for name, value in facts["metrics"].items()}
    tags |= {
        "touchstone.verdict": "passed" if document["passed"] else "refused",
        "touchstone.verdict.digest": digest,
        **{f"touchstone.{name}": document[name] for name in ("model", "data", "dataset", "policy")},
    }
    if refused := sorted({one["gate"] for one in document["checks"] if one["outcome"] != "passed"}):
        tags["touchstone.refused"] = ", ".join(refused)
    return Tracked(
        model=model,
        run=run,
        tags=_tags(tags),
        params=_texts({**facts["parameters"], **_flat("train", facts["training"])}),
        metrics=_numbers({**dict(_checks(document["checks"])), **own}),
        trials=trials,
        files=files,
    )


def send(server: Server, tracked: Tracked, *, seconds: float = _SECONDS) -> str:
    """Tell the tracker; where the run is found there. What it knows of the run already is renewed.

    Raises:
        PlatformError: mlflow is not installed, or the tracker took it not.
        DeadlineError: it took longer than `seconds`.
    """
    require_mlflow()
    outcome: list[str | Exception] = []

    def work() -> None:
        try:
            with client(server) as mlflow:
                outcome.append(_send(mlflow, server, tracked))
        except Exception as error:  # whatever a library of that size raises
            outcome.append(error)

    # A server can keep each of many requests waiting for as long as one may take.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise DeadlineError(f"the tracker had not taken it after {seconds:g} s")
    (found,) = outcome
    if isinstance(found, Exception):
        raise PlatformError(f"the tracker did not take it: {said(found, server)}") from None
    return found


def _send(mlflow: MlflowClient, server: Server, tracked: Tracked) -> str:
    experiment = _experiment(mlflow, server, tracked.model)
    known = _known(mlflow, experiment, tracked.run)
    run = known.get("") or mlflow.create_run(experiment, run_name=tracked.run).info.run_id
    _log(mlflow, run, tracked.params, tracked.metrics, tracked.tags)
    for trial in tracked.trials:
        number = str(trial.number + 1)
        below = (
            known.get(number)
            or mlflow.create_run(
                experiment, run_name=f"trial {number}", tags={"mlflow.parentRunId": run}
            ).info.run_id
        )
        tags = {"mlflow.parentRunId": run, RUN: tracked.run, _TRIAL: number}
        _log(mlflow, below, trial.params, trial.metrics, tags)
        mlflow.set_terminated(below, "FAILED" if trial.failed else "FINISHED")
    if tracked.files:
        log_files(mlflow, run, tracked.files, REPORT)
    mlflow.set_terminated(run, "FINISHED" if tracked.ended else "FAILED")
    return server.page(experiment, run)


def _experiment(mlflow: MlflowClient, server: Server, name: str) -> str:
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # By default the files of a database go below the working directory of whoever writes.
    beside = Path(urlsplit(server.uri).path[1:]).parent / "mlartifacts"
    local = server.uri.startswith("sqlite:")
    return str(mlflow.create_experiment(name, beside.as_uri() if local else None))


def _known(mlflow: MlflowClient, experiment: str, run: str) -> dict[str, str]:
    """The ids of what is there of the run: of itself by "", of its trials by their number."""
    quoted = run.replace("'", "")
    found = mlflow.search_runs([experiment], f"tags.`{RUN}` = '{quoted}'", max_results=1000)
    return {one.data.tags.get(_TRIAL, ""): one.info.run_id for one in found}


def _log(
    mlflow: MlflowClient,
    run: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    at = mlflow.get_run(run).info.start_time  # the same each time: a figure renewed is one figure
    mlflow.log_batch(
        run,
        metrics=[Metric(name, value, at, 0) for name, value in metrics.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    pairs = [Param(name, value) for name, value in params.items()]
    for begin in range(0, len(pairs), 100):  # MLflow takes no more at once
        mlflow.log_batch(run, params=pairs[begin : begin + 100])


def _checks(checks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for check in checks:
        # A figure of groups, `name[sex: female]`, goes below its figure.
        name = f"{check['gate']}/{check['name']}".replace("[", "/", 1).removesuffix("]")
        yield name, check["measured"]
        interval = check["interval"] or {"low": None, "high": None}
        if interval["low"] != interval["high"]:  # else it was counted, and is what it is
            yield f"{name}.low", interval["low"]
            yield f"{name}.high", interval["high"]


def _flat(name: str, value: Any) -> dict[str, Any]:
    """By dotted names; a list stays one value."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {
        key: one
        for part, under in value.items()
        for key, one in _flat(f"{name}.{part}", under).items()
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    finite = {
        _named(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return dict(list(finite.items())[:_MOST])


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    texts = {
        _named(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    return {name: one_line(text)[: _LONGEST["param"]] for name, text in texts.items()}


def _tags(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: one_line(str(value))[: _LONGEST["tag"]] for name, value in values.items()}


def _named(name: str) -> str:
    """A name as MLflow takes it, which uses it as a path."""
    parts = [re.sub(r"[^\w.\-: ]", "_", part, flags=re.ASCII) for part in name.split("/")]
    path = "/".join(part if part.strip(". ") else "_" for part in parts)
    return path[: _LONGEST["name"]]
