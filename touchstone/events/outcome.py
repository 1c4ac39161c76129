"""What came of an event: trigger by trigger for who looks closer, and in one sentence for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.documents.naming import is_name
from touchstone.events.evaluate import Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one trigger made of an event."""

    trigger: str
    runs: tuple[dict[str, Any], ...]
    """What it creates, `metadata.name` set; empty where it stopped."""
    reason: str
    """Why it stopped, and at which step; empty where it did not."""
    told: str
    """The same for whoever sent the event and knows of no steps."""
    passed: int
    """How many steps came before that."""

    @classmethod
    def of(cls, found: Explanation) -> Outcome:
        """The outcome of a trigger; what cannot be kept as a run counts as stopped."""
        problem = next(filter(None, map(_misshapen, found.objects)), "")
        return cls(
            trigger=found.trigger,
            runs=() if problem else found.objects,
            reason=found.reason or problem,
            told=found.told or problem,
            passed=sum(step.passed for step in found.steps),
        )


def relevant(found: Sequence[Explanation]) -> list[Outcome]:
    """The outcomes of the triggers that the event is for, of all where it is for none."""
    return list(map(Outcome.of, [one for one in found if not one.elsewhere] or found))


def details(outcomes: Sequence[Outcome]) -> str:
    """A sentence for each trigger and none twice, separated by semicolons."""
    said: dict[str, str] = {}
    for one in outcomes:
        made = ", ".join(f"{run['kind']} {run['metadata']['name']}" for run in one.runs)
        text = f"nothing started, {one.reason}" if one.reason else f"created {made}"
        said.setdefault(text, f"{one.trigger}: {text}")
    return "; ".join(said.values())


def sentence(outcomes: Sequence[Outcome]) -> str:
    """What was started; else why nothing was, by the trigger that came nearest to it."""
    names = [run["metadata"]["name"] for one in outcomes for run in one.runs]
    if names:
        return f"started {', '.join(names)}"
    nearest = max(outcomes, key=lambda one: one.passed, default=None)
    return f"nothing started: {nearest.told if nearest else 'no trigger listens'}"


def _misshapen(made: Mapping[str, Any]) -> str:
    """Why the object cannot be kept as a run; empty where it can."""
    metadata = made["metadata"]
    name, annotations = metadata.get("name"), metadata.get("annotations") or {}
    if not isinstance(name, str) or not is_name(name):
        return (
            f"got the name {name!r}, expected lower case letters, digits, - and ., at most 63:"
            " metadata.generateName makes one"
        )
    if not isinstance(made.get("spec"), Mapping) or not isinstance(annotations, Mapping):
        return f"got {name} without a spec, or with annotations that are no mapping"
    return ""
