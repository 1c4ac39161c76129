"""What a git that was killed leaves in the GitOps repository stops no later push."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from delivery_platform import COMMIT

from touchstone.delivery import gitops, review

BRANCH = f"promote/tiny/{COMMIT[:12]}"


def lock(platform, name, *, seconds=60):
    """A lock that was taken so long ago."""
    path = Path(platform.gitops) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("name", [f"refs/heads/{BRANCH}.lock", "packed-refs.lock"])
def test_a_promotion_gets_past_the_lock_of_a_killed_one(platform, name):
    left = lock(platform, name)
    assert platform.promote().note == "opened"
    assert not left.exists() or name == "packed-refs.lock"


@pytest.mark.parametrize(
    "name", ["refs/heads/main.lock", f"refs/heads/{BRANCH}.lock", f"{gitops.REVIEWS}.lock"]
)
def test_a_review_gets_past_the_lock_of_a_killed_one(platform, name):
    platform.promote()
    left = lock(platform, name)
    told = platform.approve(BRANCH)
    assert told.startswith(f"merged {BRANCH}")
    assert not left.exists()


def test_a_fresh_lock_and_one_of_a_living_git_stay(platform):
    fresh = lock(platform, "refs/heads/a.lock", seconds=0)
    gitops.unlock(Path(platform.gitops))
    assert fresh.exists()
    old = lock(platform, "refs/heads/b.lock")
    living = subprocess.Popen(["sleep", "60"], cwd=platform.gitops)
    try:
        gitops.unlock(Path(platform.gitops))
        assert old.exists()
    finally:
        living.kill()
        living.wait()
    gitops.unlock(Path(platform.gitops))
    assert not old.exists()


def test_a_review_that_was_killed_between_two_references_is_brought_to_its_end(platform):
    platform.promote()
    tip = platform.git("rev-parse", BRANCH)
    platform.approve(BRANCH)
    merged = platform.git("rev-parse", "main")
    platform.git("update-ref", f"refs/heads/{BRANCH}", tip)
    told = platform.approve(BRANCH)
    assert told == f"{BRANCH} is merged into main already"
    assert review.open_reviews(platform.gitops, platform.keys.public) == []
    assert platform.git("rev-parse", "main") == merged
