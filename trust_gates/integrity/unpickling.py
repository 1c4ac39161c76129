"""What would an unpickler do with these bytes? Followed step by step, with nothing run.

An unpickler obeys each instruction as it reads it, so a file need not be a whole pickle to run
code: its first bytes are enough, whatever follows them. What stands for a value here is only what
it would be: plain data, or something that was imported and so could be called. Words that happen to
begin as instructions do soon ask for what the stack does not hold, where an unpickler gives up too.
"""

from __future__ import annotations

import _compat_pickle
import importlib.util
import pickletools
import re
import sys
from collections.abc import Iterator
from functools import cache
from pickletools import OpcodeInfo

from trust_gates.integrity.tree import Bytes

_ANY = "any"
"""Imported, or made by what was imported."""

_WORD = "word"
"""Imported if there were such a module: `cat`, `dog` on two lines asks for `at` and its `dog`."""

_INSTRUCTIONS = {ord(one.code): one for one in pickletools.opcodes}
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_LINES = {
    # More than pickletools takes: the unpickler in C reads numbers as C and Python write them.
    "INT": re.compile(rb"\s*[-+]?\d[\dxXbBoOa-fA-F_]*[lL]?\s*"),
    "LONG": re.compile(rb"\s*[-+]?\d[\dxXbBoOa-fA-F_]*[lL]?\s*"),
    "FLOAT": re.compile(rb"\s*[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*|inf|nan)(e[-+]?\d+)?\s*", re.I),
    "STRING": re.compile(rb"(?s)(['\"]).*\1\s*"),
    "PUT": re.compile(rb"\s*\+?\d[\d_]*\s*"),
    "GET": re.compile(rb"\s*\+?\d[\d_]*\s*"),
}
_CALLS = {"REDUCE": 2, "NEWOBJ": 2, "NEWOBJ_EX": 3, "BUILD": 2}
"""Instructions that call what lies below their arguments, and how many values they take."""

_FILLS = {"APPEND": 2, "SETITEM": 3, "APPENDS": 1, "SETITEMS": 1, "ADDITEMS": 1}
"""Likewise for those that fill a container, of which only one that was imported can do harm."""

_MOST = 1_000_000
"""Instructions that are followed: a sound file has none, or a few that do not hang together."""

_ENDLESS = f"it reads as a pickle of more than {_MOST} steps"

_NAMED = re.compile(rb"\n(?=[A-Za-z_][\w.]{0,100}\n)")
"""The end of a line before one that is a name: what the first ends with could be a module."""

_MODULE = re.compile(rb"[A-Za-z_][\w.]{0,100}")
_BEFORE = 256
"""Bytes before an INST in which its MARK is looked for."""


class _GivesUpError(Exception):
    """An unpickler would raise here."""


def reason(data: Bytes) -> str:
    """Why unpickling from the first byte on runs code or gives a value; empty where it fails."""
    return _followed(data, 0)[0] if len(data) else ""


def hidden(data: Bytes) -> str:
    """The same for text, from every later byte on where an import may begin that is called."""
    spent, starts = 0, 0
    for start in _starts(data):
        why, steps = _followed(data, start, runs=True)
        spent, starts = spent + steps, starts + 1
        if not why and spent > 3 * starts + _MOST:
            why = _ENDLESS
        if why:
            return f"from byte {start} on {why}"
    return ""


def _starts(data: Bytes) -> Iterator[int]:
    for match in _NAMED.finditer(data):
        end = match.start()
        line = data[max(end - _BEFORE, 0) : end]
        begin = line.rfind(b"\n") + 1
        for index in range(begin, len(line)):
            if line[index] not in b"ci" or not _MODULE.fullmatch(line, index + 1):
                continue
            at = end - len(line) + index
            if line[index : index + 1] == b"c":
                yield at
            else:
                near = data[max(at - _BEFORE, 0) : at]
                marks = [i for i, byte in enumerate(near) if byte == ord("(")]
                yield from (at - len(near) + mark for mark in marks[-4:])


def _followed(data: Bytes, start: int, *, runs: bool = False) -> tuple[str, int]:
    """What becomes of one pickle after another, with `runs` only by calls; and the steps taken."""
    end = len(data)
    while end and data[end - 1] in b" \t\r\n":
        end -= 1
    steps, at = 0, start
    while at < end:
        machine = _Machine()
        try:
            for instruction, argument, behind in _instructions(data, at):
                at = behind
                steps += 1
                if steps > _MOST:
                    return _ENDLESS, steps
                if machine.obey(instruction, argument):
                    return "unpickling it runs code", steps
                if instruction.name == "STOP":
                    break
        except _GivesUpError:
            return "", steps
        if machine.imported and not runs:
            return "it parses as a pickle that imports something", steps
    return ("" if runs else "it parses as a pickle"), steps


