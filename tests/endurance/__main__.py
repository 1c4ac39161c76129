"""kill -9 at random moments of runs, promotion, review, sync and serving.

`python -m tests.endurance [--kills 50] [--seed N]` prints one line for each that was disturbed; a
`+` behind a moment (seconds after the start) means that everything it had started was killed too.
Exit code 1 where one does not end as the undisturbed one does.
"""

from __future__ import annotations

import argparse
import random
from functools import partial

from tests.endurance import delivery, killing, stages

KINDS = {
    "run good": (partial(killing.run, "good"), killing.difference),
    "run bad": (partial(killing.run, "bad"), killing.difference),
    **{kind: (partial(delivery.run, kind), delivery.difference) for kind in stages.KINDS},
}
"""What is disturbed, how it is done, and what tells two ends apart."""


def main() -> int:
    """Disturb each kind in turn until there were enough kills."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}")
    undisturbed = {kind: do([]) for kind, (do, _) in KINDS.items()}
    for kind, ended in undisturbed.items():
        print(f"undisturbed {kind}: {ended.seconds:.1f} s {' '.join(ended.wrong)}", flush=True)
    share = max(1, options.kills // len(KINDS))
    kills = different = number = 0
    while kills < options.kills:
        kind = list(KINDS)[number % len(KINDS)]
        do, difference = KINDS[kind]
        most = min(share, options.kills - kills)
        disturbed = do(killing.moments(chance, undisturbed[kind].seconds, most))
        wrong = difference(disturbed, undisturbed[kind])
        kills, number = kills + len(disturbed.kills), number + 1
        different += bool(wrong)
        moments_text = ", ".join(disturbed.kills) or "its end"
        line = f"{kind:<8} killed after {moments_text:<20} {'; '.join(wrong) or 'same'}"
        print(line, flush=True)
    print(f"\n{kills} kills of {number}, {different} ended otherwise (seed {options.seed})")
    return 1 if different or any(ended.wrong for ended in undisturbed.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
