"""The pass tables, for the terminal and for docs/reference/parity.md."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.yardstick import conformance, examples, fields_table
from tests.yardstick.conformance import Verdict
from tests.yardstick.examples import NEEDS, Outcome

COMMIT = "3ee1745ae5b2d9175b11917d7c1935eaad44910c"
"""The commit of tektoncd/pipeline whose material DIGEST is that of."""

DIGEST = "f959f39940034f415c487cac7c7990778dfe4b3745be7d75dfd4cebc5bab3b9a"


def commit_of(reference: Path) -> str:
    """What was measured: a commit, known by the digest of the material or told by git."""
    if material_digest(reference) == DIGEST:
        return COMMIT
    told = subprocess.run(
        ["git", "-C", str(reference), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    return told.stdout.strip() or f"unknown (material sha256:{material_digest(reference)})"


def material_digest(reference: Path) -> str:
    """SHA-256 over the names and bytes of the examples and the conformance cases."""
    digest = hashlib.sha256()
    for file in [*examples.files(reference), reference / conformance.SOURCE]:
        digest.update(f"{file.relative_to(reference)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def summary(outcomes: Sequence[Outcome], verdicts: Sequence[Verdict]) -> list[str]:
    """One line for each kind of need and one for the conformance cases."""
    lines = []
    for needs in NEEDS:
        of_kind = [outcome for outcome in outcomes if outcome.needs == needs]
        passed = sum(not outcome.miss for outcome in of_kind)
        lines.append(f"examples that need {needs}: {passed} of {len(of_kind)}")
    reached = sum(not verdict.miss for verdict in verdicts)
    lines.append(f"conformance cases: {reached} of {len(verdicts)}")
    explained = [o.file for o in outcomes if o.miss and o.file in examples.EXPLAINED]
    explained += [v.test for v in verdicts if v.miss and v.test in conformance.EXPLAINED]
    lines.append(f"misses that it would be wrong to mend, explained below: {len(explained)}")
    return lines


def markdown(
    outcomes: Sequence[Outcome], verdicts: Sequence[Verdict], *, commit: str, limit: float
) -> str:
    """docs/reference/parity.md."""
    misses = [outcome for outcome in outcomes if outcome.miss]
    parts = [
        _HEAD.format(commit=commit, limit=f"{limit:g}", result_limit=examples.RESULT_LIMIT),
        *(f"- {line}" for line in summary(outcomes, verdicts)),
        "\n## Conformance cases\n",
        _table(
            ("case", "outcome"),
            ((v.test, _outcome(v.miss, conformance.EXPLAINED.get(v.test))) for v in verdicts),
        ),
        "\n## Examples that miss the awaited state\n",
        _table(
            ("example", "needs", "reason of the miss"),
            (
                (o.file, o.why or o.needs, examples.EXPLAINED.get(o.file) or _cell(o.miss))
                for o in misses
            ),
        )
        if misses
        else "None.",
        "\n## Examples that reach it\n",
        _table(
            ("example", "needs"),
            ((o.file, o.why or o.needs) for o in outcomes if not o.miss),
        ),
        _FIELDS.format(honored=fields_table.honored()),
        _table(("object", "field", "here"), fields_table.rows()),
    ]
    return "\n".join(parts) + "\n"


def _outcome(miss: str, explained: str | None) -> str:
    return f"missed: {explained or _cell(miss)}" if miss else "passed"


def _cell(text: str) -> str:
    """Text for one cell: one line, without the folders of this machine and this run."""
    text = re.sub(r"/\S*?/(examples/v1/)?([\w.-]+\.yaml)", r"\2", text)
    text = re.sub(r"/tmp/(?:yardstick|conformance)-\w+", "$TMP", text)  # noqa: S108
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= 240 else f"{text[:239]}…"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_HEAD = """\
# Parity with Tekton

*Written by `make yardstick TEKTON=/path/to/tektoncd-pipeline`; do not edit by hand.*

The yardstick is Tekton's own material at commit `{commit}` of
[tektoncd/pipeline](https://github.com/tektoncd/pipeline), read where it lies and never copied:
every file of `examples/v1` outside `no-ci/` goes through `touchstone run` in a fresh home and has
{limit} s to reach the state that `test/examples_test.go` awaits; the documents of
`test/conformance/conformance_test.go` go through the same command, and the facts each case asserts
are held against the status that comes back. Images are not pulled: steps run on this machine's
programs, so an example that needs an image or a cluster is listed with what it needs. Examples in
`alpha/` and `beta/` may leave {result_limit} bytes of results a TaskRun, as Tekton's own CI runs
them with `results-from: sidecar-logs`.
"""

_FIELDS = """
## Fields

{honored} fields of Tekton's objects are honored. These are not:
"""
