"""Every name of the trust gates' issue: is it here, does it run, how long, and what tests it?

`python tests/bench/gates_table.py` measures and writes the table into docs/trust-gates.md between
its two markers. What exists is found, never listed: registries (public constants that map names to
objects, or hold objects with a name) in trust_gates and training, and the figures and checks of
real gate runs. gate_names.yaml lists what the issue asks for, so that nothing can be forgotten
unseen; what exists beyond it is listed too.

A name runs as itself where there is a way to call it (attacks against the known-weak model,
figures in a gate's evidence); else its tests are run. Exit code 1 where something fails to run.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
import subprocess
import sys
import tempfile
import time
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "trust-gates.md"
BEGIN, END = "<!-- gates-table -->", "<!-- /gates-table -->"
TESTS = (
    "tests/unit/trust_gates",
    "tests/unit/training",
    "tests/unit/delivery",
    "tests/contract",
    "tests/bench",
)
_NO_REGISTRIES = ("GATES",)
_SHOWN = 6
_RUN_AT_MOST = 3
"""Tests of one name that are run; more would only take longer."""

NAMES: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("gate_names.yaml").read_text(encoding="utf-8")
)
"""Section to name to patterns, any of which is the name in the code."""


@dataclass(frozen=True)
class Run:
    """What became of running a name."""

    seconds: float
    result: str
    failed: bool = False


def found_names() -> dict[str, list[str]]:
    """Names by registry: `package.module:CONSTANT` to the names in it."""
    registries = {}
    for module in _modules():
        for constant, value in vars(module).items():
            public = constant.isupper() and not constant.startswith("_")
            if public and constant not in _NO_REGISTRIES and (names := _names(value)):
                registries[f"{module.__name__}:{constant}"] = names
    return registries


def _modules() -> Iterator[Any]:
    for package in ("trust_gates", "training"):
        root = importlib.import_module(package)
        yield root
        for entry in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not entry.name.endswith("__main__") and ".examples" not in entry.name:
                yield importlib.import_module(entry.name)


def _names(value: Any) -> list[str]:
    """The names in a registry; none where the value is something else."""
    if isinstance(value, Mapping):
        plain = all(isinstance(item, str | int | float | bytes) for item in value.values())
        return [] if plain else [key for key in value if isinstance(key, str)]
    items = value if isinstance(value, list | tuple) else ()
    return [item.name for item in items if isinstance(getattr(item, "name", None), str)]


def run_attacks(names: list[str]) -> dict[str, Run]:
    """Each attack against the known-weak model, on rows and where it needs them on pictures."""
    import numpy as np
    from gate_models import linear_samples, linear_target

    from trust_gates.robustness import weak
    from trust_gates.robustness.attacks import ATTACKS
    from trust_gates.robustness.attacks.attack import Budget
    from trust_gates.samples import Samples

    rows = linear_samples(np.ones(8), count=20), linear_target(np.ones(8))
    pictures = (
        Samples(
            inputs=rows[0].inputs.repeat(96, axis=1).reshape(20, 3, 16, 16),
            classes=rows[0].classes,
            labels=rows[0].labels,
        ),
        linear_target(np.ones(768)),
    )
    runs = {}
    for name in names:
        problems = []
        for kind, (samples, target) in (("rows", rows), ("pictures", pictures)):
            began = time.perf_counter()
            try:
                norm = ATTACKS[name].norms[0]
                budget = Budget(norm=norm, epsilon=3 if norm == "l0" else 0.1)
                broken = weak.check_attack(name, samples, target, budget)
            except Exception as error:  # the table says so; the script ends with exit code 1
                problems.append(f"{kind}: {type(error).__name__}: {error}")
                continue
            seconds = time.perf_counter() - began
            runs[name] = Run(seconds, f"breaks {broken:.0%} of a weak model ({kind})")
            break
        else:
            runs[name] = Run(0.0, "; ".join(problems)[:160], failed=True)
    return runs


def run_gates() -> dict[str, dict[str, Run]]:
    """By gate, every figure and check of it on small models of known answers."""
    from gate_models import linear_samples, linear_target, spot_samples, spot_target

    from trust_gates import GATES, outside
    from trust_gates.gates import Gates

    samples = linear_samples([1.0, 2.0], count=200)
    groups = {"group": samples.labels.astype(str).copy()}
    groups["group"][::3] = "0"
    samples = type(samples)(
        inputs=samples.inputs, classes=samples.classes, labels=samples.labels, groups=groups
    )
    spots = spot_samples()
    subjects = [
        outside.Subject(target=target, data=outside.Data(samples=part, low=0.0, high=1.0))
        for target, part in ((linear_target([1.0, 2.0]), samples), (spot_target(), spots))
    ]

    def least(metric: str) -> list[dict[str, Any]]:
        return [{"metric": metric, "atLeast": 0}]

    def asked(quality: str, robustness: str) -> Gates:
        return Gates.model_validate(
            {
                "quality": {"checks": least(quality)},
                "robustness": {
                    "epsilon": 0.02,
                    "samples": 32,
                    "sequential": False,
                    "checks": least(robustness),
                },
                "fairness": {
                    "protected": "group",
                    "privileged": ["0"],
                    "favorable": "yes",
                    "checks": least("disparate_impact"),
                },
                "explainability": {"checks": least("stability")},
            }
        )

    policies = (asked("accuracy", "robust_accuracy"), asked("map50", "robust_recall"))
    runs: dict[str, dict[str, Run]] = {gate: {} for gate in GATES}
    for gate in GATES:
        for subject, gates in zip(subjects, policies, strict=True):
            # The known detector has neither groups nor weights to randomise.
            if gate in ("fairness", "explainability") and subject is subjects[1]:
                continue
            began = time.perf_counter()
            try:
                if gate == "integrity":
                    evidence = _examined(samples)
                else:
                    evidence = outside.judge(gate, subject, gates)
            except Exception as error:  # as above
                runs[gate]["(gate)"] = Run(0.0, f"{type(error).__name__}: {error}"[:160], True)
                continue
            seconds = time.perf_counter() - began
            found = {check.name: check.measured for check in evidence.checks}
            for name, value in {**evidence.figures, **found}.items():
                runs[gate].setdefault(name, Run(seconds, f"{value:.4g}"))
            for name in evidence.pictures:
                runs[gate].setdefault(name, Run(seconds, "a picture and its table"))
    return runs


def _examined(samples: Any) -> Any:
    """What the integrity gate finds in a sound tree, its source and its data."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from trust_gates import integrity

    with tempfile.TemporaryDirectory() as folder:
        model, source = Path(folder) / "model", Path(folder) / "source"
        model.mkdir()
        source.mkdir()
        save_file({"weight": torch.ones(2)}, model / "model.safetensors")
        splits = {"train": np.arange(0, 100), "test": np.arange(100, 200)}
        return integrity.judge(
            integrity.Subject(
                model=model,
                splits={name: samples.take(index) for name, index in splits.items()},
                features=("first", "second"),
                source=source,
            ),
            integrity.Integrity(pinned=True),
        )


