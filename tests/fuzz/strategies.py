"""Inputs that are nearly right: our own fixtures with a few things in them changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from touchstone.engine.text.load import load_text
from touchstone.errors import ManifestError

ROOT = Path(__file__).parents[2]
_FOLDERS = ("tekton", "tests/embedded/tekton", "tests/fixtures")

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["", "$(", "$()", "$(params.a)", "$(tasks.a.results.b[*])", "$(params.a[9])", "\0", "1h",
         "-1s", "a.b", "[*]", "NaN", "2001-13-40", "0o9", "!!binary x", "\ud800", "$$(params.a)",
         "$(tasks.a.status)", "$(workspaces.w.path)", "$(params['a.b'])", "x" * 5000]
    )
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Anything JSON can hold, and a little that it cannot."""


@cache
def texts() -> tuple[str, ...]:
    """Every YAML file of ours, the shortest first."""
    found = [p for folder in _FOLDERS for p in sorted((ROOT / folder).rglob("*.yaml"))]
    return tuple(sorted((path.read_text() for path in found), key=len))


@cache
def documents() -> tuple[dict[str, Any], ...]:
    """Every Kubernetes object in those files."""
    found: list[dict[str, Any]] = []
    for text in texts():
        try:
            found += (dict(document.body) for document in load_text(text, "fixture"))
        except ManifestError:
            continue  # one of those that must be refused
    return tuple(found)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from _places(item, (*path, key))


def _at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


@st.composite
def mutated(draw: st.DrawFn, originals: Sequence[Any]) -> Any:
    """One of `originals` with up to three fields removed, added, replaced, doubled or moved."""
    value = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(value))
        if not places:
            break
        path = draw(st.sampled_from(places))
        holder, key = _at(value, path[:-1]), path[-1]
        match draw(st.sampled_from(["replace", "remove", "add", "double", "move"])):
            case "replace":
                holder[key] = draw(values)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=8) | st.just("name"))] = draw(values)
            case "double" | "add":
                extra = copy.deepcopy(holder[key])
                if isinstance(holder, list):
                    holder.insert(key, extra)
                else:
                    holder[f"{key}2"] = extra
            case "move":
                holder[key] = copy.deepcopy(_at(value, draw(st.sampled_from(places))))
    return value


@st.composite
def spoiled(draw: st.DrawFn, originals: Sequence[str]) -> str:
    """One of `originals` with up to four pieces of its text cut out, replaced or repeated."""
    text = draw(st.sampled_from(originals))
    piece = st.text(max_size=6) | st.sampled_from(
        ["&a ", "*a", "<<: ", "!!python/object:os.system ", "!!binary ", "!!timestamp ", "!x ",
         "---\n", "\t", "\x00", "\x85", "\ufeff", "{", "[", "? ", "|\n", ">-\n", "'", '"', "\\",
         "%YAML 9.9\n", "0x", "1:2:3", "2001-99-99", "=", "~", "#", ": ", "- ", ".inf", "!!set "]
    )  # fmt: skip
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 8)))
        text = text[:start] + draw(piece) + text[end:]
    return text


def as_text(value: Any) -> str:
    """`value` as JSON, which is YAML too."""
    return json.dumps(value, indent=1)
