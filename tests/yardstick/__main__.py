"""Measure the embedded engine against a checkout of tektoncd/pipeline; exit 1 where one got worse.

python -m tests.yardstick /path/to/tektoncd-pipeline [--only GLOB] [--write PAGE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from tests.cluster import page
from tests.yardstick import conformance, examples, report

Job = TypeVar("Job")
Result = TypeVar("Result")


def main() -> int:
    given = _arguments()
    reference: Path = given.tekton
    if not (reference / conformance.SOURCE).is_file():
        print(f"{reference} is no checkout of tektoncd/pipeline", file=sys.stderr)
        return 2
    wanted = f"*{given.only}*"
    files = [f for f in examples.files(reference) if fnmatch(str(f), wanted)]
    cases = {t: d for t, d in conformance.cases(reference).items() if fnmatch(t, wanted)}
    outcomes = []
    for outcome in _parallel(
        lambda file: examples.measure(file, reference, limit=given.limit), files, given.jobs
    ):
        outcomes.append(outcome)
        _say(outcome.file, outcome.miss, outcome.seconds)
    verdicts = []
    for verdict in _parallel(
        lambda test: conformance.measure(test, cases[test], limit=given.limit),
        list(cases),
        given.jobs,
    ):
        verdicts.append(verdict)
        _say(verdict.test, verdict.miss, verdict.seconds)
    print(*report.summary(outcomes, verdicts), sep="\n")
    if given.write:
        given.write.write_text(
            page.in_page(
                report.markdown(
                    outcomes, verdicts, commit=report.commit_of(reference), limit=given.limit
                )
            )
        )
    short = sum(not o.miss for o in outcomes) + sum(not v.miss for v in verdicts)
    return int(short < given.at_least)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="yardstick", description=__doc__)
    parser.add_argument("tekton", type=Path, help="checkout of tektoncd/pipeline, only read")
    parser.add_argument("--only", default="", help="part of a file's or case's name, or a glob")
    parser.add_argument("--limit", type=float, default=90, help="seconds a file may take")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path, help="write the tables there as Markdown")
    parser.add_argument(
        "--at-least", type=int, default=0, help="exit 1 where fewer files and cases pass"
    )
    return parser.parse_args()


def _parallel(work: Callable[[Job], Result], jobs: Sequence[Job], threads: int) -> Iterator[Result]:
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, jobs)


def _say(name: str, miss: str, seconds: float) -> None:
    print(f"{'missed' if miss else 'passed'} {seconds:5.1f} s  {name}  {miss[:300]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
