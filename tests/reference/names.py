"""Which attacks, figures, mitigations and defences can be named? The reference page, from the code.

python -m tests.yardstick.names --write docs/reference/names.md
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from touchstone.training import defences, mitigation
from trust_gates import GATES
from trust_gates.robustness import attacks

_HEADER = """\
# Names

Made by `make reference` from the code: what a touchstone.yaml or a gates file can name.
"""


def page() -> str:
    """docs/reference/names.md."""
    return "\n".join([_HEADER, *_attacks(), *_methods(), *_figures()]) + "\n"


def _attacks() -> Iterator[str]:
    yield "## Attacks\n\n| name | kind | norms | tasks |\n| --- | --- | --- | --- |"
    for attack in attacks.ATTACKS.values():
        norms, tasks = ", ".join(sorted(attack.norms)), ", ".join(sorted(attack.tasks))
        yield f"| `{attack.name}` | {attack.kind}-box | {norms} | {tasks} |"
    for name, ensemble in attacks.ENSEMBLES.items():
        yield f"| `{name}` | ensemble | | of {', '.join(ensemble.attacks)} |"


def _methods() -> Iterator[str]:
    for title, methods in (("Mitigations", mitigation.METHODS), ("Defences", defences.METHODS)):
        yield f"\n## {title}\n\n" + ", ".join(f"`{name}`" for name in sorted(methods))


def _figures() -> Iterator[str]:
    for gate in GATES:
        yield f"\n## Figures of the {gate} gate\n\n| name | what it is |\n| --- | --- |"
        for metric in import_module(f"trust_gates.{gate}.metrics").METRICS:
            yield f"| `{metric.name}` | {metric} |"
