"""docs/reference/names.md: every metric, attack and method that a policy can name, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module

from touchstone.training.defences import METHODS as DEFENCES
from touchstone.training.methods import Method
from touchstone.training.mitigation import METHODS as MITIGATIONS
from trust_gates import GATES
from trust_gates.metric import Metric
from trust_gates.robustness.attacks import ATTACKS, ENSEMBLES

_HEADER = """\
# Names

*Made by `make reference` from what the code knows by name; do not edit by hand.*

What `spec.gates`, `spec.train` and `spec.remedy` of a `touchstone.yaml` can name, in the words of
the trust report. A metric without advice in the last column is reported and can be no check.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEADER]
    for gate in GATES:
        metrics = import_module(f"trust_gates.{gate}.metrics")
        parts += [
            f"## {gate.capitalize()}: metrics\n",
            f"{metrics.QUESTION} See [{gate}]({gate}.md).\n",
            _table(
                ("metric", "is", "ideal", "values", "where a check fails"),
                map(_metric, metrics.METRICS),
            ),
        ]
    parts += [
        "## Attacks\n",
        "White-box ones follow gradients, black-box ones only ask. See [robustness](robustness.md)."
        "\n",
        _table(
            ("attack", "does", "kind", "norms", "tasks"),
            (
                (f"`{a.name}`", a.meaning, a.kind, ", ".join(a.norms), ", ".join(a.tasks))
                for a in ATTACKS.values()
            ),
        ),
        *(
            f"`{name}` is {', '.join(f'`{one}`' for one in ensemble.attacks)}"
            f" with {ensemble.steps} steps and {ensemble.queries} queries.\n"
            for name, ensemble in ENSEMBLES.items()
        ),
        "## Defences\n",
        "Of `spec.train.defences` and `spec.remedy.robustness`; see"
        " [defences](../explanation/defences.md).\n",
        _methods(DEFENCES),
        "## Mitigations\n",
        "Of `spec.train.mitigation` and `spec.remedy.fairness`; see"
        " [fairness](fairness.md#mitigation).\n",
        _methods(MITIGATIONS),
    ]
    return "\n".join(parts)


def _metric(metric: Metric) -> Sequence[str]:
    ideal = "" if metric.ideal is None else f"{metric.ideal:g}"
    if metric.fair is not None:
        ideal += f"; {metric.fair[0]:g} to {metric.fair[1]:g} counts as fair"
    low, high = ("" if math.isinf(side) else f"{side:g}" for side in (metric.low, metric.high))
    values = f"{low} to {high}" if low and high else f"from {low} on" if low else "any"
    return f"`{metric.name}`", metric.meaning, ideal, values, metric.advice


def _methods(methods: Mapping[str, Method]) -> str:
    rows = ((f"`{name}`", one.stage, one.source) for name, one in methods.items())
    return _table(("method", "takes hold of", "from"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
