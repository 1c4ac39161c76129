"""How does a script of ours start without importing again what every one of them imports?

The warm launcher imports, between two requests, the libraries that the stages use, and a stage
is a fork of it. It reads nothing else: no model, no data, no key, no request of a stranger; what a
fork finds in memory is what is installed. Imports take their own home folder, which is gone after.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from typing import Any, NoReturn

# In the order in which a pipeline comes to need them.
_MODULES = (
    "typer.main",
    "numpy",
    "pydantic",
    "ruamel.yaml",
    "touchstone.commands.stage",
    "touchstone.contract.reads",
    "touchstone.delivery.floors",
    "touchstone.delivery.champion",
    "touchstone.commands.repository",
    "touchstone.training.dataset",
    "touchstone.driver.local",
    "touchstone.driver.study",
    "touchstone.delivery.promote",
    "securesystemslib.dsse",
    "securesystemslib.signer",
    "jinja2",
    "trust_gates.report.bom",
    "trust_gates.report.reading",
    "touchstone.delivery.status",
    "cloudevents.http",
    "touchstone.requests.embedded",
    "torch",
    "touchstone.training.export",
    "touchstone.training.hosted",
    "touchstone.training.graph",
    "touchstone.training.target",
    "optuna",
    "scipy.stats",
    "sklearn.pipeline",
    "sklearn.linear_model",
    "sklearn.decomposition",
    "trust_gates.report",
    "matplotlib.figure",
    "torch.export",
    "aif360.detectors.mdss.MDSS",
    "captum.attr",
    "art.estimators.classification",
    "art.attacks.evasion",
)


def imports() -> Generator[None]:
    """Import one module after the other; what is not installed is left out."""
    # Without a finalizer: it would run in every fork, as does what stands under `finally`.
    mine = os.getpid()
    home = tempfile.mkdtemp(prefix="touchstone-warm-")
    os.environ["HOME"] = home
    try:
        for name in _MODULES:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: S112 - the stage that needs it says so
                continue
            yield
    finally:
        if os.getpid() == mine:
            shutil.rmtree(home, ignore_errors=True)
    gc.collect()
    gc.freeze()  # a fork's collector leaves these pages alone, and so shared


def run(argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Be `python -P SCRIPT ARGUMENT …`, in a fork that has its surroundings already."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    # What was drawn at import is drawn anew, or every stage would draw the same.
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    gc.enable()
    sys.argv = argv
    code = _code_of(argv[0])
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)  # an interpreter that takes itself apart takes seconds for so much


def _code_of(script: str) -> int:
    """Run the script; the exit code that an interpreter of its own would have."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return (leaving.code or 0) & 0xFF
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0
