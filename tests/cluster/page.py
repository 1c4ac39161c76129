"""The section of docs/reference/parity.md that tells the probes: `python -m tests.cluster.page`."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.probes import EXPLAINED, Probe, probes

PAGE = Path("docs/reference/parity.md")
TITLE = "## Asked of a real cluster"
_HEAD = """\
{title}

{number} small runs below `tests/cluster/parity/`, one question each, were made on a real cluster
(Tekton Pipelines with its default flags) and are made by the engine in every `make test`. Compared
are the condition, results, skipped tasks, child references with their names, and of every TaskRun
its condition, results, retries and steps: {equal} answers are the same word for word, {explained}
differ where the table says so. `make cluster-test KUBECONFIG=FILE` asks a cluster again.

| probe | asks | answers |
| --- | --- | --- |
"""


def section() -> str:
    """The section, its title first."""
    known = probes()
    explained = [probe for probe in known if probe.file.stem in EXPLAINED]
    head = _HEAD.format(
        title=TITLE,
        number=len(known),
        equal=len(known) - len(explained),
        explained=len(explained),
    )
    return head + "\n".join(_row(probe) for probe in known) + "\n"


def _row(probe: Probe) -> str:
    name = probe.file.stem
    why = "; ".join(dict.fromkeys(EXPLAINED.get(name, {}).values()))
    return f"| {name} | {probe.asks} | {why or 'the same'} |"


def in_page(text: str) -> str:
    """The page with this section as its last."""
    return f"{text.partition(TITLE)[0].rstrip()}\n\n{section()}"


if __name__ == "__main__":
    PAGE.write_text(in_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
