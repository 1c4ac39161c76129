"""What does it cost to judge a model through a host, or as a graph, against code in process?

`python tests/bench/host.py [samples]` runs the robustness gate's ensemble three times in one run,
in turns, on the same network, samples and thread: code in this process, code in a confined model
host, and the network as a graph. All three must leave the same samples right.

What a host costs is a fixed time a question, so it is measured on pictures of 32 x 32, which the
promise is about, and on ones of 8 x 8, where a network answers in the time that asking takes.
Exit code 1 where answers differ, or the host costs more than Touchstone promises. Time is of the
wall: while the host computes, this process waits.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import torch
from robustness import digits_network

from touchstone.training.export import export
from touchstone.training.load import load_spec
from touchstone.training.spec import Description
from touchstone.training.target import open_tree
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import attack
from trust_gates.robustness.victim import Victim
from trust_gates.target import Target

PROMISED = 1.15
ROUNDS = 3
BUDGET = Budget(norm="linf", epsilon=0.1, steps=50, queries=1000)
CODE = """\
    import robustness
    from touchstone.training import ModelSpec

    class Digits(ModelSpec):
        task = "classification"

        def load_data(self, uri, *, seed):
            raise NotImplementedError

        def build(self, parameters):
            return robustness.network({side})

        def loss(self, module, batch):
            raise NotImplementedError

        def predict(self, module, inputs):
            return module(inputs)
"""


def main() -> int:
    """Measure in turns, print the table, and say whether the promise was kept."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}")
    print(f"autoattack, {count} samples, the median of {ROUNDS} rounds in turns: seconds")
    same, ratio = zip(*(_measured(side, count) for side in (8, 32)), strict=True)
    kept = all(same) and ratio[-1] <= PROMISED
    print(f"\nsame answers, at most {PROMISED} x in a host: {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


def _measured(side: int, count: int) -> tuple[bool, float]:
    """Whether all ways left as many samples right, and how much dearer the host is."""
    target, everything = digits_network(side)
    samples = everything.take(np.arange(count))
    names = attacks.ENSEMBLES["autoattack"].attacks
    print(f"\ndigits of {side} x {side}")
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(target, side, Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        left: dict[str, int] = {}
        for _ in range(ROUNDS):
            for name, one in ways.items():
                begin = time.perf_counter()
                held = attack(Victim.of(one, samples), samples, names, BUDGET).held
                seconds[name].append(time.perf_counter() - begin)
                left[name] = int(held.sum())
    base = statistics.median(seconds["in process"])
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"{name:<22}{middle:8.2f} s   {middle / base:5.2f} x   {left[name]} right")
    return len(set(left.values())) == 1, statistics.median(seconds["in a host"]) / base


def _ways(target: Target, side: int, folder: Path) -> dict[str, Target]:
    source = folder / "source"
    source.mkdir()
    here = Path(__file__).with_name("robustness.py")
    (source / "robustness.py").write_text(here.read_text())
    (source / "model.py").write_text(textwrap.dedent(CODE).format(side=side))
    for name in ("code", "graph"):
        export(
            folder / name,
            module=target.module,
            spec=load_spec(source, "model.py:Digits"),
            sample=torch.rand(8, 1, side, side),
            source=source,
            entrypoint="model.py:Digits",
            parameters={},
            description=Description(
                task="classification",
                classes=tuple(map(str, range(10))),
                inputs={"shape": [1, side, side], "low": 0.0, "high": 1.0},
                protected={},
                seed=1,
            ),
            metrics={},
            seed=1,
        )
    (folder / "code" / "graph.json").unlink()
    return {
        "in process": target,
        "in a host": open_tree(folder / "code", low=0.0, high=1.0),
        "as a graph": open_tree(folder / "graph", low=0.0, high=1.0),
    }


if __name__ == "__main__":
    sys.exit(main())
