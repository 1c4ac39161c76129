"""What tests of an installation share: a cluster's stand-in, and values."""

import pytest
from object_api import object_api

from touchstone.install import values


@pytest.fixture
def cluster():
    with object_api() as found:
        yield found


@pytest.fixture
def known():
    return values.given(
        {"registry": "registry.acme.dev/models", "gitops": "https://git.acme.dev/ops/gitops.git"}
    )
