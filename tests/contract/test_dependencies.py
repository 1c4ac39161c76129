"""pyproject.toml says the truth: what the product imports is declared, what is declared is used."""

import ast
import importlib.metadata
import re
import sys
import tomllib

from touchstone.home import SHIPPED

PROJECT = tomllib.loads((SHIPPED / "pyproject.toml").read_text())["project"]
OWN = {"touchstone", "trust_gates"}

USED_LATER = {"kfp", "kserve", "kubernetes", "pyyaml", "torch"}
"""Fixed by what Touchstone is for, whether or not a module imports them yet."""

WITHOUT_IMPORT = {
    "cmaes": "Optuna's CMA-ES sampler imports it",
    "pip": "a process of its own",
    "protobuf": "google.protobuf",
}


def _names(requirements):
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def _imported():
    """Top-level modules that the product imports, anywhere."""
    found = set()
    for folder in ("touchstone", "trust_gates", "scripts", "training"):
        for file in sorted((SHIPPED / folder).rglob("*.py")):
            if "examples" in file.parts:  # model repositories: a user's code
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - OWN


DISTRIBUTIONS = importlib.metadata.packages_distributions()


def _distributions(module):
    return {name.lower().replace("_", "-") for name in DISTRIBUTIONS.get(module, [])}


def test_every_import_is_declared():
    extras = [
        line
        for group in ("mlflow", "onnx", "parquet")
        for line in PROJECT["optional-dependencies"][group]
    ]
    declared = _names([*PROJECT["dependencies"], *extras])
    neighbours = {"rootfs", "kernel", "warm"}  # of programs that are run as folders
    missing = {
        module for module in _imported() - neighbours if not _distributions(module) & declared
    }
    assert not missing


def test_every_declared_dependency_is_imported():
    modules = _imported()
    used = {name for module in modules for name in _distributions(module)}
    assert not _names(PROJECT["dependencies"]) - used - USED_LATER - set(WITHOUT_IMPORT)
