"""What tests of inputs and names share: a CSV file."""

import pytest


@pytest.fixture
def csv(tmp_path):
    def write(text):
        path = tmp_path / "data.csv"
        path.write_text(text)
        return path

    return write
