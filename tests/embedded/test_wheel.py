"""A wheel alone is enough: an empty folder, no checkout, and a served model."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from waiting import free_ports, until

from touchstone.home import SHIPPED

pytestmark = pytest.mark.long

_MODEL = "diabetes-progression"
_AUTHOR = ["-c", "user.name=A Developer", "-c", "user.email=developer@example.org"]


class Installed:
    """The `touchstone` of a fresh virtual environment that holds the wheel and what it needs."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "empty"
        self.folder.mkdir()
        # A build leaves folders behind, and the checkout may be one that nobody may write to.
        source = root / "source"
        shutil.copytree(SHIPPED, source, ignore=shutil.ignore_patterns(".*", "build", "dist"))
        _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
              "--no-build-isolation", "--wheel-dir", root / "dist", source])  # fmt: skip
        shutil.rmtree(source)
        venv.create(root / "environment", with_pip=False)
        self.bin = root / "environment" / "bin"
        (wheel,) = (root / "dist").glob("*.whl")
        _run([sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet",
              "--no-deps", wheel])  # fmt: skip
        # The dependencies are those of this environment, without its editable touchstone: a .pth
        # file adds the folder to the path and reads none of the .pth files inside it.
        (site,) = (root / "environment" / "lib").glob("python*/site-packages")
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def __call__(self, *arguments: str) -> str:
        return _run([self.bin / "touchstone", *arguments], cwd=self.folder)

    def git(self, *arguments: str) -> str:
        return _run(["git", *_AUTHOR, *arguments], cwd=self.folder / "model")


def _run(command: list[str | Path], cwd: Path | None = None) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "TOUCHSTONE_HOME", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def _give_packages_of_its_own(model: Path) -> None:
    """Packages with the names of folders of ours, which the model's code imports."""
    for name in ("training", "scripts"):
        (model / name).mkdir()
        (model / name / "__init__.py").write_text("")
    (model / "training" / "augment.py").write_text("AUGMENTED = 'training of the repository'\n")
    (model / "scripts" / "train.py").write_text("PREPARED = 'scripts of the repository'\n")
    code = model / "model.py"
    own = "from scripts.train import PREPARED\nfrom training.augment import AUGMENTED\n"
    code.write_text(code.read_text().replace("import numpy as np\n", own + "import numpy as np\n"))


def test_a_wheel_serves_a_model_that_has_packages_called_training_and_scripts(tmp_path):
    touchstone = Installed(tmp_path)
    where = "import touchstone, touchstone.home as h; print(touchstone.__file__, h.SHIPPED)"
    package, shipped = _run([touchstone.bin / "python", "-c", where], cwd=touchstone.folder).split()
    assert package.startswith(str(tmp_path)) and shipped.endswith(
        "site-packages/touchstone/shipped"
    )
    touchstone("init", "model")
    _give_packages_of_its_own(touchstone.folder / "model")
    touchstone("up", "--detach", f"--port={free_ports()}")
    try:
        touchstone.git("init", "--quiet", "--initial-branch=main")
        touchstone.git("add", "--all")
        touchstone.git("commit", "--quiet", "--message", "A first model")
        repository = touchstone.folder / ".touchstone" / "git" / "model.git"
        touchstone.git("push", "--quiet", str(repository), "HEAD:main")
        touchstone("watch")
        touchstone("review", "approve", _MODEL, "--reviewer=Rita <rita@example.org>")
        until(lambda: _MODEL in touchstone("status", "--json"), 90, "the model was not served")
        answer = json.loads(touchstone("predict", _MODEL, "--json"))
        assert [output["name"] for output in answer["outputs"]] == ["label", "probabilities"]
    finally:
        touchstone("down")