def _instructions(data: Bytes, at: int) -> Iterator[tuple[OpcodeInfo, bytes, int]]:
    """Each instruction, its argument's bytes, and where the next one begins."""
    while at < len(data):
        known = _INSTRUCTIONS.get(data[at])
        if known is None:
            raise _GivesUpError
        at += 1
        size = known.arg.n if known.arg is not None else 0
        if size == pickletools.UP_TO_NEWLINE:
            end = at
            for _ in range(2 if known.name in ("GLOBAL", "INST") else 1):
                end = data.find(b"\n", end) + 1
                if not end:
                    raise _GivesUpError
            argument = data[at : end - 1]
            at = end
        else:
            if size in _LENGTHS:
                width = _LENGTHS[size]
                size = int.from_bytes(data[at : at + width], "little")
                at += width
            if at + size > len(data):
                raise _GivesUpError
            # Only short arguments say anything here: names of memo cells.
            argument = data[at : at + min(size, 8)]
            at += size
        yield known, argument, at
    raise _GivesUpError


class _Machine:
    """The stack and the memo of an unpickler, with each value's kind in its place."""

    def __init__(self) -> None:
        self.stack: list[str] = []
        self.memo: dict[int, str] = {}
        self.imported = False

    def obey(self, instruction: OpcodeInfo, argument: bytes) -> bool:
        """Obey one instruction; whether code runs by it.

        Raises:
            _GivesUpError: an unpickler could not obey it.
        """
        name = instruction.name
        if name in _LINES and not _LINES[name].fullmatch(argument):
            raise _GivesUpError
        if name in ("GLOBAL", "INST"):
            if not all(map(_importable, argument.split(b"\n"))):
                raise _GivesUpError
            known = _known(argument.split(b"\n")[0].decode())
            self.imported |= known
            if name == "INST":
                self._to_mark()
                if known:
                    return True
            self.stack.append(_ANY if known else _WORD)
        elif name == "STACK_GLOBAL":
            if not {*self._take(2)} <= {"str", "bytes_or_str", _ANY}:
                raise _GivesUpError
            self.imported = True
            self.stack.append(_ANY)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[self._cell(name, argument)] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if (cell := self._cell(name, argument)) not in self.memo:
                raise _GivesUpError
            self.stack.append(self.memo[cell])
        elif name == "DUP":
            self.stack.append(self._top())
        elif name in _CALLS:
            called, given, *_ = self._take(_CALLS[name])
            if called not in ((_ANY,) if name == "BUILD" else (_ANY, _WORD)) or (
                name != "BUILD" and given not in ("tuple", _ANY)
            ):
                raise _GivesUpError
            return True
        elif name == "OBJ":
            if self._to_mark()[:1] not in ([_ANY], [_WORD]):
                raise _GivesUpError
            return True
        elif name in _FILLS:
            return self._fill(name)
        elif name == "PERSID":
            raise _GivesUpError  # an unpickler knows no persistent names in words
        else:
            self._plain(instruction)
        return False

    def _fill(self, name: str) -> bool:
        if name not in ("APPEND", "SETITEM"):
            self._to_mark()
        container = self._take(_FILLS[name])[0]
        if container == _ANY:
            return True
        kinds = {"APPEND": "list", "APPENDS": "list", "ADDITEMS": "set"}
        if container != kinds.get(name, "dict"):
            raise _GivesUpError
        self.stack.append(container)
        return False

    def _plain(self, instruction: OpcodeInfo) -> None:
        before = list(instruction.stack_before)
        if pickletools.stackslice in before:
            self._to_mark()
            before = before[: before.index(pickletools.markobject)]
        if instruction.name == "POP" and self.stack[-1:] == ["mark"]:
            self.stack.pop()
            return
        self._take(len(before))
        self.stack += [
            _ANY if kind is pickletools.anyobject else kind.name for kind in instruction.stack_after
        ]

    def _top(self) -> str:
        if not self.stack or self.stack[-1] == "mark":
            raise _GivesUpError
        return self.stack[-1]

    def _take(self, count: int) -> list[str]:
        taken = self.stack[len(self.stack) - count :] if count else []
        if len(taken) < count or len(self.stack) < count or "mark" in taken:
            raise _GivesUpError
        del self.stack[len(self.stack) - count :]
        return taken

    def _to_mark(self) -> list[str]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] == "mark":
                above = self.stack[index + 1 :]
                del self.stack[index:]
                return above
        raise _GivesUpError

    def _cell(self, name: str, argument: bytes) -> int:
        if name == "MEMOIZE":
            return len(self.memo)
        return int(argument) if name in ("PUT", "GET") else int.from_bytes(argument, "little")


def _importable(name: bytes) -> bool:
    try:
        return all(part.isidentifier() for part in name.decode("utf-8").split("."))
    except UnicodeDecodeError:
        return False


@cache
def _known(module: str) -> bool:
    """Whether there may be such a module: of Python, installed here, or in a package."""
    top, *inside = module.split(".")
    if inside or top in sys.stdlib_module_names or top in _compat_pickle.IMPORT_MAPPING:
        return True
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return True
