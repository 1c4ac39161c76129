"""Does an expression compile as CEL, and what does it give?

Google's own C++ answers, in a process of its own (touchstone.documents.cel_host): its Python
binding may abort on a JSON null and keeps whatever a function takes (decision 0007), and an
expression may ask for more time and memory than there is.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Value = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

Secrets = Callable[[str, str], bytes]
"""The value of (Secret's name, key); raises an exception that says why there is none."""

_PATIENCE = 30
"""Seconds that one answer may take, the start of the process included."""

_SHOWN = 80
"""Characters of an expression that a message shows."""


class CelError(Exception):
    """The expression cannot be compiled, or failed on this context."""


class Dialect:
    """CEL with the variables and functions of one host.

    `module` is the name of a module that runs `touchstone.documents.cel_host.serve`.
    """

    def __init__(self, module: str) -> None:
        self._host = _Host(module)
        self._refusal = lru_cache(maxsize=1024)(self._check)

    def compile(self, source: str) -> None:
        """Check syntax, names and types.

        Raises:
            CelError: nothing could ever satisfy the expression.
        """
        if refusal := self._refusal(source):
            raise CelError(f"got {_short(source)}, expected a CEL expression: {refusal}")

    def evaluate(
        self, source: str, context: Mapping[str, Value], *, secrets: Secrets | None = None
    ) -> Value:
        """The expression's value as JSON; `context` maps variable names to JSON values.

        Raises:
            CelError: the expression is wrong, or fails on this context (an absent field, for
                example).
            OSError: the process that evaluates it cannot be started, whatever the expression.
        """
        self.compile(source)
        reply = self._reply(source, context, secrets)
        if "failed" in reply:
            raise CelError(f"{_short(source)} failed: {reply['failed']}")
        return reply["value"]

    def _check(self, source: str) -> str:
        return str(self._reply(source, None).get("refused", ""))

    def _reply(
        self, source: str, context: Mapping[str, Value] | None, secrets: Secrets | None = None
    ) -> dict[str, Any]:
        try:
            return self._host.ask(f"{json.dumps(source)}\n{json.dumps(context)}\n", secrets)
        except (TimeoutError, EOFError, RecursionError) as error:
            raise CelError(f"{_short(source)} failed: {error}") from None


def _short(source: str) -> str:
    return repr(source if len(source) <= _SHOWN else f"{source[:_SHOWN]}…")


class _Host:
    """A process that is started when first asked, and anew where it has ended."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def ask(self, question: str, secrets: Secrets | None) -> dict[str, Any]:
        """The answer. Raises TimeoutError or EOFError where the process gives none."""
        with self._turn:
            before, reply = self._process, None
            while reply is None:
                try:
                    reply = self._exchange(question, secrets)
                except (BrokenPipeError, EOFError):
                    code = self._end()
                    if before is None:
                        raise EOFError(
                            f"the process that evaluates it ended with {code}, as it does where"
                            " an expression takes too much memory"
                        ) from None
                    before = None  # it had ended after its last answer, or was killed
                except BaseException:  # a late answer must not meet the next question
                    self._end()
                    raise
            return reply

    def _exchange(self, question: str, secrets: Secrets | None) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is not for it
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout  # noqa: S101  as asked for
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while True:
            stdin.write(question.encode())
            stdin.flush()
            if not poll.poll(_PATIENCE * 1000):
                raise TimeoutError(f"no answer within {_PATIENCE} seconds")
            answer = stdout.readline()
            if not answer.endswith(b"\n"):
                raise EOFError
            reply: dict[str, Any] = json.loads(answer)
            if "secret" not in reply:
                return reply
            question = _looked_up(reply["secret"], secrets)

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        process.communicate()
        return process.returncode


def _looked_up(wanted: list[str], secrets: Secrets | None) -> str:
    """The line that answers the host's question for a Secret: its value, or why there is none."""
    name, key = wanted
    try:
        if secrets is None:
            raise LookupError("compareSecret has no secrets here")
        found = {"value": secrets(name, key).decode("latin-1")}
    except Exception as error:  # whatever it is, the expression fails and says so
        found = {"missing": str(error)}
    return f"{json.dumps(found)}\n"


PLAIN = Dialect("touchstone.documents.cel_host")
"""CEL's standard library, without variables."""
