"""The pipeline's stages as processes, one after the other, on a model repository."""

import subprocess
import sys

from touchstone.artifacts.store import Store
from touchstone.contract import model_repo, reads
from touchstone.home import SHIPPED


def reads_of(store, repository):
    """What each stage reads of a model repository, as fetch-source tells them in round 0."""
    spec = model_repo.load(repository).spec
    return reads.put(store, repository, spec, spec)


def reader(name, gate=""):
    """Under which name of `reads_of` a script finds what it reads; empty for the whole tree."""
    known = {"fetch_data": "data", "preprocess": "preprocess", "tune": "tune", "train": "train"}
    return gate or known.get(name, "")


class Stages:
    """Runs stages on one model repository, and keeps their results."""

    def __init__(self, root, repository):
        self.root, self.store = root, Store(root / "store")
        self.digests = {"source": self.store.put(repository)}
        self.reads = reads_of(self.store, repository)

    def run(self, name, *words, result, codes=(0, 5)):
        command = [sys.executable, "-P", SHIPPED / "scripts" / f"{name}.py"]
        gates = [word.removeprefix("--gate=") for word in words if word.startswith("--gate=")]
        part = reader(name, *gates)
        given = [f"--{key}={value}" for key, value in self.digests.items() if key in words]
        given += [f"--reads={self.reads[part]}"] if part else []
        more = [word for word in words if word.startswith("-") or "=" in word]
        done = subprocess.run(
            [
                *command,
                f"--store={self.store.root.as_uri()}",
                *given,
                f"--result-{result}={self.root / result}",
                *more,
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode in codes, done.stderr
        if done.returncode in (0, 5):
            self.digests[result] = (self.root / result).read_text()
        return done
