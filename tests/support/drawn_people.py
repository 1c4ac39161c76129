"""The table of training/examples/one-file: people who do not exist, drawn by a seed.

`python tests/support/drawn_people.py > training/examples/one-file/people.csv` writes it.
"""

import csv
import io
import sys

import numpy as np

ROWS, SEED = 4000, 7

_SCHOOL = ("none", "school", "college", "bachelor", "master")
_WORK = ("private", "public", "self-employed")
_JOBS = ("care", "craft", "office", "sales", "tech")


def drawn(rows=ROWS, seed=SEED):
    """The CSV's text: income depends on school, hours and age, and on sex only a little."""
    generator = np.random.default_rng(seed)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "age", "work", "school", "job", "hours", "sex", "income"))
    for number in range(rows):
        sex = generator.choice(("Female", "Male"))
        age = int(generator.integers(18, 76))
        school = int(generator.choice(5, p=(0.1, 0.3, 0.25, 0.25, 0.1)))
        hours = int(np.clip(generator.normal(38 + 2 * (sex == "Male"), 9), 5, 80))
        job = generator.choice(5)
        work = generator.choice(_WORK, p=(0.7, 0.2, 0.1))
        odds = (
            1.7 * (school - 2)
            + (hours - 38) / 4
            + 2 * (age > 30)
            + (0, 0, 0.5, 0.3, 1.2)[job]
            + 0.1 * (sex == "Male")
            - 2
        )
        high = generator.random() < 1 / (1 + np.exp(-2 * odds))
        gap = generator.random(3)
        writer.writerow(
            (
                number + 1,
                "" if gap[0] < 0.03 else age,
                "" if gap[1] < 0.06 else work,
                _SCHOOL[school],
                "?" if gap[2] < 0.06 else _JOBS[job],
                hours,
                sex,
                ">50K" if high else "<=50K",
            )
        )
    return out.getvalue()


if __name__ == "__main__":
    sys.stdout.write(drawn())
