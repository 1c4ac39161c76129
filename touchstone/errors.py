"""Every failure an operator can act on, and the exit code it ends with.

TouchstoneError              1   failed
├── UsageError               2   the command line is wrong
├── PlatformError            3   this machine or platform lacks something
├── ManifestError            4   the YAML or configuration is wrong; nothing was run
├── ModelRefusedError        5   a trust gate refused the model
└── DeadlineError            6   a time limit passed

0 is done and 130 is interrupted (SIGINT). The numbers are a public contract, locked by
tests/unit/test_errors.py.
"""

from __future__ import annotations

INTERRUPTED = 130


class TouchstoneError(Exception):
    """Base class: what was got and what was expected, then a hint at what to do."""

    exit_code = 1

    def __init__(self, problem: str, *, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


class UsageError(TouchstoneError):
    """The command was called in a way it does not understand."""

    exit_code = 2


class PlatformError(TouchstoneError):
    """The machine, the platform or a service it needs is not as expected."""

    exit_code = 3


class ManifestError(TouchstoneError):
    """A YAML document or a configuration is wrong; raised before anything runs.

    `location` is `file:line:column` (line and column from 1) of the offending field.
    """

    exit_code = 4

    def __init__(self, problem: str, *, location: str = "", hint: str = "") -> None:
        super().__init__(f"{location}: {problem}" if location else problem, hint=hint)
        self.location = location


class ModelRefusedError(TouchstoneError):
    """At least one check of the verdict did not pass."""

    exit_code = 5


class DeadlineError(TouchstoneError):
    """Something took longer than its time limit."""

    exit_code = 6
