"""The pipeline's stages as processes, one after the other, on a model repository."""

import subprocess
import sys

from touchstone.artifacts.store import Store
from touchstone.home import SHIPPED


class Stages:
    """Runs stages on one model repository, and keeps their results."""

    def __init__(self, root, repository):
        self.root, self.store = root, Store(root / "store")
        self.digests = {"source": self.store.put(repository)}

    def run(self, name, *words, result, codes=(0, 5)):
        command = [sys.executable, "-P", SHIPPED / "scripts" / f"{name}.py"]
        given = [f"--{key}={value}" for key, value in self.digests.items() if key in words]
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