def collected() -> list[str]:
    """The ids of all tests that could be about a name."""
    folders = [folder for folder in TESTS if (ROOT / folder).is_dir()]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *folders], cwd=ROOT, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def tests_by_name(names: set[str], ids: list[str]) -> dict[str, list[str]]:
    """Tests by the name they are about: it stands in their parameters, or is written in them."""
    words: dict[str, set[str]] = {}
    for file in {identity.split("::")[0] for identity in ids}:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                words[f"{file}::{node.name}"] = {
                    str(part.value)
                    for part in ast.walk(node)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                } | {
                    ast.unparse(part).lower()
                    for part in ast.walk(node)
                    if isinstance(part, ast.Name | ast.Attribute)
                }
    found: dict[str, list[str]] = {name: [] for name in names}
    for identity in ids:
        function, _, parameters = identity.partition("[")
        mentioned = words.get(function, set()) | set(parameters.rstrip("]").split("-"))
        mentioned |= {parameters.rstrip("]")}
        title = function.split("::")[-1]
        for name in names:
            if name in mentioned or f"_{name}_" in f"{title}_":
                found[name].append(identity)
    return found


def run_tests(ids: set[str]) -> dict[str, Run]:
    """Run tests in one process; seconds and outcome of each."""
    if not ids:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run(
            [*command, f"--junitxml={report}", *sorted(ids)], cwd=ROOT, capture_output=True
        )
        cases = ET.parse(report).iter("testcase")
        found = {
            f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}": Run(
                float(case.get("time", 0)),
                "its test " + ("skipped" if case.find("skipped") is not None else "passed"),
            )
            if case.find("failure") is None and case.find("error") is None
            else Run(float(case.get("time", 0)), "its test failed", failed=True)
            for case in cases
        }
    return found


