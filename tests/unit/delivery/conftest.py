"""The `platform` fixture, for every test of this folder."""

import pytest
from delivery_platform import make_platform


@pytest.fixture
def platform(tmp_path):
    return make_platform(tmp_path)
