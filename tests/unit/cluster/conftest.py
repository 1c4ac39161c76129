"""A cluster's API to watch, and a store to record in."""

import pytest
from kube_api import KubeApi

from touchstone.artifacts.store import Store
from touchstone.cluster.records import Records


@pytest.fixture
def api():
    server = KubeApi()
    yield server
    server.close()


@pytest.fixture
def kept(tmp_path):
    return Records(Store(tmp_path / "store"))