@dataclass
class Row:
    """A line of the table."""

    title: str
    names: list[str]
    run: Run | None = None
    tests: list[str] | None = None

    def cells(self) -> list[str]:
        """The row as Markdown cells."""
        called = ", ".join(f"`{name}`" for name in self.names[:_SHOWN]) or "**missing**"
        more = len(self.names) - _SHOWN
        called += f" and {more} more" if more > 0 else ""
        seconds = f"{self.run.seconds:.3f}" if self.run else "–"
        result = self.run.result.replace("|", "\\|") if self.run else "–"
        tests = self.tests or []
        tested = f"`{tests[0].split('::')[-1]}`" if tests else "–"
        more = len({test.split("[")[0] for test in tests}) - 1
        return [self.title, called, seconds, result, tested + (f" +{more}" if more > 0 else "")]


def sections(
    registries: Mapping[str, list[str]], gates: Mapping[str, Mapping[str, Run]]
) -> dict[str, list[Row]]:
    """The issue's names with what they are called here, then whatever else exists."""
    known = {name for names in registries.values() for name in names}
    known |= {name for figures in gates.values() for name in figures}
    known |= {one for names in NAMES.values() for one in names.values() if _in_delivery(one)}
    used: set[str] = set()
    found: dict[str, list[Row]] = {}
    for section, names in NAMES.items():
        found[section] = []
        for title, patterns in names.items():
            matched = sorted(n for n in known if _is(n, patterns))
            used.update(matched)
            found[section].append(Row(title, matched))
    for place, names in registries.items():
        rest = [name for name in names if name not in used]
        used.update(rest)
        if rest:
            found[f"Beyond the issue: {place}"] = [Row(name, [name]) for name in rest]
    return found


def _in_delivery(pattern: str) -> bool:
    """Whether it is `module.function` of touchstone.delivery, which signs and verifies releases."""
    module, _, function = pattern.partition(".")
    if not function.isidentifier():
        return False
    return hasattr(importlib.import_module(f"touchstone.delivery.{module}"), function)


def _is(name: str, patterns: str) -> bool:
    return any(fnmatch(name.replace("-", "_"), pattern) for pattern in patterns.split())


def table(found: Mapping[str, list[Row]]) -> str:
    """The whole table as Markdown, with its counts first."""
    rows = [row for some in found.values() for row in some]
    missing = sum(not row.names for row in rows)
    tested = sum(bool(row.tests) for row in rows)
    lines = [
        f"{len(rows)} names: {len(rows) - missing} here, {missing} missing, {tested} tested by"
        " name.",
        "",
        "A gate's figures all have the seconds of the whole gate, on a model of a few weights.",
    ]
    for section, some in found.items():
        lines += ["", f"**{section}**", "", "| name | called | seconds | result | tested |"]
        lines += ["|---|---|---|---|---|", *(f"| {' | '.join(r.cells())} |" for r in some)]
    return "\n".join(lines)


def main() -> int:
    """Measure, write the table, and say what is missing or fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, default=DOCUMENT, help="the document with markers")
    target = parser.parse_args().write
    warnings.simplefilter("ignore")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "gates")]
    registries, gates = found_names(), run_gates()
    attacks = next((v for k, v in registries.items() if k.endswith(":ATTACKS")), [])
    direct = {name: run for figures in gates.values() for name, run in figures.items()}
    direct |= run_attacks(attacks)
    found = sections(registries, gates)
    rows = [row for some in found.values() for row in some]
    tests = tests_by_name({name for row in rows for name in row.names}, collected())
    for row in rows:
        row.tests = [test for name in row.names for test in tests[name]]
        row.run = next((direct[name] for name in row.names if name in direct), None)
    asked = {t for row in rows if not row.run and row.tests for t in row.tests[:_RUN_AT_MOST]}
    by_test = run_tests(asked)
    for row in rows:
        ran = [by_test[test] for test in row.tests or () if test in by_test]
        if row.run is None and ran:
            row.run = max(ran, key=lambda run: (run.failed, run.seconds))
    failing = [row.title for row in rows if row.run and row.run.failed]
    failing += [gate for gate, figures in gates.items() if figures.get("(gate)")]
    text = target.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    written = f"{head}{BEGIN}\n{table(found)}\n{END}{tail}"
    target.write_text(written, encoding="utf-8")
    print(f"{target}: {table(found).splitlines()[0]}")
    print("missing: " + (", ".join(row.title for row in rows if not row.names) or "nothing"))
    print("failing: " + (", ".join(failing) or "nothing"))
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
