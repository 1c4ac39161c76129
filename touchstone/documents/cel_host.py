"""What do CEL expressions give? The process that touchstone.documents.cel asks.

A question is two lines of JSON on the standard input: the expression, and its variables or null
where it is only to be compiled. The answer is one line: `{"value": …}`, `{"refused": why}` where it
does not compile, or `{"failed": why}` where it fails on these variables. Before that, the host may
ask back with `{"secret": [name, key]}`, which one line answers: `{"value": …}`, `{"missing": why}`.
"""

from __future__ import annotations

import base64
import json
import math
import re
import resource
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from cel_expr_python import cel

from touchstone.documents import gojson

_MOST_MEMORY = 1 << 30
"""Bytes of address space. An expression that wants more ends this process, and nothing else."""

_WORN = 256 << 20
"""Bytes of memory after which this process makes room for a fresh one."""

_NO_OVERLAY = [cel.Type.UINT, cel.Type.TIMESTAMP, cel.Type.DURATION]
"""What Tekton makes JSON of inside of lists and maps, but not alone."""

_SAFE = 2**53 - 1
"""JSON readers hold whole numbers up to here exactly; cel-go writes larger ones as texts."""

# What the binding wraps around a reason.
_WRAPPING = re.compile(
    r"^[A-Z_]+: (?:ERROR: <input>:)?| \(in container ''\)| expecting \{.*\}| \[[A-Z_]+\]$"
)
# What UTF-8 cannot write, and NUL, at which the binding would cut the text off.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def environment(
    *,
    variables: dict[str, cel.Type] | None = None,
    libraries: Sequence[str] = (),
    functions: Sequence[cel.FunctionDecl] = (),
) -> cel.Env:
    """CEL's standard library, with cel-go's further libraries and the caller's functions."""
    config = {"extensions": [{"name": name} for name in libraries]}  # JSON is YAML
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(json.dumps(config)),
        variables=variables or {},
        extensions=[cel.CelExtension("touchstone", functions)],
    )


def serve(env: cel.Env) -> None:
    """Answer until the one who asks is gone, or this process is worn."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    compiled = lru_cache(maxsize=1024)(env.compile)
    held = lru_cache(maxsize=1)(loads)  # one event meets several expressions
    while question := sys.stdin.readline():
        context = sys.stdin.readline()
        try:
            answer = _answer(compiled, json.loads(question), held(context))
        except Exception as error:  # whatever it is, the next question is another
            answer = {"failed": _reason(str(error))}
        _say(answer)
        if _resident() > _WORN:
            break


def _resident() -> int:
    """Bytes in memory now; getrusage's peak would be that of the process that started this one."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def secret(name: str, key: str) -> bytes:
    """The Secret's value, as the one who asks knows it. Raises ValueError where there is none."""
    _say({"secret": [name, key]})
    reply = json.loads(sys.stdin.readline())
    if "missing" in reply:
        raise ValueError(reply["missing"])
    return str(reply["value"]).encode("latin-1")


def loads(text: str) -> Any:
    """JSON as CEL holds it: all numbers are doubles."""
    return _held(json.loads(text, parse_int=float))


def plain(value: Any) -> Any:
    """What CEL gives, or the binding passes to a function, as JSON, after cel-go's rules.

    Raises:
        ValueError: JSON cannot hold it.
    """
    if isinstance(value, cel.Value):
        kind = value.type()
        if kind == cel.Type.NULL:  # the binding counts its None one reference short
            return None
        if kind == cel.Type.ERROR:
            raise ValueError(_reason(value.value()))
        value = value.value()
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= _SAFE else str(value)
        case float() if math.isfinite(value):
            minus = value == 0 and math.copysign(1, value) < 0  # JSON has a zero with a sign
            # From here on Go writes the shortest digits that say it, and zeros.
            whole = value.is_integer() and abs(value) <= _SAFE and not minus
            return int(value) if whole else value
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case list():
            return [plain(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: plain(item) for key, item in value.items()}
        case datetime():
            text = value.replace(tzinfo=None).isoformat()
            return f"{text.rstrip('0') if value.microsecond else text}Z"
        case timedelta():
            return f"{gojson.dumps(value.total_seconds())}s"
    raise ValueError(f"got {value!r}, expected a value that JSON can hold")


def _answer(
    compiled: Callable[[str], cel.Expression], source: str, context: dict[str, Any] | None
) -> dict[str, Any]:
    try:
        expression = compiled(source)
    except Exception as error:  # the binding's kinds of exceptions tell nothing
        return {"refused": _reason(str(error))}
    if context is None:
        return {}
    value = expression.eval(data=context)
    if value.type() in _NO_OVERLAY:
        raise ValueError(f"got a {value.type()}, expected a value that Tekton makes JSON of")
    return {"value": plain(value)}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201  the protocol


def _held(value: Any) -> Any:
    if isinstance(value, str):
        return _NO_TEXT.sub("\ufffd", value)
    if isinstance(value, list):
        return [_held(item) for item in value]
    if isinstance(value, dict):
        return {_held(name): _held(item) for name, item in value.items()}
    return value


def _reason(message: str) -> str:
    """The first line of a message, without what the binding wraps around it."""
    if "recursion" in message:
        return "it is nested too deeply, expected at most 32 levels"
    return _WRAPPING.sub("", next(iter(message.splitlines()), ""))


if __name__ == "__main__":
    serve(environment())
