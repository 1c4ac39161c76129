"""The cluster of this session: that of --kubeconfig, else the one that `make kind-up` started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kind
from tests.cluster.asking import Cluster, RefusedError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-parity",
        action="store_true",
        help="write what the cluster answers to parity/told-by-tekton.json",
    )
    parser.addoption(
        "--installation", default="touchstone", help="namespace of the runs of an installation"
    )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Any Kubernetes with Tekton Pipelines."""
    given = request.config.getoption("kubeconfig")
    kubeconfig = Path(given) if given else kind.KUBECONFIG
    if not kubeconfig.is_file():
        pytest.skip("no cluster: make cluster-test KUBECONFIG=FILE, or make kind-up before it")
    found = Cluster(str(kubeconfig.resolve()))
    try:
        found("get", "customresourcedefinition", "pipelineruns.tekton.dev")
    except RefusedError as error:
        pytest.skip(f"{kubeconfig}: no Tekton Pipelines that this account sees: {error}")
    return found


@pytest.fixture(scope="session")
def own_namespace(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace without rules of its own, which goes with the session."""
    with cluster.fresh_namespace("touchstone-parity") as own:
        yield own
