"""A wheel carries the folders beside the packages too: docs/decisions/0008 says where and why."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_SHIPPED = ("argocd", "scripts", "tekton", "training")


class BuildWithShipped(build_py):
    """Copies the folders to touchstone/shipped/, where `touchstone.home.SHIPPED` finds them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "touchstone" / "shipped"
        shutil.rmtree(target, ignore_errors=True)
        for name in _SHIPPED:
            shutil.copytree(name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithShipped})
