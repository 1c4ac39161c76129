"""Do the gates' policies of touchstone.yaml fit the code and the data?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from touchstone.contract import remedy
from touchstone.contract.checked.place import Found, under
from touchstone.contract.model_repo import Spec
from touchstone.contract.seen import Seen
from touchstone.training.spec import Description
from trust_gates import attainable, glossary
from trust_gates.attainable import Sizes
from trust_gates.explainability.policy import Explainability
from trust_gates.inputs.description import DTYPES
from trust_gates.integrity.policy import Integrity
from trust_gates.policy import GatePolicy
from trust_gates.quality.policy import GAIN
from trust_gates.reach import Reach
from trust_gates.robustness import attacks, figures
from trust_gates.robustness.asked import GREY, TINY
from trust_gates.robustness.policy import Robustness
from trust_gates.wording import alike


def misfits(policies: Mapping[str, GatePolicy], whole: Spec | None, known: Seen) -> Found:
    """What is wrong with policies that fit themselves, by the field of spec.gates that says so."""
    misnamed = set()
    for gate, policy in policies.items():
        if known.task:
            yield from under((gate,), _of_task(gate, policy, known.task))
        if known.estimator:
            yield from under((gate,), _of_estimator(policy))
        if known.description is None or known.data is None:
            continue
        named = list(policy.misnamed(known.description.known))
        misnamed |= {gate} if named else set()
        yield from under((gate,), iter(named))
        yield from under((gate,), _of_shape(policy, known.description))
        if known.description.dtype != DTYPES[0]:
            yield from under((gate,), _of_tokens(policy, known.unembedded))
        if isinstance(policy, Robustness):
            if not named:
                yield from under((gate,), _of_reach(policy, known.description))
            yield from under((gate,), _of_epsilon(policy, known.description, known.data.spread))
    if whole is None or known.description is None or known.data is None:
        return
    counted = {
        name: dict(zip(values, known.data.groups.get(name, ()), strict=False))
        for name, values in known.description.protected.items()
        if known.data.groups.get(name)
    }
    sizes = Sizes(
        samples=known.data.sizes.get("test", 0), groups=counted, classes=known.description.classes
    )
    for path, problem in attainable.problems(remedy.judged_by(whole), sizes):
        if path[0] not in misnamed:  # else it is not known whom it compares
            yield path, problem


def _of_estimator(policy: GatePolicy) -> Found:
    """What cannot be judged of a model that is no network."""
    if isinstance(policy, Integrity) and policy.poisoning is not None:
        yield (
            ("poisoning",),
            "got a search for backdoors in an estimator, expected none: it looks at the layers"
            " of a network",
        )


def _of_task(gate: str, policy: GatePolicy, task: Any) -> Found:
    """Figures and attacks that do not serve models of this task."""
    for index, check in enumerate(policy.checks):
        if check.metric == GAIN:
            yield (
                ("checks", index, "metric"),
                f"got {GAIN!r}, expected champion: {{margin: …}} in its place: it is checked so"
                " where a version is served",
            )
        metric = glossary.METRICS.get(check.metric)
        if metric and not metric.serves(task):
            kinds = " and ".join(metric.tasks)
            offered = [
                one.name for one in glossary.of_gate(gate) if one.advice and one.serves(task)
            ]
            yield (
                ("checks", index, "metric"),
                f"got {check.metric!r}, which {kinds} models are measured by; this one is of the"
                f" task {task}: expected one of {', '.join(offered)}{alike(check.metric, offered)}",
            )
    if isinstance(policy, Robustness):
        wanted = [name for name in policy.wanted if not _other(name, task)]
        tried: list[tuple[str, Callable[[], object]]] = [
            ("attacks", lambda: attacks.chosen(policy.attacks, policy.norm, task)),
            ("figures", lambda: figures.chosen(wanted, policy.norm, task)),
        ]
        for name, choose in tried:
            try:
                choose()
            except ValueError as error:
                yield (name,), str(error)


def _other(name: str, task: str) -> bool:
    """Whether the glossary says already that the metric is none of the task's."""
    metric = glossary.METRICS.get(name)
    return bool(metric and not metric.serves(task))


def _of_shape(policy: GatePolicy, description: Description) -> Found:
    """What only rows of features have."""
    if len(description.inputs["shape"]) == 1:
        return
    for index, check in enumerate(policy.checks):
        if check.metric == "protected_share":
            yield (
                ("checks", index, "metric"),
                "got 'protected_share' for images, expected it for rows of features alone",
            )


def _of_tokens(policy: GatePolicy, unembedded: str) -> Found:
    """What cannot be judged of a model of tokens."""
    if isinstance(policy, Robustness | Explainability) and unembedded:
        yield (), f"{unembedded}; a model of tokens is judged from its embedding on"
    if isinstance(policy, Integrity) and policy.poisoning is not None:
        yield (
            ("poisoning",),
            "got a search for backdoors among tokens, expected none: it knows no"
            " marks that they carry",
        )


def _of_reach(policy: Robustness, description: Description) -> Found:
    """Limits that leave an attacker nothing to change."""
    inputs = description.inputs
    if not policy.immutable and not policy.bounds:
        return
    try:
        own = Reach.of_features(
            inputs.get("features", ()),
            low=float(inputs["low"]),
            high=float(inputs["high"]),
            immutable=policy.immutable,
            bounds=policy.bounds,
        )
        own.within(Reach.described(inputs))
    except (ValueError, TypeError, AttributeError) as error:
        yield ("bounds" if policy.bounds else "immutable",), str(error)


def _of_epsilon(policy: Robustness, description: Description, spread: Sequence[float]) -> Found:
    """A budget that moves everything, or next to nothing, of what the inputs vary by."""
    low, high = float(description.inputs["low"]), float(description.inputs["high"])
    if description.dtype != DTYPES[0]:  # the unit is the range of the embedding's table
        low, high = 0.0, 1.0
    count = 1
    for size in description.inputs["shape"]:
        count *= int(size)
    if policy.norm == "l0":
        if policy.epsilon >= count:
            yield ("epsilon",), f"got {policy.epsilon:g} values, expected fewer than all {count}"
        return
    whole = high - low
    farthest = {"linf": whole, "l2": whole * count**0.5, "l1": whole * count}[policy.norm]
    if policy.epsilon >= farthest:
        yield (
            ("epsilon",),
            f"got {policy.epsilon:g} under {policy.norm}, expected less than {farthest:g}: an"
            f" attacker could put any input in [{low:g}, {high:g}] in the place of another",
        )
        return
    image = len(description.inputs["shape"]) == 3
    # Of a row the budget may be spent on the column that varies least.
    reach = farthest if image or not spread else min(spread)
    least = GREY if image and policy.norm == "linf" else TINY
    if policy.epsilon / reach < least:
        yield (
            ("epsilon",),
            f"got {policy.epsilon:g} under {policy.norm}, which is {policy.epsilon / reach:.2g} of"
            f" what the inputs vary by ({reach:g}), expected {least:.2g} of it or more: it changes"
            " next to nothing. Epsilon is in the units of the inputs, which lie in"
            f" [{low:g}, {high:g}]",
        )
