"""What does a gate in a CI job cost: `touchstone gate` on a CSV of predictions, as a whole process?

`python tests/bench/gate.py [--times 3]` draws 5,000 predictions, once with the class alone and once
with a probability for every class, and judges them by quality and fairness. Beside it the plain way
in the same run: a program that reads the same file and prints scikit-learn's accuracy and AIF360's
statistical parity difference, without any interval. Seconds are of processors, which other work on
the machine changes little, and of a clock; memory is the peak of the process. Exit code 1 where an
aim was missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROWS = 5_000
SECONDS, MEGABYTES = 2.0, 250

_POLICY = """
gates:
  quality: {checks: [{metric: accuracy, atLeast: 0.8}]}
  fairness:
    protected: sex
    privileged: [m]
    favorable: granted
    checks: [{metric: statistical_parity_difference, within: [-0.1, 0.1]}]
"""

_PLAIN = """
import sys
import pandas as pd
from aif360.sklearn.metrics import statistical_parity_difference
from sklearn.metrics import accuracy_score
frame = pd.read_csv(sys.argv[1])
print(accuracy_score(frame.label, frame.prediction))
said = (frame.prediction == "granted").astype(int)
print(statistical_parity_difference(said, prot_attr=frame.protected_sex, priv_group="m"))
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What one process took."""

    processor: float
    seconds: float
    megabytes: float


def main() -> int:
    """Measure, print the table, and say whether the aims were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}, median of {times}\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _drawn(folder)
        policy = folder / "gates.yaml"
        policy.write_text(_POLICY, encoding="utf-8")
        gate = [sys.executable, "-m", "touchstone", "gate", "quality", "fairness"]
        commands = {
            f"ours, {words}": [*gate, f"--data={file}", f"--policy={policy}"]
            for words, file in files.items()
        }
        commands["scikit-learn and AIF360, no intervals"] = [
            *(sys.executable, "-c", _PLAIN),
            str(files["classes"]),
        ]
        found = {words: _median(command, times) for words, command in commands.items()}
    print(f"{'':<42}{'processors':>12}{'clock':>10}{'peak':>10}")
    for words, took in found.items():
        print(
            f"{words:<42}{took.processor:>10.2f} s{took.seconds:>8.2f} s{took.megabytes:>7.0f} MB"
        )
    ours = [took for words, took in found.items() if words.startswith("ours")]
    kept = all(one.processor < SECONDS and one.megabytes < MEGABYTES for one in ours)
    aims = f"{SECONDS:g} s of processors, {MEGABYTES} MB"
    print(f"\naims, of {ROWS:,} predictions: {aims}: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


def _drawn(folder: Path) -> dict[str, Path]:
    """The same decisions in two files, by what stands in them."""
    generator = np.random.default_rng(0)
    names = np.array(["refused", "granted"])
    sex, truth = generator.choice(["f", "m"], size=ROWS), generator.integers(2, size=ROWS)
    said = np.where(generator.random(ROWS) < 0.9, truth, 1 - truth)
    sure = generator.uniform(0.5, 1, size=ROWS)
    granted = np.where(said == 1, sure, 1 - sure)
    rows = zip(names[truth], names[said], granted, sex, strict=True)
    of_classes, of_shares = (
        ["label,prediction,protected_sex"],
        ["label,probability_refused,probability_granted,protected_sex"],
    )
    for label, prediction, share, group in rows:
        of_classes.append(f"{label},{prediction},{group}")
        of_shares.append(f"{label},{1 - share:.6f},{share:.6f},{group}")
    files = {"classes": of_classes, "probabilities": of_shares}
    for words, lines in files.items():
        (folder / f"{words}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {words: folder / f"{words}.csv" for words in files}


def _median(command: list[str], times: int) -> Took:
    """After one run that fills the caches of files."""
    found = [_run(command) for _ in range(times + 1)][1:]
    return Took(
        *(
            statistics.median(getattr(one, field) for one in found)
            for field in ("processor", "seconds", "megabytes")
        )
    )


def _run(command: list[str]) -> Took:
    began = time.perf_counter()
    # wait4 tells of this process alone what it used; subprocess does not.
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status, used = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} ended with {code}, expected 0")
    return Took(used.ru_utime + used.ru_stime, seconds, used.ru_maxrss / 1024)


if __name__ == "__main__":
    raise SystemExit(main())
