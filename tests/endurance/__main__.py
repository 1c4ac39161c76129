"""kill -9 of the engine at random moments of runs with retries, a matrix and finally.

`python -m tests.endurance [--kills 50] [--seed N]` prints one line a run; a `+` behind a moment
(seconds after the engine's start) means that everything the engine had started was killed with it.
Exit code 1 where one run does not end as the undisturbed one does.
"""

from __future__ import annotations

import argparse
import random

from tests.endurance.killing import difference, moments, run

ENDINGS = ("good", "bad")


def main() -> int:
    """Disturb runs until there were enough kills."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}")
    undisturbed = {ending: run(ending, []) for ending in ENDINGS}
    for ending, ended in undisturbed.items():
        print(f"undisturbed, {ending} ending: {ended.seconds:.1f} s {' '.join(ended.wrong)}")
    kills = different = runs = 0
    while kills < options.kills:
        ending = chance.choice(ENDINGS)
        wanted = moments(chance, undisturbed[ending].seconds, options.kills - kills)
        disturbed = run(ending, wanted)
        wrong = difference(disturbed, undisturbed[ending])
        kills, runs = kills + len(disturbed.kills), runs + 1
        different += bool(wrong)
        moments_text = ", ".join(disturbed.kills) or "its end"
        print(f"{ending:<5} killed after {moments_text:<20} {'; '.join(wrong) or 'same'}")
    print(f"\n{kills} kills in {runs} runs, {different} runs ended otherwise (seed {options.seed})")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
