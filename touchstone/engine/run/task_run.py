"""One TaskRun from its first step to its last, with retries and a time limit."""

from __future__ import annotations

import logging
import time

from touchstone.engine.plan.refusals import refusal_of_task_run
from touchstone.engine.plan.task_run import (
    DEFAULT_TIMEOUT,
    AttemptEndedError,
    PlannedTaskRun,
    StoppedError,
    Surroundings,
    uid,
)
from touchstone.engine.pod.notices import TaskFinished, TaskStarted
from touchstone.engine.pod.process import Halt
from touchstone.engine.run.attempt import Attempt
from touchstone.errors import ManifestError
from touchstone.runs import faults, record
from touchstone.runs.record import Json

_log = logging.getLogger(__name__)

BROKE = "InternalError"
"""Reason of a run that broke in the engine, and did not fail in a step."""

__all__ = [
    "BROKE",
    "DEFAULT_TIMEOUT",
    "PlannedTaskRun",
    "StoppedError",
    "Surroundings",
    "run",
    "uid",
]


def run(planned: PlannedTaskRun, stored: Json | None, around: Surroundings, halt: Halt) -> Json:
    """Run a TaskRun until it ended; its final status.

    `stored` is the status a killed engine left, whose retries stay counted. Raises StoppedError.
    """
    with around.turn(planned, halt) as turn:
        if turn.taken is not None:
            return turn.taken
        status = _run(planned, stored, around, halt)
        turn.ended(status)
        return status


def _run(planned: PlannedTaskRun, stored: Json | None, around: Surroundings, halt: Halt) -> Json:
    status: Json = {"retriesStatus": list((stored or {}).get("retriesStatus", []))}
    while True:
        attempt = len(status["retriesStatus"])
        around.notify(
            TaskStarted(
                run=around.folders.run, task=planned.task, taskrun=planned.taskrun, attempt=attempt
            )
        )
        began = time.monotonic()
        retry = _attempt(planned, status, attempt, around, halt)
        condition = record.succeeded_condition(status)
        if condition["status"] == "False" and retry and attempt < planned.retries:
            past = {key: value for key, value in status.items() if key != "retriesStatus"}
            status = {"retriesStatus": [*status["retriesStatus"], past]}
            around.save(planned.taskrun, status)
            continue
        if not status["retriesStatus"]:
            del status["retriesStatus"]
        around.save(planned.taskrun, status)
        around.notify(
            TaskFinished(
                run=around.folders.run,
                task=planned.task,
                taskrun=planned.taskrun,
                succeeded=condition["status"] == "True",
                reason=condition["reason"],
                message=condition["message"],
                seconds=time.monotonic() - began,
            )
        )
        return status


def _attempt(
    planned: PlannedTaskRun, status: Json, attempt: int, around: Surroundings, halt: Halt
) -> bool:
    """Fill `status` with one attempt; whether a failed one may be retried.

    What breaks it, whatever a step did for that, ends it as failed. Raises what may pass by itself
    (touchstone.runs.faults.passing), and StoppedError.
    """
    status["startTime"] = record.now()
    status["podName"] = ""
    status["taskSpec"] = dict(planned.spec)
    status["steps"] = []
    if planned.source:
        status["provenance"] = {"refSource": planned.source}
    status["conditions"] = [
        record.condition("Unknown", "Running", "Not all Steps in the Task have finished executing")
    ]
    around.save(planned.taskrun, status)
    retry = True
    outcome = record.condition("True", "Succeeded", "All Steps have completed executing")
    try:
        Attempt(planned, status, attempt, around, halt).run()
    except AttemptEndedError as over:
        broke = over.reason in ("Failed", "StepFailed", "SidecarFailed")
        reason = "FailureIgnored" if planned.ignored and broke else over.reason
        outcome = record.condition("False", reason, str(over))
        retry = over.retry
    except ManifestError as error:
        refusal = refusal_of_task_run(planned, error)
        outcome = record.condition("False", refusal.reason, refusal.message)
        retry = False
    except StoppedError:
        raise
    except Exception as error:
        if faults.passing(error):
            raise
        _log.exception("the TaskRun %s broke", planned.taskrun)
        outcome = record.condition("False", BROKE, faults.words(error))
        retry = False
    status["completionTime"] = record.now()
    status["conditions"] = [outcome]
    return retry
