"""`make kind-up` and `make kind-down`: a cluster in Docker with Tekton Pipelines and Triggers.

python -m tests.cluster.kind up|down [IMAGE …]; the images are loaded from Docker.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "touchstone"
KUBECONFIG = Path(".pytest-kind") / NAME / "kubeconfig"
_RELEASES = "https://storage.googleapis.com/tekton-releases"
_MANIFESTS = (
    f"{_RELEASES}/pipeline/previous/v1.15.0/release.yaml",
    f"{_RELEASES}/triggers/previous/v0.37.0/release.yaml",
    f"{_RELEASES}/triggers/previous/v0.37.0/interceptors.yaml",
)


def main() -> None:
    """Start or end it."""
    asked, *images = sys.argv[1:] or ["up"]
    lacking = without_docker()
    if lacking:
        sys.exit(f"{lacking}; with a cluster of your own: make cluster-test KUBECONFIG=FILE")
    os.environ.setdefault("KIND_VERSION", "v0.30.0")  # pytest-kind's own default is of 2022
    from pytest_kind import KindCluster

    cluster = KindCluster(NAME, kubectl_path=Path(shutil.which("kubectl") or "kubectl"))
    if asked == "down":
        cluster.ensure_kind()
        cluster.delete()
        return
    cluster.create()
    for manifest in _MANIFESTS:
        cluster.kubectl("apply", "-f", manifest)
    wait = ("--for=condition=Available", "deployment", "--all", "--timeout=300s")
    cluster.kubectl("--namespace", "tekton-pipelines", "wait", *wait)
    for image in images:
        cluster.load_docker_image(image)


def without_docker() -> str:
    """Why there can be no kind here; empty where there can."""
    if not shutil.which("docker"):
        return "got no docker on PATH, which kind needs"
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True)
    return "" if asked.returncode == 0 else f"docker info: {asked.stderr.strip() or 'failed'}"


if __name__ == "__main__":
    main()
