"""How do the trials of one study run without importing their libraries for each of them?

One process, confined once, imports and then runs each trial in a fork: `python -P worker.py
--trials` takes a job a line, and ends what the job printed by a line break and a line of a NUL and
its exit code. All trials are the same code on the same data, so one that meddled with another would
gain nothing that it has not: each says its own figures.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from touchstone.confine.inside import kernel
from touchstone.training import raised
from touchstone.training.launch import Job

END = b"\0"
"""Begins the line after a trial's output."""


def serve(run: Callable[[Job], int]) -> None:
    """Run the jobs that standard input names, until it ends."""
    import torch._dynamo  # noqa: F401 - for all forks; an optimizer imports it where nobody has

    for line in sys.stdin:
        trial = os.fork()
        if trial == 0:
            _be(run, line)
        _, status = os.waitpid(trial, 0)
        with suppress(ProcessLookupError):
            os.killpg(trial, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        os.write(1, b"\n" + END + b"%d\n" % (code if code >= 0 else 128 - code))


def _be(run: Callable[[Job], int], line: str) -> NoReturn:
    """A trial, to its end."""
    code = 1
    try:
        kernel.die_with_parent(signal.SIGKILL)
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        job = Job.model_validate_json(line)
        with suppress(SystemExit), raised.told(job.source):  # it says why, and ends with 1
            code = run(job)
    except BaseException:
        traceback.print_exc()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code & 0xFF)
